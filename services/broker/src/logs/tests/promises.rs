//! What the log directories promise to the next start, and what a partition's name promises to nobody.

use tokio::time::timeout;

use super::*;
use crate::partition::Appended;

const CHECKPOINT: &str = "recovery-point-offset-checkpoint";

/// A compacted topic with more of one key than a segment holds, all of it flushed.
async fn keyed(machine: &mut Machine) -> (Running, Arc<Partition>) {
    let segment = ("segment.bytes", "1048576");
    machine.create_topic("keyed", &[segment, ("cleanup.policy", "compact")]);
    let running = machine.start().await;
    let keyed = running.partition("keyed");
    for _ in 0..12 {
        append(&keyed, "k", 300_000).unwrap();
    }
    keyed.flush(&machine.env()).await.expect("the disk is well");
    (running, keyed)
}

/// What a checkpoint has of the only partition.
fn checkpointed(machine: &Machine, file: &str) -> Option<i64> {
    let of = |dir: &str| {
        let path = Path::new(dir).join(file);
        let offsets = storage::checkpoint::read_offsets(&machine.disk, &path);
        offsets.expect("it can be read").values().copied().max()
    };
    of("/a").max(of("/b"))
}

#[tokio::test]
async fn nothing_is_compacted_beyond_the_recovery_point_on_disk() {
    let mut machine = Machine::new();
    let (running, keyed) = keyed(&mut machine).await;
    machine
        .disk
        .inject(Fault::always(Operation::Write, CHECKPOINT));
    assert!(!running.logs.clean_dirtiest(&running.partitions).await);
    // A start from here finds a recovery point of 0, and every record.
    let size = keyed.with_log(|log, _| log.size_bytes());
    assert!(size > 3_600_000, "{size} bytes are left of 12 records");

    machine.disk.heal();
    assert!(running.logs.clean_dirtiest(&running.partitions).await);
    drop((running, keyed));
    machine.disk.kill();
    let keyed = machine.start().await.partition("keyed");
    assert_eq!(keyed.log_end(), Offset(12));
}

#[tokio::test]
async fn a_checkpoint_promises_nothing_that_is_not_flushed() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    let promised = async || {
        let which = super::super::checkpoints::Checkpoint::RecoveryPoint;
        running
            .logs
            .write_checkpoint(which, &running.partitions)
            .await;
        checkpointed(&machine, CHECKPOINT)
    };
    append(&partition, "k", 10).unwrap();
    append(&partition, "k", 10).unwrap();
    assert_eq!(promised().await, Some(0));
    partition
        .flush(&machine.env())
        .await
        .expect("the disk is well");
    append(&partition, "k", 10).unwrap();
    assert_eq!(promised().await, Some(2));
}

#[tokio::test]
async fn what_takes_the_place_of_cut_records_does_not_count_as_compacted() {
    let mut machine = Machine::new();
    let (running, keyed) = keyed(&mut machine).await;
    assert!(running.logs.clean_dirtiest(&running.partitions).await);
    let cleaned = || checkpointed(&machine, "cleaner-offset-checkpoint");
    assert!(cleaned() > Some(2), "{:?}", cleaned());

    keyed.with_log(|log, _| log.truncate_to(2)).unwrap();
    // Its mark stays until every checkpoint says what is there now.
    let is_marked = || keyed.with_log(|log, _| log.stale_checkpoints().is_some());
    machine
        .disk
        .inject(Fault::always(Operation::Write, CHECKPOINT));
    running.logs.settle_cuts(&running.partitions).await;
    assert!(is_marked());
    machine.disk.heal();
    running.logs.settle_cuts(&running.partitions).await;
    assert!(!is_marked());
    let kept = keyed.with_log(|log, _| log.next_offset());
    assert_eq!(cleaned(), Some(kept));
    assert!(kept <= 2);
}

#[tokio::test]
async fn a_directory_with_a_log_that_nobody_could_open_is_not_marked_clean() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    append(&running.partition("t"), "k", 10).unwrap();
    drop(running);
    machine.disk.kill();
    machine.disk.inject(Fault::always(Operation::Read, "t-0"));
    let running = machine.start().await;
    assert!(running.partitions.find("t", 0).is_none());
    running.stop().await;
    assert!(!names(&machine.disk, "/a").contains(&".kafka_cleanshutdown".to_string()));
    assert!(names(&machine.disk, "/b").contains(&".kafka_cleanshutdown".to_string()));
}

