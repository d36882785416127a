//! Messages of every kind, made of the tables; batches and bombs.

use broker::api::OFFERED;
use storage::compression::compress;
use wire::batch::Compression;
use wire::messages::RequestHeader;
use wire::record::{BatchBuilder, Header};
use wire::sample::{Generator, messages};
use wire::schema::{Kind, Message as Table};
use wire::{ApiKey, Message, Writer};

use super::Inputs;

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
/// What a bomb becomes: far more than the target allows.
const BOMB_BYTES: usize = 16 << 20;

fn is_offered(table: &Table) -> bool {
    OFFERED
        .iter()
        .any(|offered| offered.api as i16 == table.key)
}

/// Of what is offered the oldest version and the newest, of the rest the newest.
fn versions(table: &Table) -> Vec<i16> {
    match table.versions.min {
        min if is_offered(table) && min < table.versions.max => vec![min, table.versions.max],
        _ => vec![table.versions.max],
    }
}

fn of_kind(kind: Kind) -> impl Iterator<Item = (Table, i16)> {
    let tables = messages()
        .into_iter()
        .filter(move |table| table.kind == kind);
    tables.flat_map(|table| {
        let versions = versions(&table);
        versions
            .into_iter()
            .map(move |version| (table.clone(), version))
    })
}

fn named(table: &Table, version: i16) -> String {
    format!("{}-v{version}", table.name)
}

/// Header and body of a request, with values at random.
fn request(table: &Table, version: i16) -> Option<Vec<u8>> {
    let api = ApiKey::from_code(table.key)?;
    let header = RequestHeader {
        request_api_key: table.key,
        request_api_version: version,
        correlation_id: 7,
        client_id: Some("c".into()),
    };
    let mut writer = Writer::new();
    header
        .encode(&mut writer, api.request_header_version(version))
        .expect("a short client id");
    writer.raw(&Generator::new(table, version, 3).write());
    Some(writer.finish_contiguous().to_vec())
}

pub fn requests() -> Inputs {
    let all = of_kind(Kind::Request);
    all.filter_map(|(table, version)| Some((named(&table, version), request(&table, version)?)))
        .collect()
}

pub fn responses() -> Inputs {
    let one = |(table, version): (Table, i16)| {
        let mut bytes = [table.key.to_be_bytes(), version.to_be_bytes()].concat();
        bytes.extend(Generator::new(&table, version, 5).write());
        (named(&table, version), bytes)
    };
    of_kind(Kind::Response).map(one).collect()
}

pub fn structures() -> Inputs {
    let kinds = [Kind::Key, Kind::Value, Kind::Data];
    let one = |(table, version): (Table, i16)| {
        let mut bytes = table.name.clone().into_bytes();
        bytes.push(0);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend(Generator::new(&table, version, 2).write());
        (named(&table, version), bytes)
    };
    kinds.into_iter().flat_map(of_kind).map(one).collect()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

pub fn frames() -> Inputs {
    let sizes = [i32::MIN, -1, 0, 1, 65_536, 100 << 20, i32::MAX];
    let mut all: Inputs = sizes
        .iter()
        .map(|size| {
            let bytes = [&[7][..], &size.to_be_bytes(), b"and little more"].concat();
            (format!("size-{size}"), bytes)
        })
        .collect();
    let three = [&b"first"[..], b"", &[9; 300]].map(framed).concat();
    all.push(("three".into(), [&[2][..], &three].concat()));
    all.push(("long".into(), [&[255][..], &framed(&[1; 40_000])].concat()));
    all
}

fn batch(records: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    for i in 0..records {
        let header = Header {
            key: "trace".into(),
            value: (i % 2 == 0).then(|| "id".into()),
        };
        let value = format!("a value, and the same again, a value {i}");
        let key = (i % 3 > 0).then_some(&b"key"[..]);
        builder.append_at(
            1_700_000_000_000 + i,
            key,
            Some(value.as_bytes()),
            &[header],
        );
    }
    builder
}

fn packed(codec: Compression) -> Vec<u8> {
    let squeeze = |records: &[u8]| compress(codec, records).expect("a codec that exists");
    batch(5).build_compressed(codec, squeeze).bytes.to_vec()
}

pub fn batches() -> Inputs {
    let plain = |records| batch(records).build().bytes.to_vec();
    let idempotent = batch(2).producer(5, 1, 7).build().bytes.to_vec();
    let mut all = vec![
        ("one".into(), plain(1)),
        ("many".into(), plain(12)),
        ("idempotent".into(), idempotent),
        ("three".into(), [plain(1), plain(2), plain(3)].concat()),
        ("cut".into(), plain(3)[..100].to_vec()),
    ];
    for codec in CODECS {
        all.push((format!("{codec:?}").to_lowercase(), packed(codec)));
    }
    all
}

pub fn compressed() -> Inputs {
    let text = b"records that are much like records that are much like one another".repeat(4);
    let mut all = Inputs::new();
    for (at, codec) in CODECS.into_iter().enumerate() {
        let name = format!("{codec:?}").to_lowercase();
        let pack = |bytes: &[u8]| compress(codec, bytes).expect("a codec that exists");
        let input = |steps: u8, payload: Vec<u8>| [&[at as u8, steps][..], &payload].concat();
        all.push((name.clone(), input(4, pack(&text))));
        all.push((format!("{name}-empty"), input(0, pack(&[]))));
        let bomb = pack(&vec![0; BOMB_BYTES]);
        all.push((
            format!("{name}-bomb"),
            input(4, bomb[..bomb.len().min(8000)].to_vec()),
        ));
    }
    // A snappy block of a few bytes that says it becomes 4 GiB.
    let claim = vec![1, 255, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe, 1, 0];
    all.push(("snappy-claim".into(), claim));
    // A frame of zstd that asks for a window of 128 MiB, and has one byte.
    let window = vec![
        3, 255, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x09, 0x00, 0x00, 0x41,
    ];
    all.push(("zstd-window".into(), window));
    all
}

pub fn connections() -> Inputs {
    let mut all = Inputs::new();
    for (table, version) in of_kind(Kind::Request).filter(|(table, _)| is_offered(table)) {
        let Some(request) = request(&table, version) else {
            continue;
        };
        // Half of them a few bytes at a time.
        let how = if version % 2 == 0 { 0 } else { 14 };
        all.push((
            named(&table, version),
            [&[how][..], &framed(&request)].concat(),
        ));
    }
    all.push((
        "http".into(),
        b"\0GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
    ));
    all.push((
        "tls".into(),
        [
            &b"\0\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
            &[7; 200],
        ]
        .concat(),
    ));
    all
}
