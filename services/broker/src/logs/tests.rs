//! The log directories on a disk in memory: stops and crashes, strangers, deleted topics, failing and full disks.

mod clocks;
mod files;
mod losses;
mod promises;
mod scrub;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId, Offset};
use engine::metadata::{
    Assignment, Command, Endpoint, Image, NewTopic, Outcome, Registration, TopicId,
};
use engine::replica::Acks;
use storage::Disk;
use storage::memory::{Fault, MemoryDisk, Operation};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Uuid};

use super::{Logs, OpenError};
use crate::config::Config;
use crate::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use crate::metrics::Metrics;
use crate::partition::{Partition, Partitions};

const NOW_MS: i64 = 1_800_000_000_000;
const CLUSTER: &str = "a-cluster";

/// A disk, a clock that stands still until it is set, and nothing else.
struct DiskOnly(Arc<dyn Disk>, &'static str, Arc<AtomicI64>);

impl Outside for DiskOnly {
    fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err::<Box<dyn Listener>, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async { Err::<Stream, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn wall_ms(&self) -> i64 {
        self.2.load(Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        7
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.1.into())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.0.clone()
    }

    fn run_blocking(&self, _: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// A machine with a disk, and the metadata that its broker follows.
struct Machine {
    disk: MemoryDisk,
    boot: &'static str,
    wall_ms: Arc<AtomicI64>,
    image: Image,
    settings: Vec<(&'static str, &'static str)>,
}

/// What runs between a start and a stop.
struct Running {
    logs: Arc<Logs>,
    partitions: Arc<Partitions>,
}

impl Machine {
    fn new() -> Machine {
        let mut machine = Machine {
            disk: MemoryDisk::new(),
            boot: "a-boot",
            wall_ms: Arc::new(NOW_MS.into()),
            image: Image::default(),
            settings: Vec::new(),
        };
        machine.register(1);
        machine
    }

    /// The broker's process starts, for the `start`th time.
    fn register(&mut self, start: u128) {
        self.register_broker(BrokerId(1), start);
    }

    fn register_broker(&mut self, broker: BrokerId, start: u128) {
        let endpoint = Endpoint {
            listener: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
        };
        let registration = Registration {
            broker,
            incarnation: Uuid::from(start),
            directory: Uuid::from(broker.0 as u128),
            cluster_id: None,
            clean_epoch: None,
            endpoints: vec![endpoint],
            rack: None,
        };
        let Outcome::Registered { epoch, .. } = self.run(Command::RegisterBroker(registration))
        else {
            panic!("a registration is answered with an epoch");
        };
        self.run(Command::UnfenceBroker { broker, epoch });
    }

    fn run(&mut self, command: Command) -> Outcome {
        let (image, outcome) = self.image.apply(&command, self.image.index() + 1);
        self.image = image;
        outcome.expect("tests give valid commands")
    }

    fn create_topic(&mut self, name: &'static str, configs: &[(&str, &str)]) -> Uuid {
        let id = Uuid::from(1000 + u128::from(self.image.index()));
        let configs = configs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let assignment = Assignment::Spread {
            partitions: 1,
            replication_factor: 1,
        };
        let topics = vec![NewTopic {
            name: name.into(),
            id,
            assignment,
            configs,
        }];
        self.run(Command::CreateTopics { topics });
        id
    }

    fn env(&self) -> Env {
        self.env_on(Arc::new(self.disk.clone()))
    }

    /// The same machine with another disk.
    fn env_on(&self, disk: Arc<dyn Disk>) -> Env {
        Env::new(
            Handle::current(),
            Handle::current(),
            Arc::new(DiskOnly(disk, self.boot, self.wall_ms.clone())),
        )
    }

    fn config(&self, node_id: &str) -> Arc<Config> {
        let base = [
            ("node.id", node_id),
            ("log.dirs", "/a,/b"),
            ("log.min.free.bytes", "0"),
            ("controller.quorum.voters", "1@localhost:9093"),
        ];
        let given = base.iter().chain(&self.settings);
        let map = given.map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Arc::new(Config::from_map(map).expect("a valid configuration").0)
    }

    async fn open(&self) -> Result<Arc<Logs>, OpenError> {
        Logs::open(self.env(), self.config("1")).await
    }

    async fn start(&self) -> Running {
        let logs = self.open().await.expect("the directories open");
        logs.claim(CLUSTER).await.expect("they are ours");
        let metrics = Arc::new(Metrics::new(telemetry::Registry::new()));
        let partitions = Partitions::new(self.env(), self.config("1"), metrics, logs.clone());
        let running = Running {
            logs,
            partitions: Arc::new(partitions),
        };
        running.partitions.apply(Arc::new(self.image.clone())).await;
        running
    }
}

impl Running {
    fn partition(&self, topic: &str) -> Arc<Partition> {
        self.partitions
            .find(topic, 0)
            .expect("the partition is open")
    }

    fn keep(&self) -> super::upkeep::Upkeep {
        self.logs.keep(&self.partitions, None)
    }

    async fn stop(self) {
        self.partitions.close();
        self.logs
            .close(&self.partitions, Some(BrokerEpoch(5)))
            .await;
    }
}

fn append(partition: &Arc<Partition>, key: &str, size: usize) -> Result<Offset, ErrorCode> {
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.append(Some(key.as_bytes()), Some(&vec![1; size]));
    let appended = partition.append(builder.build(), Acks::Leader);
    appended
        .map(|appended| appended.base_offset.expect("it was not there before"))
        .map_err(|failure| failure.code())
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a checkpoint of the first directory has this offset of some partition.
async fn saved(machine: &Machine, file: &str, offset: i64) {
    let path = Path::new("/a").join(file);
    let has_it = || {
        let offsets = storage::checkpoint::read_offsets(&machine.disk, &path);
        offsets.is_ok_and(|offsets| offsets.values().any(|saved| *saved == offset))
    };
    eventually("the checkpoint", has_it).await;
}

fn names(disk: &MemoryDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir))
        .expect("it lists")
        .into_iter()
        .map(|e| e.name)
        .collect()
}

#[tokio::test]
async fn checkpoints_outlive_a_crash() {
    let mut machine = Machine::new();
    machine
        .settings
        .push(("replica.high.watermark.checkpoint.interval.ms", "5"));
    machine.create_topic("t", &[("flush.ms", "1")]);
    let running = machine.start().await;
    let upkeep = running.keep();
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    let durable = || partition.with_log(|log, _| log.recovery_point()) == 1;
    eventually("the background flush", durable).await;
    saved(&machine, "replication-offset-checkpoint", 1).await;
    drop(upkeep);
    drop((running, partition));
    machine.disk.crash(3);
    let partition = machine.start().await.partition("t");
    assert_eq!(
        (partition.log_end(), partition.high_watermark()),
        (Offset(1), Offset(1))
    );
}

#[tokio::test]
async fn what_a_recovery_found_is_durable_before_it_counts() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[("flush.messages", "1")]);
    let running = machine.start().await;
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    assert_eq!(
        partition.high_watermark(),
        Offset(0),
        "nobody has flushed it"
    );
    drop((running, partition));
    machine.disk.kill();
    machine.register(2);
    let partition = machine.start().await.partition("t");
    assert_eq!(
        (partition.log_end(), partition.high_watermark()),
        (Offset(1), Offset(1))
    );
    machine.disk.crash(4);
    assert_eq!(machine.start().await.partition("t").log_end(), Offset(1));
}

#[tokio::test]
async fn directories_of_others_are_refused() {
    let machine = Machine::new();
    let running = machine.start().await;
    assert!(matches!(machine.open().await, Err(OpenError::Locked(_))));
    assert!(matches!(
        running.logs.claim("another").await,
        Err(OpenError::OtherCluster { .. })
    ));
    drop(running);
    machine.disk.kill();
    let other = Logs::open(machine.env(), machine.config("1"))
        .await
        .unwrap();
    assert!(matches!(
        other.claim("another").await,
        Err(OpenError::OtherCluster { .. })
    ));
    drop(other);
    let mut machine = machine;
    machine.settings = vec![("node.id", "1"), ("cluster.id", "another")];
    assert!(matches!(
        machine.open().await,
        Err(OpenError::OtherCluster { .. })
    ));
    let voters = ("controller.quorum.voters", "2@localhost:9093");
    machine.settings = vec![("node.id", "2"), voters];
    assert!(matches!(
        machine.open().await,
        Err(OpenError::OtherNode {
            found: 1,
            node_id: 2,
            ..
        })
    ));
}

#[tokio::test]
async fn a_deleted_topics_directory_goes_after_its_delay() {
    let mut machine = Machine::new();
    // Its own: the broker's would be a minute.
    let id = machine.create_topic("t", &[("file.delete.delay.ms", "1")]);
    let running = machine.start().await;
    let upkeep = running.keep();
    append(&running.partition("t"), "k", 10).unwrap();
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(id)],
    });
    running
        .partitions
        .apply(Arc::new(machine.image.clone()))
        .await;
    assert!(!names(&machine.disk, "/a").contains(&"t-0".to_string()));
    let gone = || {
        !names(&machine.disk, "/a")
            .iter()
            .any(|name| name.starts_with("t-0."))
    };
    eventually("the directory is removed", gone).await;
    drop(upkeep);

    machine.create_topic("t", &[]);
    running
        .partitions
        .apply(Arc::new(machine.image.clone()))
        .await;
    assert_eq!(
        running.partition("t").log_end(),
        Offset(0),
        "a new topic is empty"
    );
}

