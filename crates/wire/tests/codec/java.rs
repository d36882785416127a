//! Bytes that the classes of Apache Kafka's Java client 4.3.1 wrote (tests/java/Fixtures.java makes the file).

use bytes::Bytes;
use wire::batch::{Batch, Compression};
use wire::sample::{Generator, messages};

use crate::kafka_protocol::UNKNOWN;
use crate::recode::recode;

const FIXTURES: &str = include_str!("../java/fixtures.txt");

/// Name, version and bytes of each line.
fn fixtures() -> Vec<(&'static str, i16, Bytes)> {
    let parse = |line: &'static str| {
        let mut words = line.split(' ');
        let (name, version, hex) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        let byte =
            |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("the fixture is hexadecimal");
        Some((
            name,
            version,
            (0..hex.len())
                .step_by(2)
                .map(byte)
                .collect::<Vec<_>>()
                .into(),
        ))
    };
    FIXTURES
        .lines()
        .map(|line| parse(line).expect("a line is name, version, bytes"))
        .collect()
}

#[test]
fn what_java_wrote_is_read_and_written_again() {
    for (name, version, bytes) in fixtures()
        .into_iter()
        .filter(|(_, version, _)| *version >= 0)
    {
        assert_eq!(
            recode(name, bytes.clone(), version),
            Ok((bytes, 0)),
            "{name} version {version}"
        );
    }
}

#[test]
fn what_kafka_protocol_lacks_java_has_confirmed() {
    for name in UNKNOWN {
        assert!(
            fixtures()
                .iter()
                .any(|(n, v, _)| format!("{n} {v}") == *name),
            "no fixture for {name}"
        );
    }
}

#[test]
fn javas_fields_are_where_they_belong() {
    let (_, version, bytes) = fixtures()
        .into_iter()
        .find(|(n, v, _)| (*n, *v) == ("FetchResponse", 18))
        .unwrap();
    let response: wire::messages::FetchResponse =
        wire::Message::decode(&mut wire::Reader::new(bytes), version).unwrap();
    let partition = &response.responses[0].partitions[0];
    assert_eq!(
        (
            response.session_id,
            partition.high_watermark,
            partition.log_start_offset
        ),
        (99, 10, 2)
    );
    assert_eq!(
        (
            partition.diverging_epoch.epoch,
            partition.diverging_epoch.end_offset
        ),
        (5, 8)
    );
    assert_eq!(
        (partition.partition_index, &partition.aborted_transactions),
        (4, &None)
    );
    assert_eq!(
        (
            response.node_endpoints[0].host.as_str(),
            response.node_endpoints[0].port
        ),
        ("h", 9092)
    );
    assert_eq!(
        response.responses[0].topic_id.to_string(),
        "ASNFZ4mrze8RIjNEVWZ3iA"
    );
}

#[test]
fn javas_batches_are_coherent() {
    let batches: Vec<_> = fixtures()
        .into_iter()
        .filter(|(name, ..)| *name == "RecordBatch")
        .collect();
    let codecs = [Compression::None, Compression::Gzip];
    for ((_, _, bytes), codec) in batches.into_iter().zip(codecs) {
        let batch = Batch::parse(bytes).unwrap();
        assert_eq!(
            (batch.verify_crc(), batch.header.validate_from_client()),
            (Ok(()), Ok(()))
        );
        assert_eq!(
            (batch.header.compression(), batch.header.record_count),
            (codec, 2)
        );
        assert_eq!(
            (batch.header.producer_id, batch.header.producer_epoch),
            (4711, 3)
        );
        assert_eq!(
            (batch.header.base_sequence, batch.header.last_sequence()),
            (17, 18)
        );
        if codec == Compression::None {
            let records: Vec<_> = wire::record::iter(batch.payload(), 2)
                .map(Result::unwrap)
                .collect();
            assert_eq!(records[0].key.as_deref(), Some(&b"key"[..]));
            assert_eq!(records[0].headers[1].value, None);
            assert_eq!(
                (records[1].timestamp_delta, records[1].value.as_deref()),
                (5, Some(&b"no key"[..]))
            );
        }
    }
}

/// Input for tests/java/Fixtures.java.
#[test]
#[ignore = "prints samples for the Java program that makes the fixtures"]
fn print_samples() {
    for message in messages() {
        for version in message.versions.min..=message.versions.max {
            if UNKNOWN.contains(&format!("{} {version}", message.name).as_str())
                || std::env::var_os("ALL").is_some()
            {
                let bytes = Generator::new(&message, version, 5).write();
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("sample {} {version} {hex}", message.name);
            }
        }
    }
}
