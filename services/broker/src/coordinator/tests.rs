//! Slots on a log in memory whose high watermark and health the test controls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::group::{Reply, Token};
use engine::ids::LeaderEpoch;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use wire::batch::Batch;
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use wire::{ErrorCode, Records};

use super::log::PartitionLog;
use super::slot::{Options, Slot};
use crate::env::{BoxFuture, Env, Listener, Outside, Plane, Pool, Stream};

/// How long anything in these tests may take.
const SOON: Duration = Duration::from_secs(10);

struct FakeLog {
    batches: Mutex<Vec<Batch>>,
    high_watermark: watch::Sender<i64>,
    refusal: Mutex<Option<ErrorCode>>,
    /// In which epoch this broker leads.
    epoch: Mutex<LeaderEpoch>,
    /// A batch that is larger is refused, bytes.
    max_bytes: Mutex<usize>,
    /// Offsets at the end whose records compaction has removed.
    removed: Mutex<i64>,
}

impl FakeLog {
    fn new() -> Arc<FakeLog> {
        Arc::new(FakeLog {
            batches: Mutex::default(),
            high_watermark: watch::Sender::new(0),
            refusal: Mutex::default(),
            epoch: Mutex::new(LeaderEpoch(1)),
            max_bytes: Mutex::new(usize::MAX),
            removed: Mutex::default(),
        })
    }

    fn commit_all(&self) {
        self.high_watermark.send_replace(self.end_offset());
    }
}

impl PartitionLog for FakeLog {
    fn append(&self, batch: Batch, epoch: LeaderEpoch) -> Result<i64, ErrorCode> {
        if let Some(error) = *self.refusal.lock() {
            return Err(error);
        }
        if batch.bytes.len() > *self.max_bytes.lock() {
            return Err(ErrorCode::MessageTooLarge);
        }
        let mut batches = self.batches.lock();
        let base = batches.last().map_or(0, |last| last.header.next_offset());
        let batch = batch.with_assigned(base, epoch.0);
        let next_offset = batch.header.next_offset();
        batches.push(batch);
        Ok(next_offset)
    }

    fn start_offset(&self) -> i64 {
        0
    }

    fn end_offset(&self) -> i64 {
        let batches = self.batches.lock();
        let end = batches.last().map_or(0, |last| last.header.next_offset());
        end + *self.removed.lock()
    }

    fn high_watermark(&self, epoch: LeaderEpoch) -> Option<i64> {
        (*self.epoch.lock() == epoch).then(|| *self.high_watermark.borrow())
    }

    fn committed(&self, offset: i64) -> BoxFuture<'_, ()> {
        let mut seen = self.high_watermark.subscribe();
        Box::pin(async move {
            let reached = seen.wait_for(|high_watermark| *high_watermark >= offset);
            reached.await.expect("the log outlives its readers");
        })
    }

    fn read(&self, offset: i64, _max_bytes: usize) -> BoxFuture<'_, Result<Records, ErrorCode>> {
        let batches = self.batches.lock();
        let next = batches
            .iter()
            .find(|batch| batch.header.next_offset() > offset);
        let bytes = next.map(Batch::stored_bytes).unwrap_or_default();
        Box::pin(async move { Ok(Records::from(bytes)) })
    }
}

/// Clocks and nothing else.
struct NoOutside;

