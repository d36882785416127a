//! Logs that lack something at the start: what this broker registers with then.

use std::ops::Range;

use engine::epochs::EpochEnd;
use engine::ids::LeaderEpoch;

use super::*;
use crate::partition::{Answer, Followed};

/// A machine whose process has ended after two records, of which a checkpoint has one; and where its log is.
async fn ended() -> (Machine, PathBuf) {
    let mut machine = Machine::new();
    machine
        .settings
        .push(("replica.high.watermark.checkpoint.interval.ms", "5"));
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let upkeep = running.keep();
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    saved(&machine, "replication-offset-checkpoint", 1).await;
    drop(upkeep);
    append(&partition, "k", 10).unwrap();
    let dir = partition.with_log(|log, _| log.dir().to_path_buf());
    running.logs.registered().await;
    drop((running, partition));
    machine.disk.kill();
    (machine, dir.join("00000000000000000000.log"))
}

/// What the next process would register.
async fn registers_same_disks(machine: &Machine) -> bool {
    let logs = machine.open().await.expect("the directories open");
    let memory = logs.memory().expect("the machine tells it");
    drop(logs);
    machine.disk.kill();
    memory.same_disks
}

#[tokio::test]
async fn a_log_that_has_lost_what_was_committed_is_none_of_an_orderly_stop() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    let dir = partition.with_log(|log, _| log.dir().to_path_buf());
    drop(partition);
    running.stop().await;

    // The disk is put back to what it was before the record.
    let log = dir.join("00000000000000000000.log");
    let file = machine.disk.open(&log).expect("it is there");
    file.truncate(0).expect("it can be");
    let logs = machine.open().await.expect("the directories open");
    assert_eq!(logs.clean_epoch(), None);
}

#[tokio::test]
async fn a_log_that_had_to_be_cut_after_a_kill_has_lost_what_was_in_memory() {
    let (machine, path) = ended().await;
    assert!(registers_same_disks(&machine).await);
    // The disk gives another byte than was written, and fsynced it was not.
    machine.disk.flip(&path, 70, 1).expect("it is there");
    assert!(!registers_same_disks(&machine).await);
    // The next process knows it too, as long as the cluster may not.
    let logs = machine.open().await.expect("the directories open");
    assert!(logs.memory().is_some_and(|memory| !memory.same_disks));
    logs.registered().await;
    drop(logs);
    machine.disk.kill();
    assert!(registers_same_disks(&machine).await);
}

#[tokio::test]
async fn an_append_that_the_end_of_the_process_has_interrupted_is_no_loss() {
    let (machine, path) = ended().await;
    let file = machine.disk.open(&path).expect("it is there");
    let size = file.len().expect("it can be told");
    file.truncate(size - 3).expect("it can be");
    assert!(registers_same_disks(&machine).await);
}

#[tokio::test]
async fn a_log_that_lacks_something_and_is_deleted_is_missed_no_longer() {
    let (mut machine, path) = ended().await;
    machine.disk.flip(&path, 70, 1).expect("it is there");
    let running = machine.start().await;
    assert!(!running.logs.has_all_written().await);
    let id = machine.image.topic("t").expect("it is there").id;
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(id)],
    });
    let image = Arc::new(machine.image.clone());
    running.partitions.apply(image).await;
    assert!(running.logs.has_all_written().await);
}

#[tokio::test]
async fn a_log_that_had_to_be_cut_after_another_boot_says_nothing_of_the_disks() {
    let (mut machine, path) = ended().await;
    // What the machine before had not written is rubbish on the disk.
    machine.disk.flip(&path, 70, 1).expect("it is there");
    machine.boot = "another";
    assert!(registers_same_disks(&machine).await);
}

#[tokio::test]
async fn what_is_missing_after_an_orderly_stop_is_missing_on_the_disk_whatever_boot_it_is() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    let dir = partition.with_log(|log, _| log.dir().to_path_buf());
    running.logs.registered().await;
    drop(partition);
    running.stop().await;

    let log = dir.join("00000000000000000000.log");
    let file = machine.disk.open(&log).expect("it is there");
    file.truncate(0).expect("it can be");
    machine.boot = "another";
    // The process may end before it has registered.
    for _ in 0..2 {
        let logs = machine.open().await.expect("the directories open");
        assert_eq!(logs.clean_epoch(), None);
        let memory = logs.memory().expect("the machine tells it");
        assert!(!memory.same_disks);
        drop(logs);
        machine.disk.kill();
    }
}