#[tokio::test]
async fn a_deleted_partition_leaves_no_position_to_its_namesake() {
    let mut machine = Machine::new();
    let id = machine.create_topic("t", &[]);
    let running = machine.start().await;
    let old = running.partition("t");
    append(&old, "k", 10).unwrap();
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(id)],
    });
    machine.create_topic("t", &[]);
    let image = Arc::new(machine.image.clone());
    running.partitions.apply(image).await;
    let refused = old.with_log(|log, _| log.retention(0, 1).err());
    assert!(matches!(refused, Some(storage::Error::Retired)));
    assert_eq!(
        super::super::checkpoints::Checkpoint::LogStart.position(&old),
        None
    );
    assert_eq!(running.partition("t").log_end(), Offset(0));
}

#[tokio::test]
async fn a_crash_does_not_bring_a_deleted_partitions_positions_back_to_its_namesake() {
    // Given checkpoints of a partition whose log starts far on
    let mut machine = Machine::new();
    machine
        .settings
        .push(("log.flush.start.offset.checkpoint.interval.ms", "5"));
    let id = machine.create_topic("t", &[]);
    let running = machine.start().await;
    let upkeep = running.keep();
    let old = running.partition("t");
    for _ in 0..9 {
        append(&old, "k", 10).unwrap();
    }
    old.with_log(|log, _| log.advance_log_start(8)).unwrap();
    saved(&machine, "log-start-offset-checkpoint", 8).await;
    drop(upkeep);

    // When it is deleted, another gets its name and records, and the machine loses its power
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(id)],
    });
    machine.create_topic("t", &[]);
    let image = Arc::new(machine.image.clone());
    running.partitions.apply(image).await;
    let new = running.partition("t");
    append(&new, "k", 10).unwrap();
    new.flush(&machine.env()).await.expect("the disk is well");
    drop((running, old, new));
    machine.disk.crash(1);

    // Then what the other has is there
    let partition = machine.start().await.partition("t");
    let found = (partition.log_start(), partition.log_end());
    assert_eq!(found, (Offset(0), Offset(1)));
}

#[tokio::test]
async fn a_kill_amid_a_deletion_does_not_leave_the_partitions_positions_to_its_namesake() {
    // Given the checkpoints of a partition that was deleted when the process died
    let mut machine = Machine::new();
    machine
        .settings
        .push(("log.flush.offset.checkpoint.interval.ms", "5"));
    let id = machine.create_topic("t", &[]);
    let running = machine.start().await;
    let upkeep = running.keep();
    let old = running.partition("t");
    for _ in 0..3 {
        append(&old, "k", 10).unwrap();
    }
    old.flush(&machine.env()).await.expect("the disk is well");
    saved(&machine, CHECKPOINT, 3).await;
    drop(upkeep);
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(id)],
    });
    running
        .partitions
        .apply(Arc::new(machine.image.clone()))
        .await;
    drop((running, old));
    machine.disk.kill();

    // When another gets its name, and its process dies too
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    append(&running.partition("t"), "k", 10).unwrap();
    drop(running);
    machine.disk.kill();

    // Then it has what is its own, and nothing else
    let partition = machine.start().await.partition("t");
    assert_eq!(partition.log_end(), Offset(1));
    assert_eq!(partition.with_log(|log, _| log.damage().count()), 0);
}

#[tokio::test]
async fn a_repeated_batch_is_answered_with_the_time_that_the_log_gave_it() {
    // None where the records keep their own.
    for (kind, time) in [("LogAppendTime", NOW_MS), ("CreateTime", -1)] {
        let mut machine = Machine::new();
        machine.create_topic("t", &[("message.timestamp.type", kind)]);
        let running = machine.start().await;
        let partition = running.partition("t");
        let send = |sequence| {
            // The client's clock stands at 5.
            let mut builder = BatchBuilder::new(5).producer(7, 0, sequence);
            builder.append(Some(b"k"), Some(b"v"));
            partition.append(builder.build(), Acks::Leader)
        };
        for _ in 0..2 {
            let appended = send(0).expect("a first batch and its repetition");
            assert_eq!(
                (appended.base_offset, appended.log_append_time_ms),
                (Some(Offset(0)), time)
            );
        }
        partition.expire_producers();
        assert_eq!(
            send(4).err().map(|e| e.code()),
            Some(ErrorCode::OutOfOrderSequenceNumber)
        );
    }
}

