//! Scenarios of one partition's chain.

use std::collections::BTreeSet;
use std::sync::Mutex;

use pipeline::Writer as _;
use pipeline::families::{OBJECT_BYTES, OBJECTS};
use telemetry::Registry;

use super::*;
use crate::store::memory::{Faults, Memory};
use crate::store::tip;

#[derive(Default)]
struct Kept(Mutex<BTreeSet<i64>>);

impl Letters for Kept {
    async fn send(&self, _: &Partition, refused: &[(&Record, Rejection)]) -> anyhow::Result<()> {
        let mut kept = self
            .0
            .lock()
            .expect("no test panics while it holds the lock");
        kept.extend(refused.iter().map(|(record, _)| record.offset));
        Ok(())
    }
}

type Owner = Writer<Memory, Kept>;

fn source() -> Source {
    Source {
        cluster_id: "c".into(),
        topic_id: "t".into(),
    }
}

fn owner(shared: &Arc<Shared<Memory, Kept>>, tip: i64) -> Owner {
    let partition = Partition {
        topic: "t".into(),
        index: 0,
    };
    let place = Place::new("topics", "t", 0, shared.compression);
    Writer {
        shared: shared.clone(),
        partition,
        place,
        source: source(),
        tip,
        gap: Ranges::default(),
        lettered: tip,
        stages: Stages::detached(),
    }
}

fn shared(objects: Memory, compression: Compression) -> Arc<Shared<Memory, Kept>> {
    Arc::new(Shared {
        objects: Arc::new(objects),
        letters: Kept::default(),
        compression,
        objects_written: Registry::new().counters(&OBJECTS),
        object_bytes: Registry::new().counters(&OBJECT_BYTES),
    })
}

/// The log of the tests: every seventh record is free text, every tenth offset is a transaction marker.
fn record(offset: i64) -> Option<Record> {
    let value = match offset {
        _ if offset % 10 == 9 => return None,
        _ if offset % 7 == 3 => "free text".to_owned(),
        _ => format!("{{\"n\": {offset}}}"),
    };
    Some(Record {
        offset,
        timestamp_ms: None,
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
    })
}

fn batch(begin: i64, below: i64) -> Option<Batch> {
    let records: Vec<Record> = (begin..below).filter_map(record).collect();
    let next_offset = records.last()?.offset + 1;
    Some(Batch {
        begin,
        records,
        next_offset,
    })
}

