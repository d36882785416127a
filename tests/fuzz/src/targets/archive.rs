//! What the archiver and `millrace verify` read of a bucket: names of objects and their metadata; and the line that either
//! makes of a record. Each derives it for itself, and they must agree.

use std::collections::HashMap;

use pipeline::unfinished;

use super::take::Take;
use crate::memory;
use crate::programs::connector::Compression;
use crate::programs::naming::Place;
use crate::programs::object::{Marker, ObjectMetadata};
use crate::programs::{json_line, layout};

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 256;
pub const FIELDS: [&str; 9] = [
    "millrace-cluster-id",
    "millrace-topic-id",
    "millrace-next-offset",
    "millrace-record-count",
    "millrace-offset-ranges",
    "millrace-retention-gap",
    "millrace-start-offset",
    "millrace-extension",
    "other",
];

/// What it is (a byte), then: a name; or fields: which (a byte), length (2 bytes), value; or a record's value.
pub fn archive(input: &[u8]) {
    let mut take = Take(input);
    let kind = take.byte();
    memory::within(FLOOR + PER_BYTE * input.len(), "an archive", || {
        match kind % 3 {
            0 => name(&String::from_utf8_lossy(take.0)),
            1 => metadata(&fields(take)),
            _ => line(take.0),
        }
    });
}

fn name(key: &str) {
    let place = Place::new("topics", "t", 3, Compression::None);
    let prefix = place.prefix();
    let archiver = place.parse(key);
    let verify = layout::named(&prefix, key);
    let is_gzip = |(start, extension): (i64, &str)| (start, extension == ".json.gz");
    let seen = verify.map(|object| (object.start, object.is_gzip));
    assert_eq!(archiver.map(is_gzip), seen, "{key}");
    if let Some(object) = verify {
        assert_eq!(layout::key(&prefix, object), key);
    }
    if let Some(finished) = unfinished(key) {
        assert!(key.starts_with(finished) && finished.len() < key.len());
    }
}

fn fields(mut take: Take) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    while !take.is_empty() {
        let name = FIELDS[usize::from(take.byte()) % FIELDS.len()];
        let value = String::from_utf8_lossy(take.chunk());
        fields.insert(name.to_owned(), value.into_owned());
    }
    fields
}

fn metadata(fields: &HashMap<String, String>) {
    if let Ok(marker) = Marker::decode(fields) {
        assert_eq!(Marker::decode(&marker.encode()), Ok(marker));
    }
    let (archiver, verify) = (
        ObjectMetadata::decode(fields),
        layout::metadata("k", fields),
    );
    let Ok(archiver) = archiver else {
        assert!(verify.is_err(), "the archiver refuses {fields:?}");
        return;
    };
    let encoded = archiver.encode();
    match verify {
        Ok(verify) => {
            let source = &archiver.source;
            assert_eq!((verify.next, verify.count), (archiver.next, archiver.count));
            assert_eq!(text(&verify.offsets), archiver.ranges.to_string());
            assert_eq!(text(&verify.gap), archiver.gap.to_string());
            assert_eq!(verify.cluster_id, source.cluster_id);
            assert_eq!(verify.topic_id, source.topic_id);
        }
        // That the archiver sees where it looks what comes next.
        Err(error) => assert!(archiver.next < 0, "{error:#}"),
    }
    assert_eq!(ObjectMetadata::decode(&encoded), Ok(archiver));
}

fn text(ranges: &[(i64, i64)]) -> String {
    let one = |(first, last): &(i64, i64)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

fn line(value: &[u8]) {
    let mut lines = Vec::new();
    let archived = json_line::append(&mut lines, Some(value));
    let derived = layout::line(Some(value));
    assert_eq!(archived.is_ok(), derived.is_ok());
    let Ok(mut derived) = derived else {
        assert!(lines.is_empty());
        return;
    };
    derived.push('\n');
    assert_eq!(lines, derived.as_bytes());
    let breaks = lines.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(breaks, 1, "an object has a line for each record");
}
