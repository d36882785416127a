//! Clients that speak the protocol themselves, and so tell what a library keeps for itself: [`observer`]s of leaders, with
//! the leader epoch that they ask in, and the [`member`]s of a group, with their generation. They run in a thread of the run.

mod member;
mod observer;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use checker::Recorder;
use checker::history::{Event, Place as At};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use wire_client::Network;

use super::clock::now_ns;
use super::field::places;
use super::history::Place;
use super::pace::Pace;
use member::Member;
use observer::Observer;

/// The group of the raw members.
pub const GROUP: &str = "raw";
const MEMBERS: u32 = 3;
/// Two, so that one is told less than the other only where that is wrong.
const OBSERVERS: u32 = 2;

/// How long a leader waits for what there is to read.
const MAX_WAIT_MS: i32 = 50;

type Session = wire_client::Session<Machines>;
type Group = wire_client::Group<Machines>;

/// The brokers where clients reach them.
#[derive(Clone, Debug)]
pub struct Machines(Arc<BTreeMap<i32, SocketAddr>>);

impl Machines {
    fn session(&self) -> Session {
        let brokers: Vec<i32> = self.0.keys().copied().collect();
        Session::over(self.clone(), &brokers)
    }
}

impl Network for Machines {
    type Stream = TcpStream;

    async fn connect(&self, broker: i32) -> io::Result<TcpStream> {
        let address = self.0.get(&broker).ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The thread that they run in.
#[derive(Debug)]
pub struct Raw {
    pace: Pace,
    recorder: Recorder,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Raw {
    /// Starts all of them; what the members do is a matter of the seed.
    pub fn start(brokers: BTreeMap<i32, SocketAddr>, seed: u64) -> Raw {
        let (pace, recorder) = (Pace::default(), Recorder::default());
        let (going, telling) = (pace.clone(), recorder.clone());
        let machines = Machines(Arc::new(brokers));
        let thread = thread::spawn(move || work(&machines, &going, &telling, seed));
        Raw {
            pace,
            recorder,
            thread: Some(thread),
        }
    }

    /// Ends them, and gives what they have seen.
    pub fn finish(mut self) -> Result<Vec<Event>> {
        self.pace.stop();
        let thread = self.thread.take().expect("finished once");
        let ended = thread
            .join()
            .map_err(|_| anyhow!("the raw clients panicked"));
        ended??;
        Ok(self.recorder.events())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.pace.stop();
    }
}

fn work(machines: &Machines, pace: &Pace, recorder: &Recorder, seed: u64) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let mut all = Vec::new();
    for number in 1..=OBSERVERS {
        let observer = Observer::new(number, machines.session(), recorder.clone());
        all.push(tasks.spawn_local(observer.run(pace.clone())));
    }
    for number in 1..=MEMBERS {
        let member = Member::new(number, machines.clone(), recorder.clone(), seed);
        all.push(tasks.spawn_local(member.run(pace.clone())));
    }
    runtime.block_on(tasks.run_until(async {
        for task in all {
            task.await?;
        }
        Ok(())
    }))
}

/// Every partition of the load, in the checker's words.
fn all_places() -> Vec<At> {
    let at = |place: Place| At::new(place.topic, place.partition);
    places().into_iter().map(at).collect()
}

/// The time that all who write into the history share.
fn now_us() -> u64 {
    now_ns() / 1000
}
