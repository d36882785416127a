//! How the tables' types and versions look in Rust.

use crate::schema::{Field, Message, Type, Versions};

/// The condition on `version` that holds within these versions, given that `outer` holds; `None` when it
/// always does.
pub fn condition(inner: Versions, outer: Versions) -> Option<String> {
    match (inner.min > outer.min, inner.max < outer.max) {
        (false, false) => None,
        (true, false) => Some(format!("version >= {}", inner.min)),
        (false, true) => Some(format!("version <= {}", inner.max)),
        (true, true) if inner.min == inner.max => Some(format!("version == {}", inner.min)),
        (true, true) => Some(format!(
            "({}..={}).contains(&version)",
            inner.min, inner.max
        )),
    }
}

/// The Rust expression that tells whether `version` is flexible; a constant where it can be.
pub fn is_flexible(message: &Message) -> String {
    match message.flexible {
        None => "false".to_owned(),
        Some(from) if from <= message.versions.min => "true".to_owned(),
        Some(from) => format!("version >= {from}"),
    }
}

/// The fewest bytes of an element, over all versions.
pub fn min_size(message: &Message, kind: &Type) -> usize {
    (message.versions.min..=message.versions.max)
        .map(|v| min_size_at(message, kind, v))
        .min()
        .unwrap_or(1)
        .max(1)
}

fn min_size_at(message: &Message, kind: &Type, version: i16) -> usize {
    let flexible = message.flexible.is_some_and(|from| version >= from);
    match kind {
        Type::Plain(_, "i8" | "bool") => 1,
        Type::Plain(_, "i16" | "u16") => 2,
        Type::Plain(_, "i32" | "u32") => 4,
        Type::Plain(_, "i64" | "f64") => 8,
        Type::Plain(_, "Uuid") => 16,
        Type::Plain(_, other) => panic!("no size for {other}"),
        Type::String if !flexible => 2,
        Type::Bytes | Type::Records | Type::Array(_) if !flexible => 4,
        Type::String | Type::Bytes | Type::Records | Type::Array(_) => 1,
        Type::Structure(name) => {
            let present = |f: &&Field| {
                f.tag.is_none() && f.versions.min <= version && version <= f.versions.max
            };
            let structure = message.structure(name);
            let size = |f: &Field| match (&f.kind, f.nullable) {
                (Type::Structure(_), Some(_)) => 1,
                (kind, _) => min_size_at(message, kind, version),
            };
            structure
                .fields
                .iter()
                .filter(present)
                .map(size)
                .sum::<usize>()
                + usize::from(flexible)
        }
    }
}

/// The Rust type, without `Option`.
pub fn type_name(kind: &Type) -> String {
    match kind {
        Type::Plain(_, rust) => (*rust).to_owned(),
        Type::String => "Str".to_owned(),
        Type::Bytes => "Bytes".to_owned(),
        Type::Records => "Records".to_owned(),
        Type::Structure(name) => name.clone(),
        Type::Array(element) => format!("Vec<{}>", type_name(element)),
    }
}

/// Records may be null whatever the table says: clients send null where they have none.
pub fn is_option(field: &Field) -> bool {
    field.nullable.is_some() || field.kind == Type::Records
}

/// The field's name as Rust wants it.
pub fn ident(field: &Field) -> String {
    match field.name.as_str() {
        "match" | "type" => format!("r#{}", field.name),
        name => name.to_owned(),
    }
}

/// `FetchRequest` to `fetch_request`.
pub fn snake(name: &str) -> String {
    let mut text = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}
