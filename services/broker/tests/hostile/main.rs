//! A broker process under requests that nobody sane sends. It stays alive, its memory stays flat.

// A test is the outside.
#![allow(clippy::disallowed_methods)]

mod batches;
mod deaf;
#[path = "../shared/ports.rs"]
mod ports;
mod process;
mod repeats;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use process::Process;
use wire::messages::api_versions_response::ApiVersion;
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use wire::sample::{Generator, messages};
use wire::schema::{Kind, Message as Table};
use wire::{ApiKey, Message, Reader, Writer};

/// A frame that is refused closes its connection well within this.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// What a broker may take for all of this, over what it had after its start.
const GROWTH_MAX: u64 = 64 << 20;

#[test]
fn a_broker_takes_all_the_open_files_that_it_may_have() {
    let broker = Process::with_open_files(300, 2000);
    assert_eq!(broker.open_files(), 2000);
    let log = broker.log();
    assert!(log.contains("lower max.connections"), "{log}");
}

#[test]
fn a_count_of_two_billion_in_any_array_of_any_api_is_refused_with_flat_memory() {
    // Given a broker that has served something
    let broker = Process::start();
    let offered = api_versions(&broker);
    let before = broker.peak_memory_bytes();

    // When each array field of each API at each version claims 2^31 - 1 elements
    let mut refused = 0;
    for (table, version) in requests(&offered) {
        for index in 0.. {
            let mut generator = Generator::new(&table, version, 1).with_hostile_array(index);
            let body = generator.write();
            let Some(array) = generator.arrays.get(index) else {
                break;
            };
            // Then its connection is closed without an answer
            let answer = exchange(&broker, &table, version, &body, CLOSED_WITHIN);
            assert_eq!(
                answer.as_deref(),
                Ok(&[][..]),
                "{} version {version}, {array}",
                table.name
            );
            refused += 1;
        }
    }

    // And the broker is alive, with flat memory
    assert!(refused > 100, "only {refused} arrays were tried");
    assert_eq!(api_versions(&broker), offered);
    let grown = broker.peak_memory_bytes() - before;
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

#[test]
fn well_formed_nonsense_is_answered_or_refused_and_nothing_breaks() {
    // Given
    let broker = Process::start();
    let offered = api_versions(&broker);
    let before = broker.peak_memory_bytes();

    // When every API at every version gets random values; some of them wait, which nobody waits for here
    for (table, version) in requests(&offered) {
        for seed in 0..4 {
            let body = Generator::new(&table, version, seed).write();
            let _ = exchange(&broker, &table, version, &body, Duration::from_millis(20));
        }
    }

    // Then no task has died of it either
    assert_eq!(api_versions(&broker), offered);
    let log = broker.log();
    assert!(!log.contains("panicked"), "{log}");
    let grown = broker.peak_memory_bytes() - before;
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

#[test]
fn frames_of_impossible_sizes_close_the_connection() {
    let broker = Process::start();
    let offered = api_versions(&broker);
    let before = broker.peak_memory_bytes();
    for size in [i32::MAX, i32::MIN, -1, 0, 1, 3] {
        let mut frame = size.to_be_bytes().to_vec();
        frame.resize(4 + usize::try_from(size).unwrap_or(0).min(3), 0);
        let mut stream = broker.connect();
        stream.write_all(&frame).expect("the broker reads");
        assert_eq!(
            read_all(&mut stream, CLOSED_WITHIN).as_deref(),
            Ok(&[][..]),
            "size {size}"
        );
    }
    assert_eq!(api_versions(&broker), offered);
    assert!(broker.peak_memory_bytes() - before < GROWTH_MAX);
}

/// The tables of all requests that the broker offers, with each version.
fn requests(offered: &[ApiVersion]) -> Vec<(Table, i16)> {
    let mut all = Vec::new();
    for table in messages().into_iter().filter(|m| m.kind == Kind::Request) {
        let Some(range) = offered.iter().find(|o| o.api_key == table.key) else {
            continue;
        };
        let first = range.min_version.max(table.versions.min);
        all.extend((first..=range.max_version).map(|version| (table.clone(), version)));
    }
    all
}

fn api_versions(broker: &Process) -> Vec<ApiVersion> {
    let key = ApiKey::ApiVersions;
    let mut body = Writer::new();
    ApiVersionsRequest::default()
        .encode(&mut body, 0)
        .expect("it has no fields");
    let frame = frame(key, 0, &body.finish_contiguous());
    let mut stream = broker.connect();
    stream.write_all(&frame).expect("the broker reads");
    stream
        .shutdown(Shutdown::Write)
        .expect("the connection is open");
    let answer = read_all(&mut stream, CLOSED_WITHIN).expect("the broker answers");
    let mut reader = Reader::new(Bytes::from(answer).slice(4..));
    ResponseHeader::decode(&mut reader, 0).expect("a header");
    ApiVersionsResponse::decode(&mut reader, 0)
        .expect("an answer")
        .api_keys
}

/// Sends one request and reads until the broker closes, or an error where it does not in time.
fn exchange(
    broker: &Process,
    table: &Table,
    version: i16,
    body: &[u8],
    within: Duration,
) -> Result<Vec<u8>, ErrorKind> {
    let key = ApiKey::from_code(table.key).expect("the broker offers no other");
    let mut stream = broker.connect();
    match stream.write_all(&frame(key, version, body)) {
        Ok(()) => read_all(&mut stream, within),
        Err(error) => Err(error.kind()),
    }
}

fn frame(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let header = RequestHeader {
        request_api_key: key.code(),
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("hostile".into()),
    };
    let mut w = Writer::new();
    header
        .encode(&mut w, key.request_header_version(version))
        .expect("a short client id");
    w.raw(body);
    w.finish_frame().expect("a short frame").concat()
}

fn read_all(stream: &mut TcpStream, within: Duration) -> Result<Vec<u8>, ErrorKind> {
    stream
        .set_read_timeout(Some(within))
        .expect("the timeout is not zero");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        // Closed with our bytes unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(answer),
        Err(error) => Err(error.kind()),
    }
}
