//! Wall clocks that jump, and records of any time: no promise to a producer goes by them.

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Sends the batch of one record with a producer's sequence number.
fn send(partition: &Arc<Partition>, sequence: i32, time_ms: i64) -> Result<i64, ErrorCode> {
    let mut builder = BatchBuilder::new(time_ms).producer(7, 0, sequence);
    builder.append(Some(b"k"), Some(b"v"));
    let appended = partition.append(builder.build(), Acks::Leader);
    let appended = appended.map_err(|failure| failure.code())?;
    Ok(appended.base_offset.map_or(-1, |offset| offset.0))
}

/// Whoever copies a topic writes records of any age, and a broker's clock may jump: neither must make it forget whose
/// batch may be sent again just now (seed 4914).
#[tokio::test]
async fn who_has_written_just_now_is_not_forgotten() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    for (sequence, time_ms) in [(0, 5), (1, NOW_MS)] {
        let offset = i64::from(sequence);
        assert_eq!(send(&partition, sequence, time_ms), Ok(offset));
        for jump_ms in [0, 2 * DAY_MS, -2 * DAY_MS] {
            machine.wall_ms.store(NOW_MS + jump_ms, Ordering::Relaxed);
            partition.expire_producers();
            partition.expire_producers();
        }
        machine.wall_ms.store(NOW_MS, Ordering::Relaxed);
        assert_eq!(send(&partition, sequence, time_ms), Ok(offset));
    }
    assert_eq!(partition.log_end(), Offset(2));
}

/// A new producer may begin with any sequence, so the second batch would be taken and the first could never follow
/// (seed 3974).
#[tokio::test]
async fn what_is_behind_a_batch_that_a_clock_refuses_is_not_taken_before_it() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    machine.wall_ms.store(NOW_MS - DAY_MS, Ordering::Relaxed);
    assert_eq!(
        send(&partition, 0, NOW_MS),
        Err(ErrorCode::InvalidTimestamp)
    );
    machine.wall_ms.store(NOW_MS, Ordering::Relaxed);
    assert_eq!(
        send(&partition, 1, NOW_MS),
        Err(ErrorCode::NotEnoughReplicas)
    );
    assert_eq!(send(&partition, 0, NOW_MS), Ok(0));
    assert_eq!(send(&partition, 1, NOW_MS), Ok(1));
}

/// Its client would tell the application that the records are lost.
#[tokio::test]
async fn what_is_in_the_log_already_is_not_refused_by_another_clock() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let partition = running.partition("t");
    assert_eq!(send(&partition, 0, NOW_MS), Ok(0));
    machine.wall_ms.store(NOW_MS - DAY_MS, Ordering::Relaxed);
    assert_eq!(send(&partition, 0, NOW_MS), Ok(0));
    assert_eq!(
        send(&partition, 1, NOW_MS),
        Err(ErrorCode::InvalidTimestamp)
    );
    assert_eq!(partition.log_end(), Offset(1));
}

#[tokio::test]
async fn a_limit_itself_is_within_the_limit() {
    let size = {
        let mut builder = BatchBuilder::new(0).producer(7, 0, 0);
        builder.append(Some(b"k"), Some(b"v"));
        builder.build().bytes.len()
    };
    for (limit, answer) in [
        (size, Ok(0)),
        (size + 1, Ok(0)),
        (size - 1, Err(ErrorCode::MessageTooLarge)),
    ] {
        let mut machine = Machine::new();
        machine.create_topic("t", &[("max.message.bytes", &limit.to_string())]);
        let running = machine.start().await;
        assert_eq!(send(&running.partition("t"), 0, NOW_MS), answer);
    }
    for (time_ms, is_taken) in [
        (-11, false),
        (-10, true),
        (0, true),
        (20, true),
        (21, false),
    ] {
        let mut machine = Machine::new();
        let configs = [
            ("message.timestamp.before.max.ms", "10"),
            ("message.timestamp.after.max.ms", "20"),
        ];
        machine.create_topic("t", &configs);
        let running = machine.start().await;
        let sent = send(&running.partition("t"), 0, NOW_MS + time_ms);
        assert_eq!(sent.is_ok(), is_taken, "{time_ms} ms from now");
    }
}