#[tokio::test]
async fn logs_of_unknown_topics_are_set_aside_and_those_of_an_older_topic_deleted() {
    let mut machine = Machine::new();
    let old = machine.create_topic("again", &[]);
    machine.create_topic("gone", &[]);
    let running = machine.start().await;
    append(&running.partition("again"), "k", 10).unwrap();
    append(&running.partition("gone"), "k", 10).unwrap();
    let gone = running.partition("gone").id().topic;
    running.stop().await;
    machine.disk.kill();
    machine.run(Command::DeleteTopics {
        topics: vec![TopicId(old), TopicId(gone)],
    });
    machine.create_topic("again", &[]);

    let running = machine.start().await;
    let _upkeep = running.keep();
    assert_eq!(running.partition("again").log_end(), Offset(0));
    let all = || [names(&machine.disk, "/a"), names(&machine.disk, "/b")].concat();
    let aside = || {
        all()
            .iter()
            .any(|name| name.starts_with("gone-0.") && name.ends_with("-stray"))
    };
    eventually("the stray is renamed", aside).await;
    assert!(
        all()
            .iter()
            .any(|name| name.starts_with("again-0.") && name.ends_with("-delete"))
    );
}

#[tokio::test]
async fn a_failed_fsync_takes_the_directory_out_of_service() {
    let mut machine = Machine::new();
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let _upkeep = running.keep();
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    assert_eq!(running.logs.stall(), Duration::ZERO);
    machine.disk.inject(Fault::once(Operation::Sync, "t-0"));
    assert!(partition.flush(&machine.env()).await.is_err());
    assert_eq!(
        append(&partition, "k", 10).unwrap_err(),
        ErrorCode::KafkaStorageError
    );
    assert!(
        running.logs.stall() > Duration::from_secs(5),
        "others must lead what it holds"
    );
    let closed = || append(&partition, "k", 10).unwrap_err() == ErrorCode::NotLeaderOrFollower;
    eventually("the partition is closed", closed).await;
    machine.disk.heal();
    running.stop().await;
    assert!(!names(&machine.disk, "/a").contains(&".kafka_cleanshutdown".to_string()));
    assert!(names(&machine.disk, "/b").contains(&".kafka_cleanshutdown".to_string()));
}

