//! What services read: records and their headers, a bucket's objects, a store's answers.

use pipeline::{COUNTER_HEADER, RUN_ID_HEADER};
use telemetry::traces::{TRACEPARENT, TRACESTATE};

use super::{Inputs, chunk};
use crate::programs::object::{Marker, ObjectMetadata, Source};
use crate::targets::{archive, record_headers};

const WEB_LOG: &str = r#"{"ip":"2001:db8::7","timestamp":"2026-01-01T23:59:59.123456+01:00","method":"GET","url":"/\u00fc","status_code":200,"user_agent":"x"}"#;
const ORDER: &str = r#"{"id":"1","customer":"Ada","items":[{"product":"rye","quantity":2,"unit_price":450},{"product":"bun","quantity":-1,"unit_price":1}],"total":899,"store":"s","payment_method":"cash","ordered_at":"2026-01-01T12:00:00Z"}"#;
const ORDER_KIND: u8 = 1;
const TIMED: u8 = 2;

pub fn records() -> Inputs {
    let timed = |kind: u8, at: i64, value: &str| {
        [&[kind | TIMED][..], &at.to_be_bytes(), value.as_bytes()].concat()
    };
    let plain = |kind: u8, value: &str| [&[kind][..], value.as_bytes()].concat();
    let now = 1_700_000_000_000;
    [
        ("web-log", timed(0, now, WEB_LOG)),
        ("order", timed(ORDER_KIND, now, ORDER)),
        ("before-1970", timed(0, -1, WEB_LOG)),
        ("no-timestamp", plain(ORDER_KIND, ORDER)),
        ("leap", plain(0, &WEB_LOG.replace("59.123456", "60.5"))),
        (
            "year-0",
            plain(0, &WEB_LOG.replace("2026-01-01T2", "0000-01-01T0")),
        ),
        ("status", plain(0, &WEB_LOG.replace("200", "3000000000"))),
        (
            "more",
            plain(
                0,
                &WEB_LOG.replace('{', r#"{"x":[1e999,{"y":"\ud800"}],"x":1,"#),
            ),
        ),
        (
            "twice",
            plain(0, &WEB_LOG.replace('{', r#"{"url":"/twice","#)),
        ),
        (
            "list",
            plain(
                ORDER_KIND,
                r#"["1","c",[["rye",1,195]],195,"s","cash","2026-01-01T12:00:00Z"]"#,
            ),
        ),
        ("money", plain(ORDER_KIND, &ORDER.replace("899", "8.99"))),
        ("text", plain(ORDER_KIND, "two croissants please")),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}

/// A record's headers.
fn header_bytes(headers: &[(&str, &str)], out: &mut Vec<u8>) {
    out.push(headers.len() as u8);
    for (name, value) in headers {
        let which = record_headers::NAMES.iter().position(|known| known == name);
        out.push(which.expect("a header that is known") as u8);
        chunk(value.as_bytes(), out);
    }
}

pub fn headers() -> Inputs {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut traced = vec![0];
    header_bytes(
        &[(TRACEPARENT, parent), (TRACESTATE, "a=1,b@c=2")],
        &mut traced,
    );
    header_bytes(&[(TRACEPARENT, &parent.replace("00-", "ff-"))], &mut traced);
    header_bytes(&[(TRACEPARENT, "00-0-0-0"), ("other", "")], &mut traced);
    let mut counted = vec![0];
    for counter in ["0", "1", "3", "2", "18446744073709551615", "x"] {
        header_bytes(
            &[(RUN_ID_HEADER, "run"), (COUNTER_HEADER, counter)],
            &mut counted,
        );
    }
    vec![("traced".into(), traced), ("counted".into(), counted)]
}

/// Fields as the target `archive` takes them.
fn fields(of: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![1];
    for (name, value) in of {
        let which = archive::FIELDS.iter().position(|known| known == name);
        out.push(which.expect("a field that is known") as u8);
        chunk(value.as_bytes(), &mut out);
    }
    out
}

pub fn archives() -> Inputs {
    let source = Source {
        cluster_id: "c".into(),
        topic_id: "t".into(),
    };
    let metadata = ObjectMetadata {
        source: source.clone(),
        next: 12,
        count: 8,
        ranges: "0-4,7,10-11".parse().expect("ranges"),
        gap: "5-6".parse().expect("a range"),
    };
    let marker = Marker {
        source,
        start: 5,
        extension: ".json".into(),
    };
    // A map has no order, and the corpus is the same each time.
    let sorted = |fields: std::collections::HashMap<String, String>| {
        let mut all: Vec<(String, String)> = fields.into_iter().collect();
        all.sort();
        all
    };
    let packed = |of: Vec<(String, String)>| {
        let of: Vec<(&str, &str)> = of.iter().map(|(k, v)| (&**k, &**v)).collect();
        fields(&of)
    };
    let with = |name: &str, value: &str| {
        let mut fields = metadata.encode();
        fields.insert(name.to_owned(), value.to_owned());
        packed(sorted(fields))
    };
    let mut all: Inputs = [
        ("metadata", packed(sorted(metadata.encode()))),
        ("marker", packed(sorted(marker.encode()))),
        (
            "negative",
            with("millrace-next-offset", "-9223372036854775808"),
        ),
        (
            "largest",
            with("millrace-offset-ranges", "0-9223372036854775807"),
        ),
        ("reversed", with("millrace-offset-ranges", "5-3")),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into();
    let names = [
        ("plain", "topics/t/partition=3/t+3+0000000042.json"),
        ("gzip", "topics/t/partition=3/t+3+12345678901.json.gz"),
        ("zeros", "topics/t/partition=3/t+3+00000000042.json"),
        (
            "unfinished",
            "topics/t/partition=3/t+3+0000000042.json-08d2a685-1b83-425a-943f-e8df8b96eaa7",
        ),
    ];
    all.extend(
        names.map(|(name, key)| (format!("name-{name}"), [&[0][..], key.as_bytes()].concat())),
    );
    let lines = [
        ("spaced", "{\r\n \"a b\" : \"x \\\" \\\\\" ,\t\"n\":1.10 }"),
        ("number", " 18446744073709551616.000"),
        ("broken", "{\"a\":}"),
    ];
    all.extend(
        lines.map(|(name, line)| (format!("line-{name}"), [&[2][..], line.as_bytes()].concat())),
    );
    all
}

pub fn bulk_answers() -> Inputs {
    let mixed = r#"{"errors":true,"items":[{"create":{"status":201,"result":"created"}},
{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"r","caused_by":{"reason":"c"}}}},
{"create":{"status":429,"error":{"type":"rejected_execution_exception","reason":"r"}}}]}"#;
    let other = r#"{"items":[{"index":{"status":"201"}},{}]}"#;
    let page = "<html>503 Service Unavailable</html>";
    [("mixed", mixed), ("other", other), ("page", page)]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into()
}
