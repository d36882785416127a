//! The controller listener: takes connections, answers their requests side by side.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{BufReader, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::frame::{self, Frame, Kind};
use super::message::{Answer, Refusal, Request};
use super::node::Node;
use crate::env::{Listener, Plane, Stream};

/// Requests of one connection that are being answered.
const CONCURRENT: usize = 64;
/// A connection without a whole request for so long is closed: its other end may be gone without a word. Whoever still
/// needs it makes another.
const IDLE: Duration = Duration::from_secs(60);
/// Connections at a time; a quorum and its observers need far fewer.
const CONNECTIONS: usize = 4096;

impl Node {
    /// Accepts connections until the node ends.
    pub(super) async fn run_server(self: Arc<Self>, mut listener: Box<dyn Listener>) {
        let numbers = AtomicU64::new(1);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let slot = slots
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, address)) => {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let node = self.clone();
                    self.env
                        .spawn(Plane::Control, "quorum-connection", async move {
                            let _slot = slot;
                            if let Err(error) = node.serve(stream, number).await {
                                tracing::debug!(%address, %error, "controller connection ended");
                            }
                            node.on_closed(number);
                        });
                }
                Err(error) => {
                    tracing::warn!(%error, "the controller listener could not accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve(self: &Arc<Self>, stream: Stream, number: u64) -> io::Result<()> {
        let (read, write) = tokio::io::split(stream);
        let (answers, to_write) = mpsc::channel(CONCURRENT);
        let writing = write_answers(write, to_write);
        let reading = async {
            let mut read = BufReader::new(read);
            let busy = Arc::new(Semaphore::new(CONCURRENT));
            let told = Arc::new(AtomicBool::new(false));
            while let Some(request) = timeout(IDLE, frame::read(&mut read)).await?? {
                let slot = busy
                    .clone()
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                let (node, answers, told) = (self.clone(), answers.clone(), told.clone());
                self.env
                    .spawn(Plane::Control, "quorum-request", async move {
                        let _slot = slot;
                        if let Some(answer) = node.respond(&request, number, &told).await {
                            // The connection may have ended meanwhile.
                            let _ = answers.send(answer).await;
                        }
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
        connection: u64,
        told: &AtomicBool,
    ) -> Option<Vec<u8>> {
        if frame.kind != Kind::Request {
            return None;
        }
        let answer: Answer = match frame.decode::<Request>() {
            Ok(request) => self.answer(request, connection).await,
            Err(error) => {
                // A node of another version asks again and again: one line for each of its connections.
                if !told.swap(true, Ordering::Relaxed) {
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
    mut answers: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(answer) = answers.recv().await {
        frame::write(&mut write, &answer).await?;
    }
    // Every sender is gone only when the reading half has ended, which ends the connection.
    std::future::pending().await
}