fn lines_of(
    contents: &std::collections::BTreeMap<
        String,
        (Bytes, std::collections::HashMap<String, String>),
    >,
) -> Vec<String> {
    let texts = contents
        .iter()
        .filter(|(key, _)| key.ends_with(".json"))
        .map(|(_, (body, _))| body);
    texts
        .flat_map(|body| {
            std::str::from_utf8(body)
                .expect("text")
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn a_batch_becomes_an_object_with_its_metadata() {
    let shared = shared(Memory::new(1, Faults::default()), Compression::None);
    let mut owner = owner(&shared, 0);
    let position = owner
        .write(&batch(0, 9).expect("records"))
        .await
        .expect("stored");
    assert_eq!((position, owner.tip), (9, 9));
    let contents = shared.objects.contents();
    let (body, metadata) = &contents["topics/t/partition=0/t+0+0000000000.json"];
    assert!(body.starts_with(b"{\"n\":0}\n"), "{body:?}");
    let metadata = ObjectMetadata::decode(metadata).expect("our own metadata");
    assert_eq!(
        (metadata.next, metadata.count, metadata.ranges.to_string()),
        (9, 8, "0-2,4-8".into())
    );
    assert_eq!(*shared.letters.0.lock().expect("lock"), BTreeSet::from([3]));
}

#[tokio::test]
async fn refused_records_alone_wait_for_the_next_line() {
    let shared = shared(Memory::new(1, Faults::default()), Compression::None);
    let mut owner = owner(&shared, 3);
    assert_eq!(
        owner
            .write(&batch(3, 4).expect("one record"))
            .await
            .expect("dead-lettered"),
        4
    );
    assert!(shared.objects.contents().is_empty());
    assert_eq!(
        owner
            .write(&batch(4, 6).expect("records"))
            .await
            .expect("stored"),
        6
    );
    assert!(
        shared
            .objects
            .contents()
            .contains_key("topics/t/partition=0/t+0+0000000003.json")
    );
}

#[tokio::test]
async fn what_retention_took_is_in_the_metadata_of_the_next_object() {
    let shared = shared(Memory::new(1, Faults::default()), Compression::None);
    let mut owner = owner(&shared, 0);
    assert_eq!(
        owner
            .skip(Gap { from: 0, to: 20 })
            .await
            .expect("remembered"),
        20
    );
    owner
        .write(&batch(20, 22).expect("records"))
        .await
        .expect("stored");
    let contents = shared.objects.contents();
    let (_, metadata) = &contents["topics/t/partition=0/t+0+0000000000.json"];
    assert_eq!(
        ObjectMetadata::decode(metadata)
            .expect("metadata")
            .gap
            .to_string(),
        "0-19"
    );
    assert_eq!(owner.gap.count(), 0);
}

#[tokio::test]
async fn gzip_objects_are_gzip() {
    let shared = shared(Memory::new(1, Faults::default()), Compression::Gzip(6));
    owner(&shared, 0)
        .write(&batch(0, 3).expect("records"))
        .await
        .expect("stored");
    let contents = shared.objects.contents();
    let (body, _) = &contents["topics/t/partition=0/t+0+0000000000.json.gz"];
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text)
        .expect("gzip");
    assert_eq!(text, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
}

#[tokio::test]
async fn an_object_has_no_more_ranges_than_its_metadata_can_hold() {
    let shared = shared(Memory::new(1, Faults::default()), Compression::None);
    let records: Vec<Record> = (0..500)
        .filter(|offset| offset % 2 == 0)
        .filter_map(record)
        .collect();
    let all = Batch {
        begin: 0,
        next_offset: 500,
        records,
    };
    assert_eq!(owner(&shared, 0).write(&all).await.expect("stored"), 500);
    let contents = shared.objects.contents();
    assert!(contents.len() > 4);
    for (_, metadata) in contents.values() {
        assert!(
            ObjectMetadata::decode(metadata)
                .expect("metadata")
                .ranges
                .count()
                <= MAX_RANGES
        );
    }
}

/// Plays one owner: batches of changing size, deaths, and looking for the tip again.
async fn live(shared: Arc<Shared<Memory, Kept>>, seed: u64, end: i64) {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let place = Place::new("topics", "t", 0, shared.compression);
    'lives: loop {
        let hint = rng.random_bool(0.5).then(|| rng.random_range(0..end));
        let Ok(found) = tip::find(&*shared.objects, &place, &source(), hint, 5).await else {
            continue;
        };
        let start = match found {
            Some(tip) => tip.next,
            None => {
                match tip::fix_start(&*shared.objects, &place, &source(), rng.random_range(0..2))
                    .await
                {
                    Ok(tip) => tip.next,
                    Err(_) => continue,
                }
            }
        };
        let mut owner = owner(&shared, start);
        let mut position = start;
        while position < end {
            let below = (position + rng.random_range(1..12)).min(end);
            let Some(batch) = batch(position, below) else {
                position = below;
                continue;
            };
            if rng.random_bool(0.1) {
                continue 'lives;
            }
            // An error means that the same batch is offered again.
            match owner.write(&batch).await {
                Ok(next) => position = next.max(position),
                Err(pipeline::Error::Retry(_)) => {}
                Err(pipeline::Error::Stop(error)) => panic!("seed {seed}: {error:#}"),
            }
        }
        return;
    }
}

#[tokio::test]
async fn competing_owners_store_every_record_once_whatever_gets_lost() {
    for seed in 0..200 {
        // Given a store that loses requests and answers, and carries some PUTs out late.
        let faults = Faults {
            request_lost: 0.1,
            answer_lost: 0.1,
            delayed: 0.1,
        };
        let shared = shared(Memory::new(seed, faults), Compression::None);
        // When three owners of one partition write at once, each dying now and then.
        let end = 200;
        futures::future::join_all((0..3).map(|n| live(shared.clone(), 1000 * seed + n, end))).await;
        // Then the lines are the records, each once and in order, and the metadata is a chain.
        let contents = shared.objects.contents();
        let start = contents
            .iter()
            .find(|(key, _)| key.ends_with("_start"))
            .map(|(_, (_, fields))| fields)
            .expect("a marker");
        let mut next = crate::object::Marker::decode(start)
            .expect("our marker")
            .start;
        let expected: Vec<String> = (next..end)
            .filter(|offset| offset % 7 != 3 && offset % 10 != 9)
            .map(|offset| format!("{{\"n\":{offset}}}"))
            .collect();
        assert_eq!(lines_of(&contents), expected, "seed {seed}");
        let place = Place::new("topics", "t", 0, Compression::None);
        for (key, (body, fields)) in contents.iter().filter(|(key, _)| key.ends_with(".json")) {
            let metadata = ObjectMetadata::decode(fields).expect("our metadata");
            assert_eq!(
                place.parse(key),
                Some((next, ".json")),
                "seed {seed}: the chain is whole"
            );
            assert_eq!(
                body.iter().filter(|byte| **byte == b'\n').count(),
                metadata.count
            );
            let offsets: Vec<String> = metadata
                .ranges
                .offsets()
                .map(|offset| format!("{{\"n\":{offset}}}"))
                .collect();
            assert_eq!(
                offsets.join("\n") + "\n",
                std::str::from_utf8(body).expect("text")
            );
            next = metadata.next;
        }
        let refused: BTreeSet<i64> = (0..end)
            .filter(|offset| offset % 7 == 3 && offset % 10 != 9)
            .collect();
        assert_eq!(
            *shared.letters.0.lock().expect("lock"),
            refused,
            "seed {seed}"
        );
    }
}