#[tokio::test]
async fn one_acknowledgement_waits_for_the_leaders_fsync_where_the_topic_asks_for_one() {
    let mut machine = Machine::new();
    machine.create_topic("synced", &[("flush.messages", "1")]);
    machine.create_topic("plain", &[]);
    let running = machine.start().await;
    let produce = |topic: &str| {
        let mut builder = BatchBuilder::new(NOW_MS);
        builder.append(Some(b"k"), Some(b"v"));
        let appended = running
            .partition(topic)
            .append(builder.build(), Acks::Leader);
        appended.expect("it leads").commit
    };
    assert!(produce("plain").is_none());
    let wait = produce("synced").expect("nobody has flushed it");
    let partition = running.partition("synced");
    partition
        .flush(&machine.env())
        .await
        .expect("the disk is well");
    let deadline = Instant::now() + Duration::from_secs(10);
    assert_eq!(wait.wait(deadline).await, Ok(()));

    let wait = produce("synced").expect("nobody has flushed it");
    machine
        .disk
        .inject(Fault::once(Operation::Sync, "synced-0"));
    assert!(partition.flush(&machine.env()).await.is_err());
    partition.close();
    assert_eq!(
        wait.wait(deadline).await,
        Err(ErrorCode::NotLeaderOrFollower)
    );
}

/// After a change of the leader a Java producer has more on its way than are remembered; called out of order, a batch
/// whose answer got lost would be sent again for ever.
#[tokio::test]
async fn what_is_in_the_log_and_remembered_no_more_is_not_called_out_of_order() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    let send = |sequence| {
        let mut builder = BatchBuilder::new(NOW_MS).producer(9, 0, sequence);
        builder.append(Some(b"k"), Some(b"v"));
        partition.append(builder.build(), Acks::All)
    };
    for sequence in 0..9 {
        let appended = send(sequence).expect("a new batch");
        assert_eq!(appended.base_offset, Some(Offset(i64::from(sequence))));
    }
    let again = send(1).expect("it is in the log");
    assert_eq!((again.base_offset, again.written_in), (None, None));
    assert!(again.next_offset >= Offset(2), "it waits for its commit");
    assert_eq!(partition.log_end(), Offset(9));
}

/// The producer would begin a new epoch, and send again under it what has arrived elsewhere.
#[tokio::test]
async fn a_batch_behind_one_that_the_log_could_not_take_is_not_called_out_of_order() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let _upkeep = running.keep();
    let partition = running.partition("t");
    let send = |sequence| {
        let mut builder = BatchBuilder::new(NOW_MS).producer(9, 0, sequence);
        builder.append(Some(b"k"), Some(b"v"));
        let appended = partition.append(builder.build(), Acks::Leader);
        let offset = |a: Appended| a.base_offset.map_or(-1, |offset| offset.0);
        appended.map(offset).map_err(|f| f.code())
    };
    assert_eq!(send(0), Ok(0));
    assert_eq!(send(2), Err(ErrorCode::OutOfOrderSequenceNumber));
    machine.disk.inject(Fault::once(Operation::Write, "t-0"));
    assert_eq!(send(1), Err(ErrorCode::KafkaStorageError));
    assert_eq!(send(2), Err(ErrorCode::KafkaStorageError));
    assert_eq!(send(0), Ok(0), "what is in the log is still known");
}

#[tokio::test]
async fn an_orderly_stop_is_remembered_once() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    assert_eq!(running.logs.clean_epoch(), None);
    append(&running.partition("t"), "k", 10).unwrap();
    running.stop().await;
    assert!(names(&machine.disk, "/a").contains(&".kafka_cleanshutdown".to_string()));

    machine.disk.crash(1);
    let running = machine.start().await;
    assert_eq!(running.logs.clean_epoch(), Some(BrokerEpoch(5)));
    assert_eq!(running.logs.cluster_id().as_deref(), Some(CLUSTER));
    let partition = running.partition("t");
    assert_eq!(
        (partition.log_end(), partition.high_watermark()),
        (Offset(1), Offset(1))
    );

    machine.disk.kill();
    assert_eq!(
        machine.open().await.unwrap().clean_epoch(),
        None,
        "the mark was for one start"
    );
}

