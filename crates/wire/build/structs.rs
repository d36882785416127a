//! The struct of a message or structure, and its defaults.

use crate::rust;
use crate::schema::{Field, Message, Structure, Type};

pub fn generate(message: &Message, structure: &Structure) -> String {
    let name = &structure.name;
    let plain = structure
        .fields
        .iter()
        .all(|field| default(field) == "Default::default()");
    let derive_default = if plain { ", Default" } else { "" };
    let derive_eq = if has_float(message, structure) {
        ""
    } else {
        ", Eq"
    };
    let mut code = format!(
        "#[derive(Clone, Debug, PartialEq{derive_eq}{derive_default})]\npub struct {name} {{\n"
    );
    for field in &structure.fields {
        let kind = rust::type_name(&field.kind);
        let kind = if rust::is_option(field) {
            format!("Option<{kind}>")
        } else {
            kind
        };
        code += &format!("pub {}: {kind},\n", rust::ident(field));
    }
    code += "}\n\n";
    if !plain {
        code += &format!("impl Default for {name} {{\nfn default() -> {name} {{\n{name} {{\n");
        for field in &structure.fields {
            code += &format!("{}: {},\n", rust::ident(field), default(field));
        }
        code += "}\n}\n}\n\n";
    }
    code
}

/// The field's default as a Rust expression.
pub fn default(field: &Field) -> String {
    match (field.default.as_deref(), &field.kind) {
        (Some("null"), _) => "None".to_owned(),
        (Some(value), Type::Plain(..)) => value.to_owned(),
        (Some(value), _) => panic!("{}: a default of {value} for that type", field.name),
        (None, Type::Records) => "Default::default()".to_owned(),
        (None, _) if rust::is_option(field) => "Some(Default::default())".to_owned(),
        (None, _) => "Default::default()".to_owned(),
    }
}

fn has_float(message: &Message, structure: &Structure) -> bool {
    structure
        .fields
        .iter()
        .any(|field| match (&field.kind, field.kind.structure()) {
            (Type::Plain(_, rust), _) => *rust == "f64",
            (_, Some(name)) => has_float(message, &message.structure(name)),
            _ => false,
        })
}
