//! One partition of `__consumer_offsets` that this broker leads: its state machine, who waits for it, and the task
//! which writes its records, watches the high watermark and keeps its timers.
//!
//! Handlers run a step of the state machine under a short lock. Records are appended by the slot's task alone, those
//! of all requests that came in meanwhile as one batch, so their order in the log is the order of the steps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use engine::group::{Config, Effects, Now, Reply, Shard, Token, Write};
use engine::ids::LeaderEpoch;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use wire::ErrorCode;
use wire::record::BatchBuilder;

use super::load::load;
use super::log::PartitionLog;
use crate::env::Env;

/// About how many bytes of records go into one batch; a larger write is a batch by itself.
const BATCH_BYTES: usize = 256 << 10;

/// How a slot is driven, from the configuration.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub group: Config,
    /// Bytes read at once while loading.
    pub load_buffer_bytes: usize,
    /// Between two looks for expired offsets.
    pub expiry_check: Duration,
}

pub(super) struct Slot {
    pub index: i32,
    pub epoch: LeaderEpoch,
    env: Env,
    state: Mutex<State>,
    work: Notify,
    closed: Notify,
}

enum State {
    Loading,
    Active(Box<Active>),
    Closed,
}

struct Active {
    shard: Shard,
    waiting: BTreeMap<Token, oneshot::Sender<Reply>>,
    next_token: u64,
    unappended: VecDeque<Write>,
    /// When the task wakes up by itself.
    armed_ms: Option<u64>,
}

impl Slot {
    pub fn new(index: i32, epoch: LeaderEpoch, env: Env) -> Arc<Slot> {
        Arc::new(Slot {
            index,
            epoch,
            env,
            state: Mutex::new(State::Loading),
            work: Notify::new(),
            closed: Notify::new(),
        })
    }

    /// Runs a step for a request; the answer comes when the state machine gives it.
    pub fn request(
        &self,
        step: impl FnOnce(&mut Shard, Now, Token, &mut Effects),
    ) -> Result<oneshot::Receiver<Reply>, ErrorCode> {
        let now = self.now();
        let mut state = self.state.lock();
        let active = state.active()?;
        let token = Token(active.next_token);
        active.next_token += 1;
        let (sender, receiver) = oneshot::channel();
        active.waiting.insert(token, sender);
        self.run_step(active, |shard, out| step(shard, now, token, out));
        Ok(receiver)
    }

    /// Runs a step that nobody waits for.
    pub fn tell(&self, step: impl FnOnce(&mut Shard, Now, &mut Effects)) {
        let now = self.now();
        if let Ok(active) = self.state.lock().active() {
            self.run_step(active, |shard, out| step(shard, now, out));
        }
    }

    /// Looks at the state as it is.
    pub fn look<T>(&self, look: impl FnOnce(&Shard) -> T) -> Result<T, ErrorCode> {
        self.state.lock().active().map(|active| look(&active.shard))
    }

