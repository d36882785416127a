//! Bytes that nobody sane sends: every array claims 2^31 - 1 elements, every message is cut, changed or noise. The
//! codec answers with an error, quickly, without taking memory.

use crate::recode::recode;
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use wire::sample::{Generator, messages};
use wire::schema::Message;

#[test]
fn a_count_of_two_billion_in_any_array_is_refused_with_flat_memory() {
    let before = peak_memory_bytes();
    let mut refused = 0;
    for message in messages() {
        for version in message.versions.min..=message.versions.max {
            let mut index = 0;
            loop {
                let mut generator = Generator::new(&message, version, 1).with_hostile_array(index);
                let bytes = generator.write();
                let Some(array) = generator.arrays.get(index) else {
                    break;
                };
                let outcome = recode(&message.name, Bytes::from(bytes), version);
                assert!(
                    outcome.is_err(),
                    "{} version {version}: {array} was accepted",
                    message.name
                );
                refused += 1;
                index += 1;
            }
        }
    }
    let grown = peak_memory_bytes() - before;
    assert!(refused > 1000, "only {refused} arrays were tried");
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}

/// The most memory that this process ever had resident.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .expect("Linux reports the peak");
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("the peak is a number");
    kib * 1024
}

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(messages);

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_and_cut_messages_never_panic(
        which in any::<prop::sample::Index>(),
        seed in any::<u64>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = &*MESSAGES;
        let message = which.get(all);
        let span = i64::from(message.versions.max - message.versions.min) as u64 + 1;
        let version = message.versions.min + (seed % span) as i16;
        let mut bytes = Generator::new(message, version, seed).write();
        if !bytes.is_empty() {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        }
        let _ = recode(&message.name, Bytes::from(bytes), version);
    }

    #[test]
    fn noise_never_panics(which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..200), version in -1i16..20) {
        let all = &*MESSAGES;
        let _ = recode(&which.get(all).name, Bytes::from(bytes), version);
    }

    #[test]
    fn noise_is_no_batch(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() > 16 {
            bytes[8..12].copy_from_slice(&[0, 0, 0, 60]);
            bytes[16] = 2;
        }
        for batch in wire::batch::split(Bytes::from(bytes)).flatten() {
            let _ = (batch.header.validate_from_client(), batch.verify_crc(), batch.header.next_offset());
            let _ = wire::record::iter(batch.payload(), batch.header.record_count).count();
        }
    }
}
