//! Clients that do not behave, many of one kind, in a process of their own that gives way to everybody else's.
//!
//! It says `ready` when all of them are there, goes on until its standard input ends, and closes with its [`Counts`].

mod busy;
mod giants;
mod idle;
mod slow;
mod storm;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connect, and half of them ask once.
    Idle,
    /// Produce, fetch and ask for metadata, one request after the other.
    Busy,
    /// Ask for much, and read a byte a second.
    SlowReaders,
    /// Send a request byte by byte, half of them after most of it.
    SlowWriters,
    /// Announce a frame that is far too large, negative, or just small enough, and send nothing of it.
    Giants,
    /// Connect and close as fast as they can, half of them with garbage.
    Storm,
}

const NAMES: [(Kind, &str); 6] = [
    (Kind::Idle, "idle"),
    (Kind::Busy, "busy"),
    (Kind::SlowReaders, "slow-readers"),
    (Kind::SlowWriters, "slow-writers"),
    (Kind::Giants, "giants"),
    (Kind::Storm, "storm"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        let name = NAMES.iter().find(|(kind, _)| *kind == self);
        name.map_or("", |(_, name)| name)
    }

    /// What such a crowd must have done, where it has not: nobody has stood an attack that did not take place.
    pub fn lacking(self, counts: &Value) -> Option<&'static str> {
        let some = |count: &str| counts[count].as_u64() > Some(0);
        match self {
            // The others do not read what they are answered.
            Kind::Busy => (!some("answers")).then_some("nothing was answered"),
            Kind::Giants => (!some("requests") || !some("ended"))
                .then_some("no length was announced, or none was refused"),
            Kind::SlowReaders | Kind::Storm => (!some("requests")).then_some("nothing was said"),
            Kind::Idle | Kind::SlowWriters => (!some("opened")).then_some("nobody was there"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let kind = NAMES.iter().find(|(_, name)| *name == text);
        kind.map(|(kind, _)| *kind)
            .ok_or_else(|| format!("{text:?} is no kind of crowd"))
    }
}

/// Whom they bother.
#[derive(Clone, Debug)]
pub struct Target {
    pub broker: SocketAddr,
    /// A topic with much in it, and one to produce to.
    pub full: String,
    pub noise: String,
    /// `socket.request.max.bytes`.
    pub frame_max: usize,
}

/// What they have done.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    /// Connections that the broker has refused or ended.
    ended: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
}

impl Counts {
    fn json(&self) -> Value {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "opened": of(&self.opened),
            "ended": of(&self.ended),
            "requests": of(&self.requests),
            "answers": of(&self.answers),
        })
    }
}

fn one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// What each of them has.
#[derive(Clone)]
struct Member {
    number: usize,
    target: Arc<Target>,
    counts: Arc<Counts>,
    dialling: Arc<Semaphore>,
}

/// Dials that are under way at a time: a storm is the business of [`Kind::Storm`] alone.
const DIALLING: usize = 64;
/// After a connection has been ended, before the next.
const REST: Duration = Duration::from_millis(200);
const DIAL: Duration = Duration::from_secs(10);

/// Runs `count` of a kind until standard input ends.
pub fn join(kind: Kind, count: usize, target: Target) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let counts = Arc::<Counts>::default();
    runtime.block_on(gather(kind, count, target, counts.clone()))?;
    println!("{}", counts.json());
    Ok(())
}

async fn gather(kind: Kind, count: usize, target: Target, counts: Arc<Counts>) -> Result<()> {
    let first = Member {
        number: 0,
        target: Arc::new(target),
        counts: counts.clone(),
        dialling: Arc::new(Semaphore::new(DIALLING)),
    };
    for number in 0..count {
        let member = Member {
            number,
            ..first.clone()
        };
        match kind {
            Kind::Idle => drop(tokio::spawn(idle::run(member))),
            Kind::Busy => drop(tokio::spawn(busy::run(member))),
            Kind::SlowReaders => drop(tokio::spawn(slow::read(member))),
            Kind::SlowWriters => drop(tokio::spawn(slow::write(member))),
            Kind::Giants => drop(tokio::spawn(giants::run(member))),
            Kind::Storm => drop(tokio::spawn(storm::run(member))),
        }
    }
    let all = async {
        while counts.opened.load(Ordering::Relaxed) < count as u64 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let within = Duration::from_secs(120);
    if timeout(within, all).await.is_err() {
        bail!("after {within:?}: {}", counts.json());
    }
    println!("ready");
    io::stdout().flush()?;
    // Its end is all that ever comes.
    let end = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    end.await?.context("standard input")?;
    Ok(())
}

impl Member {
    /// A connection, from one of many addresses: an address has only so many ports.
    async fn dial(&self) -> io::Result<TcpStream> {
        let _turn = self.dialling.acquire().await;
        let address = Ipv4Addr::new(
            127,
            0,
            1 + (self.number / 200) as u8,
            1 + (self.number % 200) as u8,
        );
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        let stream = timeout(DIAL, socket.connect(self.target.broker)).await??;
        one(&self.counts.opened);
        Ok(stream)
    }

    /// The connection has been ended by the broker, or not even begun.
    async fn on_ended(&self) {
        one(&self.counts.ended);
        sleep(REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_did_nothing_is_found() {
        let nothing = Counts::default().json();
        let all = Counts {
            opened: 1.into(),
            ended: 1.into(),
            requests: 1.into(),
            answers: 1.into(),
        };
        for (kind, name) in NAMES {
            assert!(kind.lacking(&nothing).is_some(), "{name}");
            assert_eq!(kind.lacking(&all.json()), None, "{name}");
        }
        let believed = json!({"opened": 5, "ended": 0, "requests": 5, "answers": 0});
        assert!(Kind::Giants.lacking(&believed).is_some());
    }
}
