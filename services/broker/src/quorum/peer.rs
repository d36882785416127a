//! A connection to another node's controller listener, made when it is needed and shared by many calls.
//!
//! Calls wait for their answers side by side. A call that is given up (its deadline passes, its caller is dropped)
//! leaves the connection in order: its answer is dropped when it comes. A connection over which nothing has come for
//! a while although calls wait is given up as well: after a cut of the network TCP tries again ever more rarely, and a
//! fresh connection is through at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{BufReader, ReadHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::frame::{self, Kind};
use super::message::{Answer, Refusal, Reply, Request};
use crate::env::{Env, Plane, Stream};

/// Calls that wait to be written to one connection.
const QUEUE: usize = 256;
/// A connection that is not made within this time will not be.
const CONNECT: Duration = Duration::from_secs(2);
/// A machine that is there answers a dial within this time.
const DIAL: Duration = Duration::from_millis(250);
/// A connection is given up when a call has timed out and nothing has come for so long.
const SILENCE: Duration = Duration::from_secs(2);

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

/// The way into a live connection's task.
#[derive(Clone)]
struct Connection {
    calls: mpsc::Sender<Call>,
    state: Arc<State>,
}

struct State {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<io::Result<Answer>>>>,
    /// When something came last; at first, when the connection was made.
    heard: Mutex<Instant>,
    give_up: Notify,
}

struct Call {
    request: Vec<u8>,
    correlation: u64,
    answer: oneshot::Sender<io::Result<Answer>>,
}

fn closed() -> Error {
    Error::Network("the connection was closed".into())
}

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
        let begun = self.shared.env.now();
        let connection = timeout(deadline, self.connection())
            .await
            .map_err(|_| Error::Timeout)??;
        let left = deadline.saturating_sub(self.shared.env.now() - begun);
        match timeout(left, self.call_over(&connection, request)).await {
            Ok(answered) => answered,
            Err(_) => {
                if self.shared.env.now() - *connection.state.heard.lock() > SILENCE {
                    connection.state.give_up.notify_one();
                }
                Err(Error::Timeout)
            }
        }
    }

    async fn call_over(&self, connection: &Connection, request: &Request) -> Result<Reply, Error> {
        let correlation = self.shared.env.random_u64();
        let request = frame::encode(Kind::Request, correlation, request)?;
        let (answer, answered) = oneshot::channel();
        let _forget = Forget {
            state: connection.state.clone(),
            correlation,
        };
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
}

/// Takes a call out of those that wait, however its caller has ended.
struct Forget {
    state: Arc<State>,
    correlation: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.state.waiting.lock().remove(&self.correlation);
    }
}

/// What becomes of a fresh connection to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its machine accepts it; what the process does is not known.
    Answered,
    /// Its machine refuses it: nobody listens there.
    Refused,
    /// There is no answer.
    Unanswered,
}

/// Dials a node once.
pub async fn reach(env: &Env, host: &str, port: u16) -> Reach {
    match timeout(DIAL, env.connect(host, port)).await {
        Ok(Ok(_)) => Reach::Answered,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => Reach::Refused,
        // No route, no name, no answer: what this node knows of it is nothing.
        Ok(Err(_)) | Err(_) => Reach::Unanswered,
    }
}

async fn dial(env: &Env, host: &str, port: u16) -> Result<Stream, Error> {
    let connected = timeout(CONNECT, env.connect(host, port)).await;
    Ok(connected.map_err(|_| Error::Network(format!("{host}:{port} does not answer")))??)
}

impl Connection {
    fn start(env: &Env, stream: Stream) -> Connection {
        let (calls, queue) = mpsc::channel(QUEUE);
        let state = Arc::new(State {
            waiting: Mutex::default(),
            heard: Mutex::new(env.now()),
            give_up: Notify::new(),
        });
        env.spawn(
            Plane::Control,
            "quorum-peer",
            run(env.clone(), stream, queue, state.clone()),
        );
        Connection { calls, state }
    }
}

/// Carries calls and answers until the connection ends, then fails what still waits.
async fn run(env: Env, stream: Stream, mut calls: mpsc::Receiver<Call>, state: Arc<State>) {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        while let Some(call) = calls.recv().await {
            // A caller that has given up while its call was queued is not waited for.
            if call.answer.is_closed() {
                continue;
            }
            state.waiting.lock().insert(call.correlation, call.answer);
            frame::write(&mut write, &call.request).await?;
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::select! {
        biased;
        () = state.give_up.notified() => Err(io::ErrorKind::TimedOut.into()),
        result = receive(&env, &mut read, &state) => result,
        result = send => result,
    };
    let why = ended
        .err()
        .map_or_else(|| "the connection was closed".to_owned(), |e| e.to_string());
    calls.close();
    for (_, answer) in std::mem::take(&mut *state.waiting.lock()) {
        // The caller may have given up.
        let _ = answer.send(Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            why.clone(),
        )));
    }
}

async fn receive(env: &Env, read: &mut ReadHalf<Stream>, state: &State) -> io::Result<()> {
    let mut buffered = BufReader::new(read);
    while let Some(frame) = frame::read(&mut buffered).await? {
        *state.heard.lock() = env.now();
        if let Some(answer) = state.waiting.lock().remove(&frame.correlation) {
            // The caller may have given up.
            let _ = answer.send(frame.decode::<Answer>());
        }
    }
    Ok(())
}
