//! `Message::encode`. Continues the `impl` block that decode.rs opened.

use crate::schema::{Field, Message, Structure, Type};
use crate::structs;

pub fn generate(message: &Message, structure: &Structure) -> String {
    let mut code =
        "fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\n".to_owned();
    if structure.name == message.name {
        let versions = message.versions;
        code += &format!(
            "if !({}..={}).contains(&version) {{\nreturn Err(EncodeError::Version(version));\n}}\n",
            versions.min, versions.max
        );
    }
    code += &format!("let flexible = {};\n", message.is_flexible());
    for field in structure.fields.iter().filter(|f| f.tag.is_none()) {
        let statement = statement(field);
        code += &match field.versions.condition(structure.versions) {
            Some(condition) => format!("if {condition} {{\n{statement}}}\n"),
            None => statement,
        };
    }
    code += &tags(message, structure);
    code += "let _ = (w, version, flexible);\nOk(())\n}\n}\n\n";
    code
}

fn tags(message: &Message, structure: &Structure) -> String {
    if message.flexible.is_none() {
        return String::new();
    }
    let mut puts = String::new();
    let mut tagged: Vec<_> = structure
        .fields
        .iter()
        .filter(|f| f.tag.is_some())
        .collect();
    tagged.sort_by_key(|f| f.tag);
    for field in &tagged {
        let version = field
            .versions
            .condition(structure.versions)
            .map_or(String::new(), |c| format!("{c} && "));
        let (set, tag) = (
            is_set(field),
            field.tag.expect("only tagged fields are here"),
        );
        puts += &format!(
            "if {version}{set} {{\ntags.put({tag}, |w| {{\n{}Ok(())\n}})?;\n}}\n",
            statement(field)
        );
    }
    let body = if tagged.is_empty() {
        "w.unsigned_varint(0);\n".to_owned()
    } else {
        format!("let mut tags = Tags::default();\n{puts}w.tags(tags)?;\n")
    };
    format!("if flexible {{\n{body}}}\n")
}

/// Whether the field differs from its default.
fn is_set(field: &Field) -> String {
    let ident = field.ident();
    match (&field.kind, field.default.as_deref(), field.is_option()) {
        (_, Some("null"), _) | (Type::Records, ..) => format!("self.{ident}.is_some()"),
        (Type::Structure(_), _, false) => format!("self.{ident} != Default::default()"),
        (Type::Array(_) | Type::String | Type::Bytes, _, false) => {
            format!("!self.{ident}.is_empty()")
        }
        (Type::Plain(_, "bool"), None, _) => format!("self.{ident}"),
        (Type::Plain(_, "Uuid"), None, _) => format!("!self.{ident}.is_zero()"),
        (Type::Plain(..), None, _) => format!("self.{ident} != 0"),
        _ => format!("self.{ident} != {}", structs::default(field)),
    }
}

fn statement(field: &Field) -> String {
    let flexible = if field.rigid { "false" } else { "flexible" };
    if !field.is_option() {
        return present(&field.kind, &format!("self.{}", field.ident()), flexible);
    }
    let ident = field.ident();
    let null = match &field.kind {
        Type::Structure(_) => "w.i8(-1);\n".to_owned(),
        Type::String => format!("w.nullable_string(None, {flexible})?;\n"),
        _ => format!("w.null_count({flexible});\n"),
    };
    let condition = field
        .nullable
        .and_then(|nullable| nullable.condition(field.versions));
    let null = match condition {
        None => null,
        Some(c) => format!(
            "if !({c}) {{\nreturn Err(EncodeError::Null(\"{}\"));\n}}\n{null}",
            field.name
        ),
    };
    let mark = if matches!(field.kind, Type::Structure(_)) {
        "w.i8(1);\n"
    } else {
        ""
    };
    let some = present(&field.kind, "(*value)", flexible);
    format!("match &self.{ident} {{\nSome(value) => {{\n{mark}{some}}}\nNone => {{\n{null}}}\n}}\n")
}

fn present(kind: &Type, place: &str, flexible: &str) -> String {
    match kind {
        Type::Plain(method, _) => format!("w.{method}({place});\n"),
        Type::String => format!("w.string(&{place}, {flexible})?;\n"),
        Type::Bytes => format!("w.bytes(&{place}, {flexible})?;\n"),
        Type::Records => format!("w.nullable_records(Some(&{place}), {flexible})?;\n"),
        Type::Structure(_) => format!("{place}.encode(w, version)?;\n"),
        Type::Array(element) => {
            let each = present(
                element,
                if element.structure().is_some() {
                    "e"
                } else {
                    "(*e)"
                },
                flexible,
            );
            format!("w.count({place}.len(), {flexible})?;\nfor e in &{place} {{\n{each}}}\n")
        }
    }
}
