//! Nodes that can be killed: each has a runtime, which ends with it, and a disk, which does not.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::config::Config;
use broker::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use broker::quorum::{Description, Error, Joining, Quorum};
use engine::ids::BrokerId;
use engine::metadata::{Assignment, Command, Endpoint, Image, NewTopic, Outcome};
use parking_lot::Mutex;
use storage::memory::MemoryDisk;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::{Str, Uuid};

use crate::deaf::Deaf;
use crate::ports;

/// Threads of each node.
const WORKERS: usize = 2;
/// Every wait of a test ends after this.
pub const LIMIT: Duration = Duration::from_secs(20);

struct Loopback {
    disk: Arc<MemoryDisk>,
    state: AtomicU64,
    deaf: Arc<AtomicBool>,
}

impl Outside for Loopback {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            Ok(Box::new(Tcp(TcpListener::bind(address).await?)) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let deaf = self.deaf.clone();
            Ok(Box::new(Deaf { stream, deaf }) as Stream)
        })
    }

    fn wall_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64)
    }

    fn random_u64(&self) -> u64 {
        let z = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        self.disk.clone()
    }

    fn run_blocking(&self, _: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

struct Tcp(TcpListener);

impl Listener for Tcp {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Stream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A running node.
pub struct Live {
    pub quorum: Arc<Quorum>,
    runtime: Runtime,
    /// Stands for its broker listener.
    clients: std::net::TcpListener,
    /// What its heartbeats say of its disk.
    pub stall: Arc<Mutex<Duration>>,
    /// Whether what comes over the connections that it has made is lost.
    pub deaf: Arc<AtomicBool>,
}

/// A cluster whose nodes come and go.
pub struct Cluster {
    ports: BTreeMap<i32, u16>,
    extra: Vec<(String, String)>,
    voters: Vec<i32>,
    pub disks: BTreeMap<i32, Arc<MemoryDisk>>,
    pub live: BTreeMap<i32, Live>,
    starts: u64,
}

/// The ids other than one.
pub fn others(ids: &[i32], than: i32) -> Vec<i32> {
    ids.iter().copied().filter(|id| *id != than).collect()
}

impl Cluster {
    /// Nothing runs yet.
    pub fn of(voters: &[i32], extra: &[(&str, &str)]) -> Cluster {
        Cluster {
            ports: voters.iter().map(|id| (*id, ports::free())).collect(),
            extra: extra
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            voters: voters.to_vec(),
            disks: BTreeMap::new(),
            live: BTreeMap::new(),
            starts: 0,
        }
    }

    /// All voters run, are registered and not fenced.
    pub fn up(voters: &[i32], extra: &[(&str, &str)]) -> Cluster {
        let mut cluster = Cluster::of(voters, extra);
        for id in voters {
            cluster.start(*id);
        }
        for id in voters {
            cluster.join(*id, false);
        }
        cluster
    }

    /// The outside of a live node, with a disk that is not its own.
    pub fn env_on(&self, id: i32, disk: Arc<MemoryDisk>) -> Env {
        let handle = self.live[&id].runtime.handle().clone();
        let outside = Loopback {
            disk,
            deaf: self.live[&id].deaf.clone(),
            state: AtomicU64::new(0),
        };
        Env::new(handle.clone(), handle, Arc::new(outside))
    }

    pub fn config(&self, id: i32) -> Config {
        let voter = |v: &i32| format!("{v}@127.0.0.1:{}", self.ports[v]);
        let voters: Vec<_> = self.voters.iter().map(voter).collect();
        let is_voter = self.voters.contains(&id);
        let mut pairs: BTreeMap<String, String> = self.extra.iter().cloned().collect();
        pairs.insert("node.id".into(), id.to_string());
        pairs.insert("controller.quorum.voters".into(), voters.join(","));
        pairs.insert("log.dirs".into(), "/data".into());
        pairs.insert("metadata.log.reserve.bytes".into(), "4096".into());
        let broker = "PLAINTEXT://127.0.0.1:9092";
        if is_voter {
            let both = format!("{broker},CONTROLLER://127.0.0.1:{}", self.ports[&id]);
            pairs.insert("listeners".into(), both);
        } else {
            pairs.insert("process.roles".into(), "broker".into());
            pairs.insert("listeners".into(), broker.into());
        }
        Config::from_map(pairs).expect("a valid configuration").0
    }

    /// Starts a node on the disk that it had before, if it had one.
    pub fn start(&mut self, id: i32) {
        self.starts += 1;
        let disk = self
            .disks
            .entry(id)
            .or_insert_with(|| Arc::new(MemoryDisk::new()))
            .clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .expect("a runtime");
        let deaf = Arc::<AtomicBool>::default();
        let outside = Loopback {
            disk,
            deaf: deaf.clone(),
            state: AtomicU64::new(self.starts.wrapping_mul(0x1234_5678_9abc_def1)),
        };
        let handle = runtime.handle().clone();
        let env = Env::new(handle.clone(), handle, Arc::new(outside));
        let config = Arc::new(self.config(id));
        let started = runtime.block_on(async move { Quorum::start(env, config).await });
        let quorum = started.expect("the quorum starts");
        let clients = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        self.live.insert(
            id,
            Live {
                quorum,
                runtime,
                clients,
                stall: Arc::default(),
                deaf,
            },
        );
    }

    /// Registers a node's broker and waits until it is not fenced.
    pub fn join(&self, id: i32, clean: bool) {
        let live = &self.live[&id];
        let stall = live.stall.clone();
        live.runtime.block_on(async {
            live.quorum
                .cluster_id(LIMIT)
                .await
                .expect("the quorum forms");
            let before = live.quorum.image().broker(BrokerId(id)).map(|b| b.epoch);
            let joining = Joining {
                endpoints: vec![Endpoint {
                    listener: "PLAINTEXT".into(),
                    host: "127.0.0.1".into(),
                    port: live.clients.local_addr().expect("its address").port(),
                }],
                cluster_id: None,
                clean_epoch: before.filter(|_| clean),
                memory: Arc::new(|| None),
                stall: Arc::new(move || *stall.lock()),
            };
            live.quorum.join(joining).await.expect("registered");
            live.quorum.unfenced(LIMIT).await.expect("unfenced");
        });
    }

    /// Ends a node as kill -9 does: what it had written stays.
    pub fn kill(&mut self, id: i32) {
        let live = self.live.remove(&id).expect("it runs");
        drop(live.quorum);
        live.runtime.shutdown_timeout(Duration::from_secs(5));
        self.disks[&id].kill();
    }

    /// Ends a node as SIGTERM does.
    pub fn stop(&mut self, id: i32) {
        let live = self.live.remove(&id).expect("it runs");
        let _ = live
            .runtime
            .block_on(live.quorum.shutdown(std::future::pending()));
        drop(live.quorum);
        live.runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Begins to stop a node as SIGTERM does. It hurries when the sender is dropped; the task says whether it could hand
    /// over.
    pub fn begin_stop(&self, id: i32) -> (oneshot::Sender<()>, JoinHandle<bool>) {
        let live = &self.live[&id];
        let (sender, hurry) = oneshot::channel();
        let quorum = live.quorum.clone();
        let stop = live.runtime.spawn(async move {
            quorum
                .shutdown(async {
                    // An error is the sender's end.
                    let _ = hurry.await;
                })
                .await
        });
        (sender, stop)
    }

    /// Waits for the end of a task of a node.
    pub fn finish<T>(&self, id: i32, task: JoinHandle<T>) -> T {
        let runtime = &self.live[&id].runtime;
        let ended = runtime.block_on(async { timeout(LIMIT, task).await });
        ended.expect("it ends").expect("it does not panic")
    }

    pub fn image(&self, id: i32) -> Arc<Image> {
        self.live[&id].quorum.image()
    }

    /// Waits until a node's image satisfies the condition; says how long that took.
    pub fn wait(&self, id: i32, what: &str, condition: impl Fn(&Image) -> bool) -> Duration {
        let begun = Instant::now();
        let live = &self.live[&id];
        let seen = live
            .runtime
            .block_on(live.quorum.wait_for(LIMIT, condition));
        assert!(
            seen,
            "node {id} does not see: {what}; it sees {:?}",
            live.quorum.image()
        );
        begun.elapsed()
    }

    /// Runs something on a node's runtime.
    pub fn run<T>(&self, id: i32, what: impl Future<Output = T>) -> T {
        self.live[&id].runtime.block_on(what)
    }

    pub fn propose(&self, id: i32, command: Command) -> Result<Outcome, broker::quorum::Error> {
        let live = &self.live[&id];
        live.runtime.block_on(live.quorum.propose(command, LIMIT))
    }

    /// The active controller once all live nodes agree on one.
    pub fn controller(&self) -> i32 {
        let end = Instant::now() + LIMIT;
        loop {
            let mut named: Vec<_> = self.live.values().map(|l| l.quorum.controller()).collect();
            named.dedup();
            if let [Some(one)] = named[..]
                && self
                    .live
                    .get(&one.0)
                    .is_some_and(|l| l.quorum.is_active_controller())
            {
                return one.0;
            }
            assert!(Instant::now() < end, "no controller: {named:?}");
            std::thread::yield_now();
        }
    }

    /// What a node can learn of the quorum within a second.
    pub fn describe(&self, id: i32) -> Result<Description, Error> {
        let node = &self.live[&id];
        let asked = node.quorum.describe(Duration::from_secs(1));
        node.runtime.block_on(asked)
    }

    /// A topic of one partition.
    pub fn create(&self, via: i32, name: &'static str, replicas: &[i32]) -> Uuid {
        let id = name.bytes().fold(1u128, |id, c| id << 8 | u128::from(c));
        let replicas = replicas.iter().copied().map(BrokerId).collect();
        let assignment = Assignment::Given(vec![replicas]);
        let topic = NewTopic {
            name: Str::from(name),
            id: Uuid::from(id),
            assignment,
            configs: vec![],
        };
        match self.propose(
            via,
            Command::CreateTopics {
                topics: vec![topic],
            },
        ) {
            Ok(Outcome::Created(each)) => each[0].clone().expect("created").id,
            other => panic!("CreateTopics answers {other:?}"),
        }
    }

    /// The port of a voter's controller listener.
    pub fn port(&self, id: i32) -> u16 {
        self.ports[&id]
    }

    /// The metadata directory of a live node.
    pub fn directory(&self, id: i32) -> Uuid {
        self.live[&id].quorum.directory_id()
    }

    /// Waits until something holds that no image shows.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Cluster) -> bool) {
        let end = Instant::now() + LIMIT;
        while !condition(self) {
            assert!(Instant::now() < end, "it does not happen: {what}");
            std::thread::yield_now();
        }
    }

    /// Whether a node sees a named cluster within the time.
    pub fn formed_within(&self, id: i32, limit: Duration) -> bool {
        let live = &self.live[&id];
        live.runtime.block_on(live.quorum.cluster_id(limit)).is_ok()
    }

    /// Stops everything that a node does while `meanwhile` runs, as SIGSTOP does: its connections stay.
    pub fn freeze<T>(&self, id: i32, meanwhile: impl FnOnce() -> T) -> T {
        let gate = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
        for _ in 0..WORKERS {
            let gate = gate.clone();
            self.live[&id].runtime.spawn(async move {
                let open = gate.0.lock().expect("nobody panics with it");
                let held = gate.1.wait_while(open, |open| !*open);
                drop(held.expect("nobody panics with it"));
            });
        }
        let result = meanwhile();
        *gate.0.lock().expect("nobody panics with it") = true;
        gate.1.notify_all();
        result
    }
}
