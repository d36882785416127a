//! The types that openraft is used with, and the little of a runtime that it asks for.

use std::future::Future;
use std::io::Cursor;
use std::time::Duration;

use engine::metadata::{Outcome, Proposal, Rejection};
use openraft::async_runtime::TokioOneShotSender;
use openraft::{AsyncRuntime, OptionalSend, TokioInstant, TokioRuntime};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The metadata quorum: proposals of the engine's commands, answered with what each has done.
    pub Types:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Member,
        AsyncRuntime = Runtime,
);

/// The consensus as this broker uses it.
pub type Raft = openraft::Raft<Types>;
/// An entry of the metadata log.
pub type Entry = openraft::Entry<Types>;
/// Where an entry stands: in whose term, at which index.
pub type LogId = openraft::LogId<u64>;
/// Whom a node follows.
pub type Vote = openraft::Vote<u64>;
/// The voters and learners.
pub type StoredMembership = openraft::StoredMembership<u64, Member>;
/// Which state a snapshot holds.
pub type SnapshotMeta = openraft::SnapshotMeta<u64, Member>;
/// A snapshot with its bytes.
pub type Snapshot = openraft::Snapshot<Types>;
/// Storage that has failed.
pub type StorageError = openraft::StorageError<u64>;

/// What applying an entry has answered; nothing where the entry is not a command.
pub type Applied = Option<Result<Outcome, Rejection>>;

/// A node of the quorum. A voter is a node id in a directory: one that comes back without its directory is another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The id of its metadata directory.
    pub directory: [u8; 16],
    /// The host of its controller listener.
    pub host: String,
    /// The port of its controller listener.
    pub port: u16,
}

tokio::task_local! {
    /// Where openraft's one random number, the election timeout of a node, comes from while a node is built.
    pub static SEED: u64;
}

/// Tokio as openraft's runtime, with its randomness taken from [`SEED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runtime;

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = tokio::time::Timeout<T>;
    type ThreadLocalRng = SplitMix;
    type OneshotSender<T: OptionalSend> = TokioOneShotSender<T>;
    type OneshotReceiver<T: OptionalSend> = tokio::sync::oneshot::Receiver<T>;
    type OneshotReceiverError = tokio::sync::oneshot::error::RecvError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        // The tasks of a node inherit the runtime of the task that builds it: the control plane's.
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SplitMix(SEED.try_with(|seed| *seed).unwrap_or(0))
    }

    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>)
    where
        T: OptionalSend,
    {
        TokioRuntime::oneshot()
    }
}

/// A small generator (SplitMix64) in the form that openraft's version of `rand` asks for.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> SplitMix {
        SplitMix(seed)
    }
}

impl rand_core::RngCore for SplitMix {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}
