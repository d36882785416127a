//! One client connection: requests in, answers out in the same order.
//!
//! As in Kafka, a request starts when the one before it has been answered. Produce alone overlaps:
//! its append happens when it starts, so appends keep the order of their requests, while the waits
//! for replicas run side by side.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::Stop;
use super::answers::Answers;
use super::complaints::Complaints;
use super::frame::{FrameError, FrameReader};
use super::limits::ByteBudget;
use super::share::{Cut, Held};
use crate::api::{self, Answer, Dispatched, Peer};
use crate::config::NetConfig;
use crate::env::{BoxFuture, Stream, watch};
use crate::metrics::requests::Measure;
use crate::server::Broker;

/// Slices handed to one vectored write.
const WRITE_SLICES: usize = 64;
/// Answers are gathered into one write up to this size.
const GATHER_BYTES: usize = 1 << 20;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Nothing more could be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The request cannot be answered.
    #[error(transparent)]
    Refused(#[from] api::Refused),
    /// An answer could not be written.
    #[error("an answer could not be written: {0}")]
    Write(io::Error),
    /// The peer did not take an answer in time.
    #[error("the peer did not take an answer within {0:?} (request.partial.timeout.ms)")]
    SlowReader(Duration),
    /// The peer was the slowest of those that kept memory which others needed.
    #[error("too slow to keep the memory that it kept: others needed it (queued.max.*.bytes)")]
    Cut,
}

/// What the connections of a listener share.
#[derive(Clone)]
pub struct Shared {
    pub(super) broker: Arc<Broker>,
    pub(super) budget: Arc<ByteBudget>,
    pub(super) complaints: Arc<Complaints>,
    pub(super) stopping: watch::Receiver<Stop>,
}

struct Waiting {
    answer: Result<Option<Answer>, api::Refused>,
    measure: Measure,
    overlaps: bool,
    /// Given back when this is.
    _budget: Option<Held>,
}

/// Serves one connection until either side ends it, or others need the memory that it keeps.
pub async fn serve(shared: Shared, stream: Stream, peer: Peer) -> Result<(), Ended> {
    let cut = Arc::<Cut>::default();
    tokio::select! {
        biased;
        () = cut.told() => {
            shared.broker.metrics.refused_slow.inc();
            Err(Ended::Cut)
        }
        ended = converse(&shared, stream, peer, &cut) => ended,
    }
}

async fn converse(
    shared: &Shared,
    mut stream: Stream,
    peer: Peer,
    cut: &Arc<Cut>,
) -> Result<(), Ended> {
    let config: NetConfig = shared.broker.config.net.clone();
    let (mut stopping, mut cutting) = (shared.stopping.clone(), shared.stopping.clone());
    let mut reader = FrameReader::new(
        config.request_max_bytes,
        config.idle,
        config.partial,
        shared.broker.env.now(),
        cut.clone(),
    );
    let answers = &shared.broker.answers;
    let mut waiting: FuturesOrdered<BoxFuture<'static, Waiting>> = FuturesOrdered::new();
    let mut alone = 0usize;
    loop {
        let may_read = alone == 0 && waiting.len() < config.in_flight_requests;
        tokio::select! {
            biased;
            () = told(&mut cutting, |stop| stop == Stop::AtOnce) => return Ok(()),
            Some(done) = waiting.next(), if !waiting.is_empty() => {
                let gathered = gather(done, &mut waiting, &mut alone)?;
                write(&mut stream, gathered.chunks, config.partial, (answers, cut)).await?;
                gathered.measures.iter().for_each(Measure::written);
                reader.touch(shared.broker.env.now());
            }
            () = told(&mut stopping, |stop| stop != Stop::No), if waiting.is_empty() => return Ok(()),
            frame = reader.next(&mut stream, &shared.budget), if may_read => {
                let Some(frame) = frame? else { return Ok(()) };
                let Dispatched { answer, overlaps } =
                    api::dispatch(&shared.broker, frame.bytes, &peer, shared.broker.env.now())?;
                alone += usize::from(!overlaps);
                // The records of a Produce are in the log by now. Were they counted until its followers have them, a
                // full budget would keep out the fetches which it waits for.
                let budget = (!overlaps).then_some(frame.budget);
                waiting.push_back(Box::pin(answer.map(move |(answer, measure)| Waiting {
                    answer,
                    measure,
                    overlaps,
                    _budget: budget,
                })));
            }
        }
    }
}

/// Ends when the broker says so; a broker that is gone has stopped.
async fn told(stopping: &mut watch::Receiver<Stop>, this: impl Fn(Stop) -> bool) {
    let _ = stopping.wait_for(|stop| this(*stop)).await;
}

