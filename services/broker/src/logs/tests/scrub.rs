//! What the scrub finds on the disk of the only replica, and what it remembers. `tests/sim` has the cluster.

use super::losses::following;
use super::*;
use crate::partition::{Answer, FollowFailure};

/// A log of five batches, which is read again at once, and then whenever the clock says so, which stands still.
async fn written() -> (Machine, PathBuf) {
    let mut machine = Machine::new();
    machine.settings.push(("log.scrub.interval.ms", "50"));
    machine.settings.push(("record.cache.bytes", "0"));
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    for _ in 0..5 {
        append(&partition, "k", 1000).unwrap();
    }
    let dir = partition.with_log(|log, _| log.dir().to_path_buf());
    running.stop().await;
    (machine, dir.join("00000000000000000000.log"))
}

fn times(machine: &Machine, dir: &str) -> Vec<i64> {
    let path = PathBuf::from(dir).join("scrub-time-checkpoint");
    let times = storage::checkpoint::read_offsets(&machine.disk, &path);
    times.unwrap_or_default().into_values().collect()
}

#[tokio::test]
async fn a_log_that_was_found_whole_is_not_read_again_until_the_interval_is_over() {
    let (mut machine, _) = written().await;
    let counted = |running: &Running| {
        let counters = &running.partitions.metrics().damage;
        counters.scrubbed_bytes.get() / 1000
    };
    let running = machine.start().await;
    let upkeep = running.keep();
    eventually("it is remembered", || times(&machine, "/a") == [NOW_MS]).await;
    assert_eq!(counted(&running), 5);
    drop(upkeep);
    running.stop().await;
    machine.disk.kill();

    // It is in the second directory, whose turn is after the first one's.
    machine.create_topic("later", &[]);
    let running = machine.start().await;
    let upkeep = running.keep();
    eventually("all had a turn", || times(&machine, "/b") == [NOW_MS]).await;
    assert_eq!(counted(&running), 0);
    drop(upkeep);
}

#[tokio::test]
async fn what_no_replica_has_is_refused_found_again_after_a_start_and_the_rest_is_served() {
    let (mut machine, path) = written().await;
    machine.disk.flip(&path, 2500, 1).expect("it is there");
    for start in 2..4 {
        machine.register(start);
        let running = machine.start().await;
        let partition = running.partition("t");
        let upkeep = running.keep();
        let damaged = || partition.status().damaged_offsets == 1;
        eventually("it is found", damaged).await;
        let read = |offset| partition.read_committed(Offset(offset), 1);
        assert_eq!(read(2).await.err(), Some(ErrorCode::KafkaStorageError));
        for offset in [0, 1, 3, 4] {
            assert!(!read(offset).await.expect("it is served").is_empty());
        }
        append(&partition, "k", 10).expect("it goes on");
        drop(upkeep);
        running.stop().await;
        machine.disk.kill();
        assert!(times(&machine, "/a").is_empty());
    }
}

#[tokio::test]
async fn compaction_that_meets_damage_has_it_looked_at() {
    let mut machine = Machine::new();
    machine.settings.push(("log.scrub.interval.ms", "0"));
    machine.settings.push(("log.cleaner.backoff.ms", "10"));
    let segment = ("segment.bytes", "1048576");
    machine.create_topic("keyed", &[segment, ("cleanup.policy", "compact")]);
    let running = machine.start().await;
    let keyed = running.partition("keyed");
    for _ in 0..8 {
        append(&keyed, "k", 300_000).unwrap();
    }
    let dir = keyed.with_log(|log, _| log.dir().to_path_buf());
    let path = dir.join("00000000000000000000.log");
    machine.disk.flip(&path, 300_500, 1).expect("it is there");
    let upkeep = running.keep();
    let damaged = || keyed.status().damaged_offsets == 1;
    eventually("it is found", damaged).await;
    drop(upkeep);
}

#[tokio::test]
async fn a_batch_that_is_not_what_the_leader_has_sent_is_refused_counted_and_asked_for_again() {
    let machine = following();
    let running = machine.start().await;
    let partition = running.partition("t");
    let asked = partition.fetch_position().expect("it follows");
    let mut builder = BatchBuilder::new(NOW_MS).base_offset(0);
    builder.append(None, Some(&[1; 100]));
    let batch = builder.build().with_assigned(0, asked.leader_epoch.0);
    let sent = batch.stored_bytes();
    let mut garbled = sent.to_vec();
    garbled[100] ^= 1;
    let answer = |records: Vec<u8>| Answer::Records {
        records: records.into(),
        high_watermark: Offset(0),
        log_start: Offset(0),
    };
    let counted = || partition.metrics().broker.damaged_in_replication.get();
    let refused = partition.follow(&asked, answer(garbled));
    assert!(matches!(refused, Err(FollowFailure::Batch(_))));
    assert_eq!((counted(), partition.log_end()), (1, Offset(0)));
    assert_eq!(
        partition.fetch_position(),
        Some(asked),
        "it asks the same again"
    );
    assert!(partition.follow(&asked, answer(sent.to_vec())).is_ok());
    assert_eq!((counted(), partition.log_end()), (1, Offset(1)));
}
