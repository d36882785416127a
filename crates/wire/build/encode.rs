//! `Message::encode`. Continues the `impl` block that decode.rs opened.

use crate::rust;
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
    code += &format!("let flexible = {};\n", rust::is_flexible(message));
    for field in structure.fields.iter().filter(|f| f.tag.is_none()) {
        let statement = statement(field);
        code += &match rust::condition(field.versions, structure.versions) {
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
        let version = rust::condition(field.versions, structure.versions)
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
    let ident = rust::ident(field);
    match (
        &field.kind,
        field.default.as_deref(),
        rust::is_option(field),
    ) {
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
    if !rust::is_option(field) {
        return present(
            &field.kind,
            &format!("self.{}", rust::ident(field)),
            false,
            flexible,
        );
    }
    let ident = rust::ident(field);
    let null = match &field.kind {
        Type::Structure(_) => "w.i8(-1);\n".to_owned(),
        Type::String => format!("w.nullable_string(None, {flexible})?;\n"),
        _ => format!("w.null_count({flexible});\n"),
    };
    let condition = field
        .nullable
        .and_then(|nullable| rust::condition(nullable, field.versions));
    let null = match condition {
        None => null,
        Some(c) => {
            format!(
                "if !({c}) {{\nreturn Err(EncodeError::Null(\"{}\"));\n}}\n{null}",
                field.name
            )
        }
    };
    let mark = if matches!(field.kind, Type::Structure(_)) {
        "w.i8(1);\n"
    } else {
        ""
    };
    let some = present(&field.kind, "value", true, flexible);
    format!("match &self.{ident} {{\nSome(value) => {{\n{mark}{some}}}\nNone => {{\n{null}}}\n}}\n")
}

/// Writes what is in `place`, which is a reference or the thing itself.
fn present(kind: &Type, place: &str, is_reference: bool, flexible: &str) -> String {
    let (star, and) = if is_reference { ("*", "") } else { ("", "&") };
    match kind {
        Type::Plain(method, _) => format!("w.{method}({star}{place});\n"),
        Type::String => format!("w.string({and}{place}, {flexible})?;\n"),
        Type::Bytes => format!("w.bytes({and}{place}, {flexible})?;\n"),
        Type::Records => format!("w.nullable_records(Some({and}{place}), {flexible})?;\n"),
        Type::Structure(_) => format!("{place}.encode(w, version)?;\n"),
        Type::Array(element) => {
            let each = present(element, "e", true, flexible);
            format!("w.count({place}.len(), {flexible})?;\nfor e in {and}{place} {{\n{each}}}\n")
        }
    }
}