    /// The broker leads this partition no longer, or not in this epoch: the task ends.
    pub fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Active(mut active) = state {
            for (token, reply) in active.shard.unload(ErrorCode::NotCoordinator) {
                answer(&mut active.waiting, token, reply);
            }
        }
        self.closed.notify_one();
    }

    /// Loads the partition and serves it until [`Slot::close`].
    pub async fn run(self: Arc<Slot>, log: Arc<dyn PartitionLog>, options: Options) {
        tokio::select! {
            biased;
            () = self.closed.notified() => {}
            () = self.serve(&*log, &options) => {}
        }
    }

    async fn serve(&self, log: &dyn PartitionLog, options: &Options) {
        let durable = load(self.index, log, self.epoch, options.load_buffer_bytes).await;
        self.activate(Shard::new(options.group.clone(), durable, self.now()));
        let mut undecided: VecDeque<(u64, i64)> = VecDeque::new();
        let mut next_expiry = self.env.now() + options.expiry_check;
        loop {
            self.append_writes(log, &mut undecided);
            let Some(high_watermark) = log.high_watermark(self.epoch) else {
                // Led here no longer: whether the records survive is up to the next leader.
                return self.close();
            };
            self.settle_committed(high_watermark, &mut undecided);
            let wake_at = self.arm(next_expiry);
            let first = undecided.front().map(|(_, next_offset)| *next_offset);
            tokio::select! {
                biased;
                () = self.work.notified() => {}
                () = log.committed(first.unwrap_or(i64::MAX)), if first.is_some() => {}
                () = sleep_until(wake_at) => {
                    if self.env.now() >= next_expiry {
                        next_expiry = self.env.now() + options.expiry_check;
                        self.tell(|shard, now, out| shard.expire(now, out));
                    }
                    self.tell(|shard, now, out| shard.on_time(now, out));
                }
            }
        }
    }

    fn activate(&self, shard: Shard) {
        let mut state = self.state.lock();
        if matches!(*state, State::Loading) {
            *state = State::Active(Box::new(Active {
                shard,
                waiting: BTreeMap::new(),
                next_token: 0,
                unappended: VecDeque::new(),
                armed_ms: None,
            }));
        }
    }

    /// Appends all that steps asked for, and remembers behind which offset each write ends.
    fn append_writes(&self, log: &dyn PartitionLog, undecided: &mut VecDeque<(u64, i64)>) {
        loop {
            let writes = match self.state.lock().active() {
                Ok(active) => next_batch(&mut active.unappended),
                Err(_) => return,
            };
            if writes.is_empty() {
                return;
            }
            self.append_batch(log, &writes, undecided);
        }
    }

    /// Appends writes as one batch. One that cannot be written for what is in it must not take its neighbours with
    /// it: then each is tried by itself.
    fn append_batch(
        &self,
        log: &dyn PartitionLog,
        writes: &[Write],
        undecided: &mut VecDeque<(u64, i64)>,
    ) {
        let tickets = writes.iter().map(|write| write.ticket);
        let appended = encode(writes, self.env.wall_ms()).and_then(|batch| self.append(log, batch));
        // Without records of its own a write is decided with those before it.
        let before = undecided.back().map(|(_, next_offset)| *next_offset);
        match appended.map(|next_offset| next_offset.or(before)) {
            Ok(Some(next_offset)) => undecided.extend(tickets.map(|ticket| (ticket, next_offset))),
            Ok(None) => self.tell(|shard, now, out| {
                tickets.for_each(|ticket| shard.on_committed(now, ticket, out));
            }),
            Err(error) if writes.len() > 1 && is_of_content(error) => writes
                .chunks(1)
                .for_each(|one| self.append_batch(log, one, undecided)),
            Err(error) => {
                let error = for_clients(error);
                self.tell(|shard, now, out| {
                    tickets.for_each(|ticket| shard.on_failed(now, ticket, error, out));
                });
            }
        }
    }

    fn append(
        &self,
        log: &dyn PartitionLog,
        batch: Option<wire::batch::Batch>,
    ) -> Result<Option<i64>, ErrorCode> {
        batch
            .map(|batch| log.append(batch, self.epoch))
            .transpose()
            .inspect_err(|error| {
                tracing::warn!(
                    partition = self.index,
                    error = error.name(),
                    "cannot write groups and offsets"
                );
            })
    }

    fn settle_committed(&self, high_watermark: i64, undecided: &mut VecDeque<(u64, i64)>) {
        let done = undecided
            .iter()
            .take_while(|(_, next_offset)| *next_offset <= high_watermark)
            .count();
        if done > 0 {
            self.tell(|shard, now, out| {
                undecided
                    .drain(..done)
                    .for_each(|(ticket, _)| shard.on_committed(now, ticket, out));
            });
        }
    }

    /// When to wake up at the latest.
    fn arm(&self, next_expiry: Instant) -> Instant {
        let now = self.env.now();
        let elapsed_ms = self.env.elapsed_ms();
        let mut state = self.state.lock();
        let Ok(active) = state.active() else {
            return next_expiry;
        };
        active.armed_ms = active.shard.next_deadline();
        // One millisecond more, since the clock of deadlines is rounded down.
        let due = active
            .armed_ms
            .map(|at| now + Duration::from_millis(at.saturating_sub(elapsed_ms) + 1));
        due.map_or(next_expiry, |due| due.min(next_expiry))
    }

    fn run_step(&self, active: &mut Active, step: impl FnOnce(&mut Shard, &mut Effects)) {
        let mut out = Effects::default();
        step(&mut active.shard, &mut out);
        for (token, reply) in out.replies {
            answer(&mut active.waiting, token, reply);
        }
        let nearer = match (active.shard.next_deadline(), active.armed_ms) {
            (Some(at), Some(armed)) => at < armed,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        if nearer || !out.writes.is_empty() {
            active.unappended.extend(out.writes);
            self.work.notify_one();
        }
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: self.env.elapsed_ms(),
            wall_ms: self.env.wall_ms(),
        }
    }
}

impl State {
    fn active(&mut self) -> Result<&mut Active, ErrorCode> {
        match self {
            State::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Active(active) => Ok(active),
            State::Closed => Err(ErrorCode::NotCoordinator),
        }
    }
}

fn answer(waiting: &mut BTreeMap<Token, oneshot::Sender<Reply>>, token: Token, reply: Reply) {
    if let Some(sender) = waiting.remove(&token) {
        // The client may have gone away: then nobody wants the answer.
        let _ = sender.send(reply);
    }
}

/// The writes that make the next batch.
fn next_batch(unappended: &mut VecDeque<Write>) -> Vec<Write> {
    let mut bytes = 0;
    let mut writes = Vec::new();
    while let Some(write) = unappended.pop_front() {
        bytes += write.size_hint();
        if bytes > BATCH_BYTES && !writes.is_empty() {
            unappended.push_front(write);
            break;
        }
        writes.push(write);
    }
    writes
}

/// One batch of the records of all writes; none where there are no records.
fn encode(writes: &[Write], wall_ms: i64) -> Result<Option<wire::batch::Batch>, ErrorCode> {
    let mut builder = BatchBuilder::new(wall_ms);
    for record in writes.iter().flat_map(|write| &write.records) {
        let (key, value) = record.encode().map_err(|error| {
            tracing::error!(%error, "a record of __consumer_offsets cannot be encoded");
            ErrorCode::UnknownServerError
        })?;
        builder.append(Some(&key), value.as_deref());
    }
    Ok((!builder.is_empty()).then(|| builder.build()))
}

/// Whether a batch was refused for its records, and another might be taken.
fn is_of_content(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::UnknownServerError
    )
}

/// What group clients are told when the partition refuses a write, as in Kafka: what a retry can cure and where.
fn for_clients(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::UnknownServerError => ErrorCode::UnknownServerError,
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}
