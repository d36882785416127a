//! How `kafka-console-producer.sh` reads a record from a line: `header:value,...<tab>key<tab>value`, each part when its
//! property asks for it.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};

/// A record as a line says it. `None` is null.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The properties of Kafka's LineMessageReader.
#[derive(Debug)]
pub struct LineReader {
    parse_key: bool,
    parse_headers: bool,
    ignore_error: bool,
    key_separator: String,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
}

impl LineReader {
    pub fn new(properties: &BTreeMap<String, String>) -> anyhow::Result<LineReader> {
        let text = |name: &str, default: &str| {
            properties
                .get(name)
                .map_or(default, String::as_str)
                .to_owned()
        };
        let is = |name: &str| text(name, "false").trim().eq_ignore_ascii_case("true");
        let reader = LineReader {
            parse_key: is("parse.key"),
            parse_headers: is("parse.headers"),
            ignore_error: is("ignore.error"),
            key_separator: text("key.separator", "\t"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: properties.get("null.marker").cloned(),
        };
        if reader.headers_delimiter == reader.headers_separator {
            bail!("headers.delimiter and headers.separator may not be equal");
        }
        if reader.headers_separator == reader.headers_key_separator {
            bail!("headers.separator and headers.key.separator may not be equal");
        }
        Ok(reader)
    }

    /// Reads the `number`th line.
    pub fn read(&self, line: &[u8], number: u64) -> anyhow::Result<Line> {
        let mut record = Line::default();
        let mut rest = line;
        if self.parse_headers {
            let (headers, after) =
                self.split(rest, &self.headers_delimiter, "headers delimiter", number)?;
            rest = after;
            if let Some(headers) = headers.filter(|headers| !self.is_null(headers)) {
                record.headers = self.headers(headers, number)?;
            }
        }
        if self.parse_key {
            let (key, after) = self.split(rest, &self.key_separator, "key separator", number)?;
            rest = after;
            record.key = key.and_then(|key| self.or_null(key));
        }
        record.value = self.or_null(rest);
        Ok(record)
    }

    /// What stands before the first `separator` and after it.
    fn split<'a>(
        &self,
        line: &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> anyhow::Result<(Option<&'a [u8]>, &'a [u8])> {
        match find(line, separator.as_bytes()) {
            Some(at) => Ok((Some(&line[..at]), &line[at + separator.len()..])),
            None if self.ignore_error => Ok((None, line)),
            None => Err(anyhow!(
                "No {what} found on line number {number}: '{}'",
                String::from_utf8_lossy(line)
            )),
        }
    }

    fn headers(&self, text: &[u8], number: u64) -> anyhow::Result<Vec<(String, Option<Vec<u8>>)>> {
        let text = String::from_utf8_lossy(text);
        let mut headers = Vec::new();
        for pair in text.split(self.headers_separator.as_str()) {
            match pair.split_once(self.headers_key_separator.as_str()) {
                Some((name, value)) => {
                    headers.push((name.to_owned(), self.or_null(value.as_bytes())));
                }
                None if self.ignore_error => headers.push((pair.to_owned(), None)),
                None => {
                    bail!("No header key separator found in pair '{pair}' on line number {number}")
                }
            }
        }
        Ok(headers)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker
            .as_ref()
            .is_some_and(|marker| marker.as_bytes() == text)
    }

    fn or_null(&self, text: &[u8]) -> Option<Vec<u8>> {
        (!self.is_null(text)).then(|| text.to_vec())
    }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    if separator.is_empty() {
        return Some(0);
    }
    line.windows(separator.len())
        .position(|window| window == separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[(&str, &str)]) -> LineReader {
        let all = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        LineReader::new(&all.collect()).expect("good properties")
    }

    fn text(bytes: &Option<Vec<u8>>) -> Option<&str> {
        bytes
            .as_deref()
            .map(|bytes| std::str::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn a_line_is_headers_key_and_value_as_asked_for() {
        let all = reader(&[
            ("parse.key", "true"),
            ("parse.headers", "true"),
            ("null.marker", "NULL"),
        ]);
        let line = all.read(b"a:1,b:NULL\tk\tv\tw", 1).expect("a record");
        assert_eq!(line.headers.len(), 2);
        assert_eq!(
            (text(&line.headers[0].1), text(&line.headers[1].1)),
            (Some("1"), None)
        );
        assert_eq!(
            (text(&line.key), text(&line.value)),
            (Some("k"), Some("v\tw"))
        );
        let line = all.read(b"NULL\tNULL\tNULL", 1).expect("a record");
        assert_eq!(line, Line::default());

        let plain = reader(&[]).read(b"k:v", 1).expect("a record");
        assert_eq!((text(&plain.key), text(&plain.value)), (None, Some("k:v")));
    }

    #[test]
    fn a_missing_separator_is_an_error_with_its_line_unless_errors_are_ignored() {
        let keyed = [("parse.key", "true"), ("key.separator", ":")];
        let error = reader(&keyed).read(b"novalue", 7).expect_err("no key");
        assert_eq!(
            error.to_string(),
            "No key separator found on line number 7: 'novalue'"
        );
        let lenient = [&keyed[..], &[("ignore.error", "true")]].concat();
        let line = reader(&lenient).read(b"novalue", 7).expect("a record");
        assert_eq!(
            (text(&line.key), text(&line.value)),
            (None, Some("novalue"))
        );
        let same = [("headers.separator", ":")];
        let same = same
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert!(LineReader::new(&same.collect()).is_err());
    }
}