#[tokio::test]
async fn what_a_power_loss_has_taken_is_not_missed_once_more_by_the_next_process() {
    let (mut machine, log) = ended().await;
    let file = machine.disk.open(&log).expect("it is there");
    file.truncate(0).expect("it can be");
    machine.boot = "another";
    for start in 0..3 {
        assert!(registers_same_disks(&machine).await, "start {start}");
    }
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_and_what_is_below_its_log_start_lacks_something_too() {
    for is_orderly in [false, true] {
        let mut machine = Machine::new();
        for interval in [
            "replica.high.watermark.checkpoint.interval.ms",
            "log.flush.start.offset.checkpoint.interval.ms",
        ] {
            machine.settings.push((interval, "5"));
        }
        machine.create_topic("t", &[]);
        let running = machine.start().await;
        let upkeep = running.keep();
        let partition = running.partition("t");
        for _ in 0..3 {
            append(&partition, "k", 10).unwrap();
        }
        let advanced = partition.with_log(|log, _| log.advance_log_start(2));
        advanced.expect("it is in the log");
        saved(&machine, "replication-offset-checkpoint", 3).await;
        saved(&machine, "log-start-offset-checkpoint", 2).await;
        drop(upkeep);
        let dir = partition.with_log(|log, _| log.dir().to_path_buf());
        running.logs.registered().await;
        drop(partition);
        match is_orderly {
            true => running.stop().await,
            false => drop(running),
        }
        machine.disk.kill();

        // One of three records is left, whole.
        let log = dir.join("00000000000000000000.log");
        let file = machine.disk.open(&log).expect("it is there");
        let size = file.len().expect("it can be told");
        file.truncate(size / 3).expect("it can be");
        // The process may end before it has registered.
        for start in 0..2 {
            assert!(!registers_same_disks(&machine).await, "start {start}");
        }
    }
}

/// Metadata in which another broker leads the one partition of `t`, whose follower this is.
pub(super) fn following() -> Machine {
    let mut machine = Machine::new();
    let broker = BrokerId(2);
    machine.register_broker(broker, 20);
    let topic = NewTopic {
        name: "t".into(),
        id: Uuid::from(1000),
        assignment: Assignment::Given(vec![vec![broker, BrokerId(1)]]),
        configs: Default::default(),
    };
    let topics = vec![topic];
    machine.run(Command::CreateTopics { topics });
    machine
}

/// What a leader answers that has these records of the epoch.
fn answered(epoch: LeaderEpoch, offsets: Range<i64>, high_watermark: i64) -> Answer {
    let batches = offsets.map(|offset| {
        let mut builder = BatchBuilder::new(NOW_MS).base_offset(offset);
        builder.append(None, Some(b"v"));
        let batch = builder.build().with_assigned(offset, epoch.0);
        batch.stored_bytes().to_vec()
    });
    Answer::Records {
        records: batches.flatten().collect::<Vec<u8>>().into(),
        high_watermark: Offset(high_watermark),
        log_start: Offset(0),
    }
}

#[tokio::test]
async fn a_cut_below_what_was_committed_is_no_loss_and_what_takes_its_place_is_not_committed() {
    for is_appended_to in [false, true] {
        let mut machine = following();
        machine
            .settings
            .push(("replica.high.watermark.checkpoint.interval.ms", "5"));
        let running = machine.start().await;
        let upkeep = running.keep();
        running.logs.registered().await;
        let partition = running.partition("t");
        let asked = || partition.fetch_position().expect("it follows");
        let epoch = asked().leader_epoch;
        partition
            .follow(&asked(), answered(epoch, 0..3, 3))
            .unwrap();
        saved(&machine, "replication-offset-checkpoint", 3).await;
        drop(upkeep);
        // The log of a leader that an unclean election has made.
        let end = Offset(1);
        let diverging = Answer::Diverging(EpochEnd { epoch, end });
        let (cut, _) = partition.follow(&asked(), diverging).unwrap();
        assert_eq!(cut, Followed::Truncated { to: end });
        if is_appended_to {
            partition
                .follow(&asked(), answered(epoch, 1..3, 1))
                .unwrap();
        }
        let log_end = partition.log_end();
        drop((running, partition));
        machine.disk.kill();

        assert!(registers_same_disks(&machine).await);
        let partition = machine.start().await.partition("t");
        assert_eq!(
            (partition.log_end(), partition.high_watermark()),
            (log_end, end)
        );
    }
}

enum Late {
    Whole,
    /// Ends below the checkpoint.
    Empty,
    /// Has to be cut where no checkpoint would tell.
    Changed,
}

#[tokio::test]
async fn a_log_that_can_be_opened_late_and_lacks_something_takes_its_directory_out_of_service() {
    for late in [Late::Whole, Late::Empty, Late::Changed] {
        // It may be found just before the cluster has registered what was known at the start.
        for (boot, is_registered) in [("a-boot", false), ("a-boot", true), ("another", false)] {
            let (mut machine, path) = ended().await;
            machine.boot = boot;
            machine.disk.inject(Fault::always(Operation::Read, "t-0"));
            let running = machine.start().await;
            assert!(running.partitions.find("t", 0).is_none());
            assert!(running.logs.memory().is_some_and(|m| m.same_disks));
            machine.disk.heal();
            let name = path
                .ancestors()
                .nth(2)
                .expect("a directory")
                .join(".memory");
            let named = storage::disk::read_file(&machine.disk, &name).expect("it can be read");
            let file = machine.disk.open(&path).expect("it is there");
            let size = file.len().expect("it can be told") as usize;
            match late {
                Late::Whole => {}
                Late::Empty => file.truncate(0).expect("it can be"),
                Late::Changed => machine.disk.flip(&path, size - 1, 1).expect("it is there"),
            }
            running
                .partitions
                .apply(Arc::new(machine.image.clone()))
                .await;
            // After a power loss the cluster does not count on what nobody has flushed.
            let is_fine = matches!(late, Late::Whole) || boot == "another";
            assert_eq!(running.partitions.find("t", 0).is_some(), is_fine);
            assert_eq!(running.logs.memory().is_some(), is_fine);
            if is_registered {
                // As who was writing to it meanwhile may leave it.
                let named = named.expect("a name");
                storage::disk::write_atomic(&machine.disk, &name, &named).expect("there is room");
                running.logs.registered().await;
            }
            drop(running);
            machine.disk.kill();
            assert_eq!(registers_same_disks(&machine).await, is_fine);
        }
    }
}
