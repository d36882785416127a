//! A connection to another node's controller listener, made when it is needed and shared by many calls.
//!
//! Calls wait for their answers side by side. A call that is given up (its deadline passes, its caller is dropped)
//! leaves the connection in order: its answer is dropped when it comes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::ReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frame::{self, Kind};
use super::message::{Answer, Refusal, Reply, Request};
use crate::env::{Env, Plane, Stream};

/// Calls that wait to be written to one connection.
const QUEUE: usize = 256;
/// A connection that is not made within this time will not be.
const CONNECT: Duration = Duration::from_secs(2);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process is not there.
    #[error("connection refused")]
    ConnectionRefused,
    /// The node cannot be reached now.
    #[error("{0}")]
    Network(String),
    /// The time is over; whether the call was carried out is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The node has answered that it does not do this.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        match e.kind() {
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            _ => Error::Network(e.to_string()),
        }
    }
}

/// Another node. Clones share the connection.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    host: String,
    port: u16,
    connection: tokio::sync::Mutex<Option<Connection>>,
}

/// The way into a live connection's tasks.
#[derive(Clone)]
struct Connection {
    calls: mpsc::Sender<Call>,
}

struct Call {
    request: Vec<u8>,
    correlation: u64,
    answer: oneshot::Sender<io::Result<Answer>>,
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<io::Result<Answer>>>>>;

impl Peer {
    /// Nothing is connected yet.
    pub fn new(env: Env, host: String, port: u16) -> Peer {
        let connection = tokio::sync::Mutex::new(None);
        Peer {
            shared: Arc::new(Shared {
                env,
                host,
                port,
                connection,
            }),
        }
    }

    /// Asks, within `deadline`.
    pub async fn call(&self, request: &Request, deadline: Duration) -> Result<Reply, Error> {
        timeout(deadline, self.call_now(request))
            .await
            .map_err(|_| Error::Timeout)?
    }

    async fn call_now(&self, request: &Request) -> Result<Reply, Error> {
        // Only unique within one connection, but a random start shows which call was whose in a trace.
        let correlation = self.shared.env.random_u64();
        let request = frame::encode(Kind::Request, correlation, request)?;
        let connection = self.connection().await?;
        let (answer, answered) = oneshot::channel();
        let closed = || Error::Network("the connection was closed".into());
        connection
            .calls
            .send(Call {
                request,
                correlation,
                answer,
            })
            .await
            .map_err(|_| closed())?;
        Ok(answered.await.map_err(|_| closed())???)
    }

    /// The live connection, or a new one.
    async fn connection(&self) -> Result<Connection, Error> {
        let mut slot = self.shared.connection.lock().await;
        if let Some(live) = slot.as_ref().filter(|c| !c.calls.is_closed()) {
            return Ok(live.clone());
        }
        let shared = &self.shared;
        let stream = dial(&shared.env, &shared.host, shared.port).await?;
        let fresh = Connection::start(&shared.env, stream);
        *slot = Some(fresh.clone());
        Ok(fresh)
    }

    /// Whether the process refuses to be connected to: nobody listens there any more.
    pub async fn is_gone(&self) -> bool {
        is_gone(&self.shared.env, &self.shared.host, self.shared.port).await
    }
}

/// Whether a fresh connection is refused.
pub async fn is_gone(env: &Env, host: &str, port: u16) -> bool {
    matches!(dial(env, host, port).await, Err(Error::ConnectionRefused))
}

async fn dial(env: &Env, host: &str, port: u16) -> Result<Stream, Error> {
    let connected = timeout(CONNECT, env.connect(host, port)).await;
    Ok(connected.map_err(|_| Error::Network(format!("{host}:{port} does not answer")))??)
}

impl Connection {
    fn start(env: &Env, stream: Stream) -> Connection {
        let (calls, queue) = mpsc::channel(QUEUE);
        env.spawn(Plane::Control, "quorum-peer", run(stream, queue));
        Connection { calls }
    }
}

/// Carries calls and answers until the connection ends, then fails what still waits.
async fn run(stream: Stream, mut calls: mpsc::Receiver<Call>) {
    let waiting = Waiting::default();
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        while let Some(call) = calls.recv().await {
            waiting.lock().insert(call.correlation, call.answer);
            frame::write(&mut write, &call.request).await?;
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::select! {
        biased;
        result = receive(&mut read, &waiting) => result,
        result = send => result,
    };
    let why = ended
        .err()
        .map_or_else(|| "the connection was closed".to_owned(), |e| e.to_string());
    calls.close();
    for (_, answer) in std::mem::take(&mut *waiting.lock()) {
        // The caller may have given up.
        let _ = answer.send(Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            why.clone(),
        )));
    }
}

async fn receive(read: &mut ReadHalf<Stream>, waiting: &Waiting) -> io::Result<()> {
    let mut buffered = tokio::io::BufReader::new(read);
    while let Some(frame) = frame::read(&mut buffered).await? {
        if let Some(answer) = waiting.lock().remove(&frame.correlation) {
            // The caller may have given up.
            let _ = answer.send(frame.decode::<Answer>());
        }
    }
    Ok(())
}