#[tokio::test]
async fn below_the_floor_of_free_space_nothing_is_appended() {
    let mut machine = Machine::new();
    machine.settings.push(("log.min.free.bytes", "100000"));
    machine.create_topic("t", &[]);
    machine.disk.set_capacity_bytes(Some(1_000_000));
    let running = machine.start().await;
    let _upkeep = running.keep();
    let partition = running.partition("t");
    append(&partition, "k", 10).unwrap();
    machine
        .disk
        .set_capacity_bytes(Some(machine.disk.used_bytes() + 50_000));
    eventually("produce is refused", || {
        append(&partition, "k", 10).is_err()
    })
    .await;
    assert!(running.logs.stall() > Duration::from_secs(5));
    machine.disk.set_capacity_bytes(None);
    eventually("there is room again", || {
        append(&partition, "k", 10).is_ok()
    })
    .await;
    assert_eq!(running.logs.stall(), Duration::ZERO);
}

#[tokio::test]
async fn old_segments_are_deleted_and_compacted_topics_compacted() {
    let mut machine = Machine::new();
    machine
        .settings
        .push(("log.retention.check.interval.ms", "5"));
    machine.settings.push(("log.cleaner.backoff.ms", "5"));
    let segment = ("segment.bytes", "1048576");
    machine.create_topic("old", &[segment, ("retention.bytes", "1500000")]);
    machine.create_topic("keyed", &[segment, ("cleanup.policy", "compact")]);
    let running = machine.start().await;
    for i in 0..12 {
        append(&running.partition("old"), "k", 300_000).unwrap();
        append(
            &running.partition("keyed"),
            if i == 0 { "first" } else { "k" },
            300_000,
        )
        .unwrap();
    }
    let _upkeep = running.keep();
    let old = running.partition("old");
    eventually("retention by size", || old.log_start() > Offset(0)).await;
    let keyed = running.partition("keyed");
    let size = || keyed.with_log(|log, _| log.size_bytes());
    eventually("compaction", || size() < 2_500_000).await;
    assert_eq!(
        (keyed.log_start(), keyed.log_end()),
        (Offset(0), Offset(12))
    );
}
