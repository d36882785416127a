//! Makes the message codec from the tables in `schema/` (see schema/README.md for their format).

#[path = "build/decode.rs"]
mod decode;
#[path = "build/encode.rs"]
mod encode;
#[path = "build/keys.rs"]
mod keys;
#[path = "build/rust.rs"]
mod rust;
#[path = "src/schema/mod.rs"]
mod schema;
#[path = "build/structs.rs"]
mod structs;

use std::path::{Path, PathBuf};
use std::{env, fs};

use schema::{Kind, Message};

fn main() {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/schema");
    let (mut messages, mut embedded) = (Vec::new(), String::new());
    for folder in ["schema/apis", "schema/records", "schema/data"] {
        for path in tables(Path::new(folder)) {
            let text = fs::read_to_string(&path).expect("the table is readable");
            embedded += &format!("{text:?},\n");
            match schema::parse(&text) {
                Ok(parsed) => messages.extend(parsed),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
    messages.sort_by(|a, b| (a.kind, a.key, &a.name).cmp(&(b.kind, b.key, &b.name)));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("messages.rs"), generate(&messages)).expect("OUT_DIR is writable");
    fs::write(out.join("api_key.rs"), keys::generate(&messages)).expect("OUT_DIR is writable");
    fs::write(out.join("tables.rs"), format!("&[\n{embedded}]")).expect("OUT_DIR is writable");
    fs::write(out.join("for_each.rs"), for_each(&messages)).expect("OUT_DIR is writable");
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the schema folder is readable");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the schema folder is readable").path())
        .collect();
    paths.sort();
    paths
}

fn generate(messages: &[Message]) -> String {
    let mut code = String::new();
    for message in messages {
        let module = rust::snake(&message.name);
        code += &format!("pub use {module}::{};\n", message.name);
        code += &format!(
            "#[doc = \"{} and its structures.\"]\npub mod {module} {{\n",
            message.name
        );
        code += "use super::prelude::*;\n\n";
        for structure in message.structures() {
            code += &structs::generate(message, &structure);
            code += &decode::generate(message, &structure);
            code += &encode::generate(message, &structure);
        }
        code += &implementations(message, messages);
        code += "}\n\n";
    }
    code
}

/// The traits that only the message itself has.
fn implementations(message: &Message, messages: &[Message]) -> String {
    let Message { name, versions, .. } = message;
    let range = format!(
        "const MIN_VERSION: i16 = {};\nconst MAX_VERSION: i16 = {};\n",
        versions.min, versions.max
    );
    match message.kind {
        Kind::Request => {
            let api = name.strip_suffix("Request").expect("a request is named so");
            let response = format!("{api}Response");
            assert!(
                messages.iter().any(|m| m.name == response),
                "{name} has no response"
            );
            let flexible = message
                .flexible
                .map_or("None".to_owned(), |from| format!("Some({from})"));
            format!(
                "impl Request for {name} {{\nconst KEY: ApiKey = ApiKey::{api};\n{range}\
                 const FLEXIBLE_FROM: Option<i16> = {flexible};\ntype Response = super::{response};\n}}\n"
            )
        }
        Kind::Key => {
            format!(
                "impl RecordKey for {name} {{\nconst TYPE: i16 = {};\n}}\n",
                message.key
            )
        }
        Kind::Value | Kind::Data => format!("impl Versioned for {name} {{\n{range}}}\n"),
        Kind::Response => String::new(),
    }
}

/// A macro that hands the list of all messages to another macro.
fn for_each(messages: &[Message]) -> String {
    let names: String = messages
        .iter()
        .map(|m| {
            format!(
                "{} {} {}\n",
                rust::snake(&format!("{:?}", m.kind)),
                m.key,
                m.name
            )
        })
        .collect();
    format!(
        "/// Calls the macro `$call` with `kind key Name` of every message, for tests that go through all of them.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_message {{ ($call:ident) => {{ $call! {{\n{names}}} }} }}\n"
    )
}
