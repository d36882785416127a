//! `ApiKey` and what is known of each API without its messages.

use crate::schema::{Kind, Message};

pub fn generate(messages: &[Message]) -> String {
    let (mut variants, mut all, mut from, mut names) =
        (String::new(), String::new(), String::new(), String::new());
    let (mut versions, mut flexible) = (String::new(), String::new());
    for message in messages.iter().filter(|m| m.kind == Kind::Request) {
        let name = message
            .name
            .strip_suffix("Request")
            .expect("a request is named so");
        let (key, range) = (message.key, message.versions);
        let stable = message.unstable.map_or(range.max, |unstable| unstable - 1);
        variants += &format!("{name} = {key},\n");
        all += &format!("ApiKey::{name},\n");
        from += &format!("{key} => Some(ApiKey::{name}),\n");
        names += &format!("ApiKey::{name} => \"{name}\",\n");
        versions += &format!("ApiKey::{name} => ({}, {stable}),\n", range.min);
        let first = message
            .flexible
            .map_or("None".to_owned(), |first| format!("Some({first})"));
        flexible += &format!("ApiKey::{name} => {first},\n");
    }
    format!(
        "/// The APIs that clients and brokers call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum ApiKey {{\n{variants}}}

impl ApiKey {{
/// Every API, by ascending key.
pub const ALL: &[ApiKey] = &[\n{all}];

pub const fn from_code(key: i16) -> Option<ApiKey> {{\nmatch key {{\n{from}_ => None,\n}}\n}}

/// The name without `Request`.
pub const fn name(self) -> &'static str {{\nmatch self {{\n{names}}}\n}}

/// The first and the last stable version that the schema defines.
pub const fn versions(self) -> (i16, i16) {{\nmatch self {{\n{versions}}}\n}}

/// The first version with compact lengths and tagged fields.
pub const fn flexible_from(self) -> Option<i16> {{\nmatch self {{\n{flexible}}}\n}}
}}\n"
    )
}