/// Answers that are written together.
#[derive(Default)]
struct Gathered {
    chunks: Vec<Bytes>,
    measures: Vec<Measure>,
    /// Given back when they have been written.
    rooms: Vec<Held>,
}

/// The chunks of an answer, and of those behind it that are ready too.
fn gather(
    first: Waiting,
    waiting: &mut FuturesOrdered<BoxFuture<'static, Waiting>>,
    alone: &mut usize,
) -> Result<Gathered, Ended> {
    let mut gathered = Gathered::default();
    let mut size = 0;
    let mut next = Some(first);
    while let Some(done) = next {
        *alone -= usize::from(!done.overlaps);
        if let Some(answer) = done.answer? {
            size += answer.bytes;
            gathered.chunks.extend(answer.chunks);
            gathered.rooms.push(answer.room);
        }
        gathered.measures.push(done.measure);
        next = if size < GATHER_BYTES {
            waiting.next().now_or_never().flatten()
        } else {
            None
        };
    }
    Ok(gathered)
}

async fn write(
    stream: &mut Stream,
    chunks: Vec<Bytes>,
    limit: Duration,
    (answers, cut): (&Answers, &Arc<Cut>),
) -> Result<(), Ended> {
    let mut progress = WriteProgress { chunks, at: 0 };
    let slow = |_| Ended::SlowReader(limit);
    // Most answers go out at once. One that does not holds its memory for as long as its peer likes.
    while !progress.is_done()
        && let Some(written) = progress.step(stream).now_or_never()
    {
        written.map_err(Ended::Write)?;
    }
    if !progress.is_done() {
        let transfer = answers.wait_for_peer(cut, progress.left());
        // The bound is on progress, not on the whole: a large answer to a slow but living peer goes on.
        while !progress.is_done() {
            let step = timeout(limit, progress.step(stream)).await.map_err(slow)?;
            transfer.moved(step.map_err(Ended::Write)?);
        }
    }
    let flushed = timeout(limit, stream.flush()).await.map_err(slow)?;
    flushed.map_err(Ended::Write)
}

/// A chain of chunks on its way out.
struct WriteProgress {
    chunks: Vec<Bytes>,
    at: usize,
}

impl WriteProgress {
    fn is_done(&self) -> bool {
        self.chunks[self.at..].iter().all(Bytes::is_empty)
    }

    fn left(&self) -> usize {
        self.chunks[self.at..].iter().map(Bytes::len).sum()
    }

    /// Writes what the peer takes now, or waits until it takes some; gives how much.
    async fn step(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        let rest = &self.chunks[self.at..];
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let count = rest.len().min(WRITE_SLICES);
        for (slice, chunk) in slices.iter_mut().zip(rest) {
            *slice = IoSlice::new(chunk);
        }
        let written = stream.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut left = written;
        while left > 0 {
            let chunk = &mut self.chunks[self.at];
            let taken = left.min(chunk.len());
            chunk.advance(taken);
            left -= taken;
            if chunk.is_empty() {
                // Its memory is needed elsewhere.
                *chunk = Bytes::new();
                self.at += 1;
            }
        }
        while self.chunks.get(self.at).is_some_and(Bytes::is_empty) {
            self.at += 1;
        }
        Ok(written)
    }
}

/// Logs the end of a connection: one line for what the peer did wrong, none for a plain close.
fn report(
    ended: Result<(), Ended>,
    peer: SocketAddr,
    listener: &str,
    may_write: impl Fn() -> bool,
) {
    match ended {
        Ok(()) | Err(Ended::Frame(FrameError::Io(_))) | Err(Ended::Write(_)) => {
            tracing::debug!(%peer, listener, "connection closed");
        }
        Err(Ended::Frame(FrameError::Idle(_))) => {
            tracing::debug!(%peer, listener, "idle connection closed");
        }
        Err(error) if may_write() => {
            tracing::warn!(%peer, listener, %error, "connection closed");
        }
        Err(error) => tracing::debug!(%peer, listener, %error, "connection closed"),
    }
}

/// Runs `serve` as a task body that never fails.
pub(super) async fn task(shared: Shared, stream: Stream, peer: Peer) {
    let (address, listener) = (peer.address, peer.listener.clone());
    let began: Instant = shared.broker.env.now();
    let (complaints, env) = (shared.complaints.clone(), shared.broker.env.clone());
    let ended = serve(shared, stream, peer).await;
    report(ended, address, &listener, || {
        complaints.may_write(env.now())
    });
    tracing::trace!(peer = %address, lasted = ?began.elapsed(), "connection ended");
}
