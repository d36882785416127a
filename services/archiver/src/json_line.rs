//! One record's value as one line of an object.
//!
//! The value's bytes are kept: numbers keep their digits and keys their order. Only the white space between tokens
//! goes, since a line may hold no line break.

use serde::de::IgnoredAny;

/// Why a value cannot be a line. The text becomes a dead letter's error message.
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    #[error("the record has no value")]
    Tombstone,
    #[error("the value is not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("the value is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// The value's text, if it can be a line.
pub fn check(value: Option<&[u8]>) -> Result<&str, NotJson> {
    let text = std::str::from_utf8(value.ok_or(NotJson::Tombstone)?)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(text)
}

/// Appends the value and a line feed to `lines`, or nothing when it is not JSON.
pub fn append(lines: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), NotJson> {
    let text = check(value)?;
    let mut in_string = false;
    let mut escaped = false;
    lines.extend(text.bytes().filter(|byte| {
        let between_tokens = !in_string && matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        !between_tokens
    }));
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: &str) -> String {
        let mut lines = Vec::new();
        append(&mut lines, Some(value.as_bytes())).expect("valid JSON");
        String::from_utf8(lines).expect("the bytes of a str")
    }

    #[test]
    fn only_white_space_between_tokens_goes() {
        assert_eq!(
            line("{\r\n \"a b\" : \"x \\\" \\\\\" ,\t\"n\":1.10 }"),
            "{\"a b\":\"x \\\" \\\\\",\"n\":1.10}\n"
        );
        assert_eq!(
            line("18446744073709551616.000"),
            "18446744073709551616.000\n"
        );
        assert_eq!(line(r#"{"a":1,"a":2}"#), "{\"a\":1,\"a\":2}\n");
        assert_eq!(line(" \"ü\\u00fc\" "), "\"ü\\u00fc\"\n");
    }

    #[test]
    fn what_is_not_json_leaves_no_trace() {
        let mut lines = Vec::new();
        for value in [
            &b"two croissants please"[..],
            b"",
            b"{\"a\":}",
            b"{} {}",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            b"NaN",
        ] {
            assert!(append(&mut lines, Some(value)).is_err(), "{value:?}");
        }
        assert!(matches!(append(&mut lines, None), Err(NotJson::Tombstone)));
        assert!(lines.is_empty());
    }
}