#[tokio::test]
async fn a_stop_was_not_clean_for_what_stood_in_a_directory_that_is_not_configured_any_more() {
    let mut machine = Machine::new();
    machine.start().await.stop().await;
    machine.settings.push(("log.dirs", "/a"));
    let logs = machine.open().await.expect("the directory opens");
    assert_eq!(logs.clean_epoch(), None);
    let memory = logs.memory().expect("the machine tells it");
    assert!(!memory.same_disks, "what was flushed may be gone");
}

#[tokio::test]
async fn what_a_producer_has_sent_is_known_after_a_restart() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let send = |running: &Running, sequence| {
        let mut builder = BatchBuilder::new(NOW_MS).producer(7, 0, sequence);
        builder.append(Some(b"k"), Some(b"v"));
        running.partition("t").append(builder.build(), Acks::Leader)
    };
    let running = machine.start().await;
    for sequence in 0..7 {
        let appended = send(&running, sequence).expect("it is the next one");
        assert!(appended.written_in.is_some());
    }
    running.stop().await;
    machine.register(2);
    let running = machine.start().await;
    for sequence in 0..7 {
        // Its client has heard of none of them.
        let appended = send(&running, sequence).expect("it is there");
        assert_eq!(appended.written_in, None, "sequence {sequence}");
    }
    let appended = send(&running, 7).expect("it is the next one");
    assert!(appended.written_in.is_some());
    assert_eq!(running.partition("t").log_end(), Offset(8));
}

#[tokio::test]
async fn after_a_failed_fsync_the_memory_is_no_longer_named_and_the_disks_say_so() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let _upkeep = running.keep();
    let (logs, partition) = (&running.logs, running.partition("t"));
    let waiting = Duration::from_millis(1);
    assert!(logs.memory().is_some());
    assert!(timeout(waiting, logs.remembered()).await.is_ok());
    append(&partition, "k", 10).unwrap();
    machine.disk.inject(Fault::once(Operation::Sync, "t-0"));
    assert!(partition.flush(&machine.env()).await.is_err());
    assert_eq!(logs.memory(), None, "at once");
    let within = timeout(Duration::from_secs(10), logs.remembered());
    assert!(within.await.is_ok());
    let path = Path::new("/b/.memory");
    let file = storage::disk::read_file(&machine.disk, path).expect("it can be read");
    let text = String::from_utf8(file.expect("it is there").to_vec());
    assert!(text.is_ok_and(|text| text.contains("boot.id=forgotten")));
}

/// What shares the disk with a metadata log that failed is flushed before the next process relies on it.
#[tokio::test]
async fn logs_that_can_be_flushed_are_in_no_doubt_and_others_are() {
    for (fails, is_sound) in [("u-0", true), ("t-0", false)] {
        let mut machine = Machine::new();
        machine.create_topic("t", &[]);
        let running = machine.start().await;
        append(&running.partition("t"), "k", 10).unwrap();
        machine.disk.inject(Fault::once(Operation::Sync, fails));
        running.logs.prove(&running.partitions).await;
        assert_eq!(running.logs.memory().is_some(), is_sound, "{fails}");
    }
}

/// The next process would take the memory for kept, so there must not be one before somebody else knows.
#[tokio::test]
async fn a_broker_whose_disks_take_nothing_any_more_waits_until_it_is_remembered_elsewhere() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let _upkeep = running.keep();
    let partition = running.partition("t");
    machine.disk.fail_power_after(0);
    append(&partition, "k", 10).unwrap_err();
    assert_eq!(running.logs.memory(), None);
    let waiting = timeout(Duration::from_millis(50), running.logs.remembered());
    assert!(waiting.await.is_err());
    machine.disk.fail_power_after(u64::from(u32::MAX));
    let within = timeout(Duration::from_secs(10), running.logs.remembered());
    assert!(within.await.is_ok());
}
