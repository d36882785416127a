//! Reading the fields of a record's JSON.

use chrono::DateTime;
use pipeline::Record;
use serde_json::Value;

use super::store::Fields;

/// The record's value as a JSON object, or why it is none.
pub fn object(record: &Record) -> Result<Fields, String> {
    let value = record.value.as_deref().ok_or("it has no value")?;
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

pub fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, String> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("{name} is not text"))
}

pub fn integer(fields: &Fields, name: &str) -> Result<i64, String> {
    fields
        .get(name)
        .and_then(Value::as_i64)
        .ok_or_else(|| format!("{name} is not a whole number"))
}

/// Microseconds since 1970 of an RFC 3339 time, which is what PostgreSQL keeps of it.
pub fn timestamp_us(fields: &Fields, name: &str) -> Result<i64, String> {
    let value = text(fields, name)?;
    let time = DateTime::parse_from_rfc3339(value)
        .map_err(|error| format!("{name} {value:?}: {error}"))?;
    Ok(time.timestamp_micros())
}
