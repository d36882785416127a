//! The controller listener: takes connections, answers their requests side by side.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::WriteHalf;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::frame::{self, Frame, Kind, MAX_FRAME_BYTES};
use super::guard::{Guard, Guest};
use super::message::{Answer, Refusal, Request};
use super::node::Node;
use crate::env::{Listener, Plane, Stream};
use crate::net::{FrameReader, Held};

/// As it is called in the log.
const LISTENER: &str = "controller";
/// Requests of one connection that are being answered.
const CONCURRENT: usize = 64;
/// A connection without a whole request for so long is closed: its other end may be gone without a word. Whoever still
/// needs it makes another.
const IDLE: Duration = Duration::from_secs(60);
/// A connection that takes nothing of an answer for so long is closed.
const DEAF: Duration = Duration::from_secs(30);

/// An answer on its way, with its room.
struct Ready {
    bytes: Vec<u8>,
    _room: Held,
}

impl Node {
    /// Accepts connections until the node ends.
    pub(super) async fn run_server(self: Arc<Self>, mut listener: Box<dyn Listener>) {
        let guard = Arc::new(Guard::new());
        let mut number = 0;
        loop {
            let accepted = guard.complaints.accept(&self.env, &mut *listener, LISTENER);
            let (stream, address) = accepted.await;
            number += 1;
            self.clone().welcome(&guard, stream, address, number);
        }
    }

    fn welcome(
        self: Arc<Self>,
        guard: &Arc<Guard>,
        stream: Stream,
        address: SocketAddr,
        number: u64,
    ) {
        let guest = match guard.admit(address.ip(), number) {
            Ok(guest) => Arc::new(guest),
            Err(reason) => {
                if guard.complaints.may_write(self.env.now()) {
                    tracing::warn!(%address, %reason, "the controller listener refused a connection");
                }
                return;
            }
        };
        let (env, guard) = (self.env.clone(), guard.clone());
        env.spawn(Plane::Control, "quorum-connection", async move {
            let ended = tokio::select! {
                biased;
                () = guest.cut.told() => Err(io::Error::other("it kept what others needed")),
                ended = self.serve(stream, &guest, &guard) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%address, %error, "controller connection ended");
            }
            self.on_closed(number);
        });
    }

    async fn serve(
        self: &Arc<Self>,
        stream: Stream,
        guest: &Arc<Guest>,
        guard: &Arc<Guard>,
    ) -> io::Result<()> {
        let (mut read, write) = tokio::io::split(stream);
        let (answers, to_write) = mpsc::channel(CONCURRENT);
        let writing = write_answers(write, to_write, guest, guard);
        let reading = async {
            let (now, cut) = (self.env.now(), guest.cut.clone());
            let mut reader = FrameReader::new(MAX_FRAME_BYTES, IDLE, IDLE, now, cut);
            let busy = Arc::new(Semaphore::new(CONCURRENT));
            let told = Arc::new(AtomicBool::new(false));
            while let Some(next) = reader.next(&mut read, &guard.requests).await? {
                let request = Frame::parse(next.bytes)?;
                let slot = busy
                    .clone()
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                let (node, answers, told) = (self.clone(), answers.clone(), told.clone());
                let (guest, guard) = (guest.clone(), guard.clone());
                self.env
                    .spawn(Plane::Control, "quorum-request", async move {
                        let (_slot, _budget) = (slot, next.budget);
                        let Some(bytes) = node.respond(&request, &guest, &guard, &told).await
                        else {
                            return;
                        };
                        let _room = guard.answers.take(bytes.len());
                        // The connection may have ended meanwhile.
                        let _ = answers.send(Ready { bytes, _room }).await;
                    });
            }
            Ok(())
        };
        tokio::select! {
            biased;
            ended = reading => ended,
            failed = writing => failed,
        }
    }

    async fn respond(
        self: &Arc<Self>,
        frame: &Frame,
        guest: &Guest,
        guard: &Guard,
        told: &AtomicBool,
    ) -> Option<Vec<u8>> {
        if frame.kind != Kind::Request {
            return None;
        }
        let answer: Answer = match frame.decode::<Request>() {
            Ok(request) => {
                guest.is_known();
                self.answer(request, guest.number).await
            }
            Err(error) => {
                // A node of another version asks again and again: one line for each of its connections.
                let is_new = !told.swap(true, Ordering::Relaxed);
                if is_new && guard.complaints.may_write(self.env.now()) {
                    tracing::warn!(%error, "a request of another node is not understood");
                }
                Err(Refusal::Unavailable(format!("not understood: {error}")))
            }
        };
        frame::encode(Kind::Answer, frame.correlation, &answer).ok()
    }
}

async fn write_answers(
    mut write: WriteHalf<Stream>,
    mut answers: mpsc::Receiver<Ready>,
    guest: &Guest,
    guard: &Guard,
) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;

    while let Some(answer) = answers.recv().await {
        let mut left = &answer.bytes[..];
        let mut transfer = None;
        while !left.is_empty() {
            let written = match write.write(left).now_or_never() {
                Some(written) => written?,
                None => {
                    transfer.get_or_insert_with(|| guard.answers.begin(&guest.cut, left.len()));
                    timeout(DEAF, write.write(left)).await??
                }
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            left = &left[written..];
            if let Some(transfer) = &transfer {
                transfer.moved(written);
            }
        }
        timeout(DEAF, write.flush()).await??;
    }
    // Every sender is gone only when the reading half has ended, which ends the connection.
    std::future::pending().await
}
