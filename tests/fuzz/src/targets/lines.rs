//! Lines that a console producer is given, by properties of any kind.

use std::collections::BTreeMap;

use crate::memory;
use crate::programs::line_reader::LineReader;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 256;

/// Properties, one a line; after a line of `---`, lines.
pub fn lines(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "lines", || {
        let marker = b"\n---\n";
        let found = input.windows(marker.len()).position(|part| part == marker);
        let (head, rest) = match found {
            Some(at) => (&input[..at], &input[at + marker.len()..]),
            None => (&[][..], input),
        };
        let head = String::from_utf8_lossy(head);
        let pairs = head.lines().filter_map(|line| line.split_once('='));
        let properties: BTreeMap<String, String> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let Ok(reader) = LineReader::new(&properties) else {
            return;
        };
        for (at, line) in rest.split(|byte| *byte == b'\n').enumerate() {
            let Ok(record) = reader.read(line, at as u64 + 1) else {
                continue;
            };
            let value = record.value.unwrap_or_default();
            assert!(line.ends_with(&value), "a value is the end of its line");
        }
    });
}