impl Outside for NoOutside {
    fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err::<Box<dyn Listener>, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async { Err::<Stream, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn wall_ms(&self) -> i64 {
        1_000_000
    }

    fn random_u64(&self) -> u64 {
        4
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        Arc::new(storage::memory::MemoryDisk::default())
    }

    fn run_blocking(&self, _: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

fn env() -> Env {
    Env::new(Handle::current(), Handle::current(), Arc::new(NoOutside))
}

fn start(log: &Arc<FakeLog>, env: &Env) -> Arc<Slot> {
    let options = Options {
        group: Default::default(),
        load_buffer_bytes: 1 << 20,
        expiry_check: Duration::from_secs(600),
    };
    let slot = Slot::new(0, LeaderEpoch(1), env.clone());
    env.spawn(Plane::Data, "slot", slot.clone().run(log.clone(), options));
    slot
}

async fn loaded(slot: &Slot) {
    let ready = async {
        while slot.look(|_| ()).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, ready)
        .await
        .expect("the slot loads");
}

fn commit(slot: &Slot, group: &'static str, offset: i64) -> tokio::sync::oneshot::Receiver<Reply> {
    let request = OffsetCommitRequest {
        group_id: group.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    slot.request(|shard, now, token: Token, out| {
        shard.commit_offsets(now, token, 9, &request, out);
    })
    .expect("the slot serves")
}

async fn error_of(answer: tokio::sync::oneshot::Receiver<Reply>) -> i16 {
    let reply = tokio::time::timeout(SOON, answer)
        .await
        .expect("in time")
        .expect("an answer");
    match reply {
        Reply::OffsetCommit(OffsetCommitResponse { topics, .. }) => {
            topics[0].partitions[0].error_code
        }
        other => panic!("not the answer of a commit: {other:?}"),
    }
}

async fn appended(log: &FakeLog, offset: i64) {
    let reached = async {
        while log.end_offset() < offset {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, reached)
        .await
        .expect("it is appended");
}

#[tokio::test]
async fn a_commit_is_acknowledged_when_the_high_watermark_passes_it_and_survives_a_move() {
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    let first = commit(&slot, "a", 7);
    let second = commit(&slot, "b", 8);
    let appended = async {
        while log.end_offset() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, appended)
        .await
        .expect("both are appended");
    assert_eq!(slot.look(|shard| shard.durable().counts()), Ok((0, 0)));
    log.commit_all();
    assert_eq!((error_of(first).await, error_of(second).await), (0, 0));

    slot.close();
    assert_eq!(
        slot.look(|_| ()),
        Err(ErrorCode::NotCoordinator),
        "a closed slot serves nobody"
    );
    let next = start(&log, &env);
    loaded(&next).await;
    let offset = next.look(|shard| {
        shard
            .durable()
            .offset("a", &"t".into(), 0)
            .map(|o| o.offset)
    });
    assert_eq!(offset, Ok(Some(7)));
}

#[tokio::test]
async fn a_slot_loads_only_what_is_committed_and_waits_for_the_rest() {
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    let unanswered = commit(&slot, "a", 7);
    let appended = async {
        while log.end_offset() < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, appended)
        .await
        .expect("it is appended");
    slot.close();
    assert_eq!(
        error_of(unanswered).await,
        ErrorCode::NotCoordinator.code(),
        "nobody knows what becomes of it"
    );
    let next = start(&log, &env);
    assert_eq!(next.look(|_| ()), Err(ErrorCode::CoordinatorLoadInProgress));
    log.commit_all();
    loaded(&next).await;
}

#[tokio::test]
async fn what_the_partition_refuses_is_answered_with_what_helps_the_client() {
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    for (refusal, answer) in [
        (
            ErrorCode::NotEnoughReplicas,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
    ] {
        *log.refusal.lock() = Some(refusal);
        assert_eq!(error_of(commit(&slot, "a", 1)).await, answer.code());
    }
    *log.refusal.lock() = None;
    let accepted = commit(&slot, "a", 2);
    let appended = async {
        while log.end_offset() < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, appended)
        .await
        .expect("it is appended");
    log.commit_all();
    assert_eq!(error_of(accepted).await, 0);
}

#[tokio::test]
async fn what_another_leader_has_committed_acknowledges_nothing_here() {
    // Given a commit that is appended and not yet committed
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    let unanswered = commit(&slot, "a", 7);
    appended(&log, 1).await;

    // When another broker leads, and its records have replaced ours before this coordinator hears of it
    *log.epoch.lock() = LeaderEpoch(2);
    log.high_watermark.send_replace(9);

    // Then the commit is not acknowledged
    assert_eq!(error_of(unanswered).await, ErrorCode::NotCoordinator.code());
}

#[tokio::test]
async fn a_write_that_is_too_large_does_not_take_others_with_it() {
    // Given a partition that takes small batches
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    *log.max_bytes.lock() = 200;

    // When a large commit comes together with a small one
    let large: &'static str = Box::leak("x".repeat(300).into_boxed_str());
    let (refused, accepted) = (commit(&slot, large, 1), commit(&slot, "b", 2));
    appended(&log, 1).await;
    log.commit_all();

    // Then only the large one is refused
    assert_eq!(
        error_of(refused).await,
        ErrorCode::UnknownServerError.code()
    );
    assert_eq!(error_of(accepted).await, 0);
}

#[tokio::test]
async fn a_slot_loads_a_partition_whose_last_records_compaction_has_removed() {
    let (log, env) = (FakeLog::new(), env());
    let slot = start(&log, &env);
    loaded(&slot).await;
    let first = commit(&slot, "a", 7);
    appended(&log, 1).await;
    log.commit_all();
    assert_eq!(error_of(first).await, 0);
    slot.close();

    *log.removed.lock() = 3;
    log.commit_all();
    let next = start(&log, &env);
    loaded(&next).await;
    assert_eq!(next.look(|shard| shard.durable().counts()), Ok((0, 1)));
}
