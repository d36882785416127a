//! Finding the end of a chain of objects.

use super::*;
use crate::connector::Compression;
use crate::object::ObjectMetadata;
use crate::ranges::Ranges;
use crate::store::memory::{Faults, Memory};

fn source() -> Source {
    Source {
        cluster_id: "c".into(),
        topic_id: "t".into(),
    }
}

fn place() -> Place {
    Place::new("topics", "web-logs", 0, Compression::None)
}

/// A store that holds the objects between each pair of neighbouring offsets.
fn chain(offsets: &[i64]) -> Memory {
    let memory = Memory::new(1, Faults::default());
    for pair in offsets.windows(2) {
        let ranges = format!("{}-{}", pair[0], pair[1] - 1)
            .parse()
            .expect("a range");
        let metadata = ObjectMetadata {
            source: source(),
            next: pair[1],
            count: 1,
            ranges,
            gap: Ranges::default(),
        };
        memory.insert(&place().object(pair[0]), metadata.encode());
    }
    memory
}

async fn next(memory: &Memory, hint: Option<i64>) -> Option<i64> {
    find(memory, &place(), &source(), hint, 10)
        .await
        .expect("a sound chain")
        .map(|tip| tip.next)
}

#[tokio::test]
async fn the_tip_is_found_with_any_hint_and_with_none() {
    let memory = chain(&[0, 10, 17, 27, 5000, 5010]);
    for hint in [
        None,
        Some(0),
        Some(12),
        Some(5000),
        Some(5010),
        Some(5011),
        Some(1_000_000),
        Some(i64::MAX),
    ] {
        assert_eq!(next(&memory, hint).await, Some(5010), "{hint:?}");
    }
}

#[tokio::test]
async fn names_are_compared_as_numbers() {
    let memory = chain(&[9_999_999_980, 9_999_999_990, 10_000_000_000, 10_000_000_010]);
    for hint in [
        None,
        Some(9_999_999_985),
        Some(9_999_999_999),
        Some(10_000_000_010),
        Some(10_000_000_500),
    ] {
        assert_eq!(next(&memory, hint).await, Some(10_000_000_010), "{hint:?}");
    }
}

#[tokio::test]
async fn the_first_owner_fixes_the_start_for_all() {
    let memory = chain(&[]);
    assert_eq!(
        find(&memory, &place(), &source(), None, 10)
            .await
            .expect("an empty store"),
        None
    );
    let first = fix_start(&memory, &place(), &source(), 7)
        .await
        .expect("the first marker");
    let second = fix_start(&memory, &place(), &source(), 9)
        .await
        .expect("the marker is there");
    assert_eq!((first.next, second.next), (7, 7));
    assert_eq!(next(&memory, None).await, Some(7));
}

#[tokio::test]
async fn objects_of_another_topic_or_compression_or_program_are_conflicts() {
    let recreated = Source {
        topic_id: "other".into(),
        ..source()
    };
    let memory = chain(&[0, 10]);
    let error = find(&memory, &place(), &recreated, None, 10)
        .await
        .expect_err("another topic id");
    assert!(
        matches!(&error, Error::Conflict(Conflict::OtherSource { .. })),
        "{error}"
    );
    let gz = Place::new("topics", "web-logs", 0, Compression::Gzip(6));
    let error = find(&memory, &gz, &source(), None, 10)
        .await
        .expect_err("another compression");
    assert!(
        matches!(&error, Error::Conflict(Conflict::OtherCompression { .. })),
        "{error}"
    );

    fix_start(&memory, &place(), &source(), 0)
        .await
        .expect("a marker");
    assert!(fix_start(&memory, &gz, &source(), 0).await.is_err());

    memory.insert(&place().object(10), HashMap::new());
    let error = find(&memory, &place(), &source(), None, 10)
        .await
        .expect_err("no metadata");
    assert!(
        matches!(&error, Error::Conflict(Conflict::Foreign { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_store_shows_of_an_unfinished_put_is_passed_over_and_nothing_else() {
    let memory = chain(&[0, 10, 20]);
    let uuid = "08d2a685-1b83-425a-943f-e8df8b96eaa7";
    for start in [10, 20] {
        memory.insert(&format!("{}-{uuid}", place().object(start)), HashMap::new());
    }
    for hint in [None, Some(10), Some(20)] {
        assert_eq!(next(&memory, hint).await, Some(20), "{hint:?}");
    }
    memory.insert(&format!("{}x-{uuid}", place().object(20)), HashMap::new());
    let error = find(&memory, &place(), &source(), None, 10)
        .await
        .expect_err("a name of nobody's");
    assert!(
        matches!(&error, Error::Conflict(Conflict::Foreign { .. })),
        "{error}"
    );
}
