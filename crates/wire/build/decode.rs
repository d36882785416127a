//! `Message::decode`.

use crate::rust;
use crate::schema::{Field, Message, Structure, Type};

pub fn generate(message: &Message, structure: &Structure) -> String {
    let name = &structure.name;
    let top = *name == message.name;
    let signature = "(r: &mut Reader, version: i16)";
    let mut code = if top {
        format!(
            "impl Message for {name} {{\nfn decode{signature} -> Result<Self, DecodeError> {{\n"
        )
    } else {
        format!("impl {name} {{\nfn decode{signature} -> Result<Self, DecodeError> {{\n")
    };
    if top {
        let versions = message.versions;
        code += &format!(
            "if !({}..={}).contains(&version) {{\nreturn Err(DecodeError::Version(version));\n}}\n",
            versions.min, versions.max
        );
    }
    code += &format!(
        "let flexible = {};\nlet mut m = Self::default();\n",
        rust::is_flexible(message)
    );
    for field in structure.fields.iter().filter(|f| f.tag.is_none()) {
        let statement = assignment(message, field, "r");
        code += &match rust::condition(field.versions, structure.versions) {
            Some(condition) => format!("if {condition} {{\n{statement}}}\n"),
            None => statement,
        };
    }
    code += &tags(message, structure);
    code += "let _ = (version, flexible);\nOk(m)\n}\n\n";
    code
}

fn tags(message: &Message, structure: &Structure) -> String {
    let tagged: Vec<_> = structure
        .fields
        .iter()
        .filter(|f| f.tag.is_some())
        .collect();
    let body = if tagged.is_empty() {
        "r.skip_tags()?;\n".to_owned()
    } else {
        let mut arms = String::new();
        for field in tagged {
            let tag = field.tag.expect("only tagged fields are here");
            let guard = rust::condition(field.versions, structure.versions)
                .map_or(String::new(), |c| format!(" if {c}"));
            arms += &format!(
                "{tag}{guard} => {{\n{}Ok(true)\n}}\n",
                assignment(message, field, "r")
            );
        }
        format!("r.tags(|tag, r| match tag {{\n{arms}_ => Ok(false),\n}})?;\n")
    };
    match message.flexible {
        None => String::new(),
        Some(_) => format!("if flexible {{\n{body}}}\n"),
    }
}

/// `m.field = ...;`
fn assignment(message: &Message, field: &Field, reader: &str) -> String {
    let ident = rust::ident(field);
    let flexible = if field.rigid { "false" } else { "flexible" };
    let value = match (&field.kind, rust::is_option(field)) {
        (Type::Plain(method, _), _) => format!("{reader}.{method}()?"),
        (Type::String, true) => format!("{reader}.nullable_string({flexible})?"),
        (Type::String, false) => format!("{reader}.string({flexible})?"),
        (Type::Bytes, true) => format!("{reader}.nullable_bytes({flexible})?"),
        (Type::Bytes, false) => format!("{reader}.bytes({flexible})?"),
        (Type::Records, _) => format!("{reader}.nullable_records({flexible})?"),
        (Type::Structure(name), true) => {
            format!(
                "if {reader}.is_present()? {{ Some({name}::decode({reader}, version)?) }} else {{ None }}"
            )
        }
        (Type::Structure(name), false) => format!("{name}::decode({reader}, version)?"),
        (Type::Array(element), option) => {
            let method = if option { "nullable_array" } else { "array" };
            format!(
                "{reader}.{method}({flexible}, {}, {})?",
                rust::min_size(message, element),
                element_reader(element)
            )
        }
    };
    let mut statement = format!("m.{ident} = {value};\n");
    // A version that does not allow null, in a field that other versions may leave null.
    if let Some(nullable) = field.nullable.filter(|n| !n.contains(field.versions)) {
        let allowed =
            rust::condition(nullable, field.versions).expect("it does not cover all versions");
        statement += &format!(
            "if m.{ident}.is_none() && !({allowed}) {{\nreturn Err(DecodeError::Null(\"{}\"));\n}}\n",
            field.name
        );
    }
    statement
}

fn element_reader(element: &Type) -> String {
    match element {
        Type::Plain(method, _) => format!("|r| r.{method}()"),
        Type::String => "|r| r.string(flexible)".to_owned(),
        Type::Bytes => "|r| r.bytes(flexible)".to_owned(),
        Type::Structure(name) => format!("|r| {name}::decode(r, version)"),
        Type::Records | Type::Array(_) => panic!("arrays of {element:?} do not exist"),
    }
}
