//! Conversations: requests that are nearly right, one after the other over a few connections, as `arbitrary` makes them of
//! the input. Every API that is offered, at every version, on topics and groups that are there and on ones that are not,
//! with fields changed, cut or huge. Afterwards the broker serves as before.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use wire::batch::{BatchHeader, HEADER_LEN};
use wire::messages::RequestHeader;
use wire::record::BatchBuilder;
use wire::sample::{Generator, messages};
use wire::schema::{Kind, Message as Table};
use wire::{ApiKey, Message, Writer};

use super::words::{self, Word};
use crate::broker::{Life, PORT};
use crate::memory;

/// What a broker that starts, serves and stops takes at most, with what a few connections may cost.
const FLOOR: usize = 96 << 20;
const PER_BYTE: usize = 4096;
/// Requests of one conversation.
const WORDS_MAX: usize = 24;

/// A request's table, by whose fields it is made up.
static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let mut tables = messages();
    tables.retain(|table| table.kind == Kind::Request);
    tables
});

/// One request.
#[derive(Arbitrary, Debug)]
enum Said {
    /// Of any API, with values at random.
    Random {
        api: u8,
        version: u8,
        seed: u64,
        /// An array with 2^31 - 1 elements.
        hostile: Option<u8>,
    },
    /// What a client would say.
    Sensible { word: Word, version: u8 },
    /// A batch whose header says something else than is in it, under a CRC that fits.
    Lie { field: u8, value: i64, version: u8 },
}

/// What happens to its bytes on their way.
#[derive(Arbitrary, Debug)]
enum Change {
    None,
    Byte { at: u16, value: u8 },
    Cut { at: u16 },
    Size { size: i32 },
    Twice,
}

#[derive(Arbitrary, Debug)]
struct Step {
    said: Said,
    change: Change,
    /// Ends the connection; what follows is said on the next one.
    ends: bool,
}

/// Bytes that `arbitrary` makes steps of.
pub fn conversation(input: &[u8]) {
    let mut unstructured = Unstructured::new(input);
    let mut connections = vec![Vec::new()];
    for _ in 0..WORDS_MAX {
        if unstructured.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut unstructured) else {
            break;
        };
        let last = connections.last_mut().expect("there is always one");
        last.extend_from_slice(&changed(bytes(&step.said), &step.change));
        if step.ends {
            connections.push(Vec::new());
        }
    }
    memory::within(FLOOR + PER_BYTE * input.len(), "a conversation", || {
        let mut life = Life::begin();
        for said in &connections {
            life.hear(PORT, said, usize::MAX);
        }
        life.must_go_on();
    });
}

/// The request with its size.
fn bytes(said: &Said) -> Vec<u8> {
    match said {
        Said::Random {
            api,
            version,
            seed,
            hostile,
        } => {
            let table = &TABLES[usize::from(*api) % TABLES.len()];
            let version = version_of(table.versions.min, table.versions.max, *version);
            let mut generator = Generator::new(table, version, *seed);
            if let Some(index) = hostile {
                generator = generator.with_hostile_array(usize::from(*index));
            }
            framed(table.key, version, &generator.write())
        }
        Said::Sensible { word, version } => words::frame(word, *version),
        Said::Lie {
            field,
            value,
            version,
        } => words::produce(lie(*field, *value), *version),
    }
}

/// One of the versions, the newest for 0.
pub fn version_of(min: i16, max: i16, choice: u8) -> i16 {
    let span = max - min + 1;
    max - i16::from(choice) % span
}

fn framed(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let Some(api) = ApiKey::from_code(key) else {
        return Vec::new();
    };
    let header = RequestHeader {
        request_api_key: key,
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("hostile".into()),
    };
    let mut writer = Writer::new();
    header
        .encode(&mut writer, api.request_header_version(version))
        .expect("a short client id");
    writer.raw(body);
    writer.finish_frame().expect("a short frame").concat()
}

fn lie(field: u8, value: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    for _ in 0..3 {
        builder.append(Some(b"key"), Some(b"value"));
    }
    let mut bytes = BytesMut::from(&builder.build().bytes[..]);
    let mut h = BatchHeader::parse(&bytes).expect("it was just built");
    match field % 12 {
        0 => h.base_offset = value,
        1 => h.batch_length = value as i32,
        2 => h.partition_leader_epoch = value as i32,
        3 => h.magic = value as i8,
        4 => h.attributes = value as i16,
        5 => h.last_offset_delta = value as i32,
        6 => h.base_timestamp = value,
        7 => h.max_timestamp = value,
        8 => (h.producer_id, h.producer_epoch, h.base_sequence) = (value, 0, value as i32),
        9 => (h.producer_id, h.producer_epoch, h.base_sequence) = (value & 3, value as i16, 0),
        10 => h.record_count = value as i32,
        // As many records as offsets, whatever there is in the payload.
        _ => (h.record_count, h.last_offset_delta) = (value as i32, (value as i32).wrapping_sub(1)),
    }
    h.write(&mut bytes[..HEADER_LEN]);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn changed(mut bytes: Vec<u8>, change: &Change) -> Vec<u8> {
    let length = bytes.len().max(1);
    match change {
        Change::None => {}
        Change::Byte { at, value } => {
            if let Some(byte) = bytes.get_mut(usize::from(*at) % length) {
                *byte = *value;
            }
        }
        Change::Cut { at } => bytes.truncate(usize::from(*at) % length),
        Change::Size { size } => {
            if let Some(prefix) = bytes.first_chunk_mut::<4>() {
                *prefix = size.to_be_bytes();
            }
        }
        Change::Twice => bytes.extend_from_within(..),
    }
    bytes
}
