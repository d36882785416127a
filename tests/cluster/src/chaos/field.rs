//! Everything that a fault may reach for: the cluster, its disks, its machines.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::cgroup::Cgroup;
use super::history::Place;
use super::pace::Pace;
use super::packet_filter::PacketFilter;
use super::schedule::SESSION;
use crate::machines::program;
use crate::{Cluster, Mount, Settings};

/// A topic of the load.
#[derive(Debug)]
pub struct Loaded {
    pub name: &'static str,
    pub partitions: i32,
    /// Whether each append is flushed to the disk before it counts (`flush.messages=1`).
    pub flushed: bool,
}

/// The load's topics: three replicas each, two of which must have a record.
pub const TOPICS: [Loaded; 2] = [
    Loaded {
        name: "chaos",
        partitions: 6,
        flushed: false,
    },
    Loaded {
        name: "chaos-flushed",
        partitions: 3,
        flushed: true,
    },
];

/// Every partition of the load's topics.
pub fn places() -> Vec<Place> {
    let of_topic = |topic: &'static Loaded| {
        (0..topic.partitions).map(|partition| Place {
            topic: topic.name,
            partition,
        })
    };
    TOPICS.iter().flat_map(of_topic).collect()
}

/// How many brokers there are.
pub const BROKERS: i32 = 3;
/// The free space below which a broker refuses to write.
pub const FLOOR_MIB: u64 = 8;
/// The second log directory of each broker: a file system in memory, which takes only as much as is in it.
pub const SMALL_DISK_MIB: u64 = 4096;
/// How long a cluster may take to be whole again. It says nothing of how long it should take.
const WHOLE: Duration = Duration::from_secs(120);

/// The cluster on its machines.
#[derive(Debug)]
pub struct Field {
    pub cluster: Cluster,
    pub pace: Pace,
    /// Of brokers that ended by themselves: which, and how.
    pub ended: Vec<(i32, ExitStatus)>,
    cgroups: Vec<Cgroup>,
}

impl Field {
    /// What is missing on this system, if anything.
    pub fn lacking() -> Option<&'static str> {
        crate::Machines::lacking()
            .or_else(Mount::lacking)
            .or_else(PacketFilter::lacking)
            .or_else(Cgroup::lacking)
    }

    /// Three brokers on machines of their own, each with two disks, not started.
    pub fn prepare(pace: Pace) -> Result<Field> {
        let settings = Settings::default()
            .machines()
            .property(
                "broker.session.timeout.ms",
                &SESSION.as_millis().to_string(),
            )
            .property("replica.lag.time.max.ms", "4000")
            .property("leader.imbalance.check.interval.seconds", "1")
            .property("log.min.free.bytes", &(FLOOR_MIB << 20).to_string())
            .property("metadata.log.reserve.bytes", "4194304")
            // Rolled often, so that what is closed, indexed and recovered is many segments.
            .property("log.segment.bytes", "4194304");
        let mut cluster = Cluster::prepare(&settings)?;
        let mut cgroups = Vec::new();
        for id in 1..=BROKERS {
            let place = cluster.directory().join(format!("broker-{id}-small"));
            cluster.node(id).add_directory(&place)?;
            cluster.hold(Mount::memory(&place, SMALL_DISK_MIB)?);
            let cgroup = Cgroup::make(&cluster.machines()?.namespace(id))?;
            let launcher = cluster.machines()?.launcher(id);
            cluster.node(id).launcher = [cgroup.launcher(), launcher, own_session()?].concat();
            cgroups.push(cgroup);
        }
        Ok(Field {
            cluster,
            pace,
            ended: Vec::new(),
            cgroups,
        })
    }

    /// Starts everything and makes the load's topics.
    pub fn start(&mut self) -> Result<()> {
        self.cluster.start_all()?;
        for topic in &TOPICS {
            let mut configs = vec![("min.insync.replicas", "2")];
            if topic.flushed {
                configs.push(("flush.messages", "1"));
            }
            let (name, partitions) = (topic.name, topic.partitions);
            self.cluster.create_topic(name, partitions, 3, &configs)?;
        }
        Ok(())
    }

    /// Who leads each of the load's partitions.
    pub fn leaders(&mut self) -> Result<BTreeMap<Place, i32>> {
        let mut leaders = BTreeMap::new();
        for topic in &TOPICS {
            for partition in self.cluster.topic(topic.name)?.partitions {
                if let Some(leader) = partition.leader {
                    let place = Place {
                        topic: topic.name,
                        partition: partition.index,
                    };
                    leaders.insert(place, leader);
                }
            }
        }
        Ok(leaders)
    }

    /// The brokers besides `victim`, with the addresses of their machines.
    pub fn others(&self, victim: i32) -> Result<Vec<(i32, IpAddr)>> {
        let machines = self.cluster.machines()?;
        let others = (1..=BROKERS).filter(|id| *id != victim);
        Ok(others.map(|id| (id, machines.address_of(id))).collect())
    }

    /// The packet filter of a broker's machine.
    pub fn filter(&self, id: i32) -> Result<PacketFilter> {
        PacketFilter::on(self.cluster.machines()?.namespace(id))
    }

    /// The memory group of a broker.
    pub fn cgroup(&self, id: i32) -> &Cgroup {
        &self.cgroups[id as usize - 1]
    }

    /// The small disk of a broker.
    pub fn small_disk(&self, id: i32) -> &Mount {
        &self.cluster.mounts()[id as usize - 1]
    }

    /// The log directories of a broker.
    pub fn directories(&mut self, id: i32) -> Vec<PathBuf> {
        self.cluster.node(id).dirs.clone()
    }

    /// Starts a broker that does not run; one that ended by itself is remembered.
    pub fn revive(&mut self, id: i32) -> Result<()> {
        if let Some(status) = self.cluster.node(id).exited()? {
            self.ended.push((id, status));
            self.cluster.node(id).process = None;
        }
        if self.cluster.node(id).process.is_none() {
            self.cluster.node(id).start()?;
        }
        Ok(())
    }

    /// The same with another program and a variable for it, this once.
    pub fn revive_with(&mut self, id: i32, program: &Path, variable: (&str, &Path)) -> Result<()> {
        let usual = self.cluster.node(id).binary.clone();
        let node = self.cluster.node(id);
        node.binary = program.to_path_buf();
        node.environment = vec![(variable.0.into(), variable.1.into())];
        let started = self.revive(id);
        let node = self.cluster.node(id);
        node.binary = usual;
        node.environment.clear();
        started
    }

    /// Waits until every broker runs and is ready, and every replica of every topic is in sync.
    pub fn wait_whole(&mut self) -> Result<()> {
        let mut last = String::from("nothing was tried");
        let pace = self.pace.clone();
        let whole = pace.until(WHOLE, || match self.is_whole() {
            Ok(()) => true,
            Err(error) => {
                last = format!("{error:#}");
                false
            }
        });
        if !whole && !self.pace.is_stopped() {
            bail!("not whole after {WHOLE:?}: {last}");
        }
        Ok(())
    }

    fn is_whole(&mut self) -> Result<()> {
        for id in 1..=BROKERS {
            self.revive(id)?;
            let address = self.cluster.node(id).http;
            crate::http::get(address, "/readyz").with_context(|| format!("broker {id}"))?;
        }
        let internal = "__consumer_offsets";
        for name in TOPICS.iter().map(|topic| topic.name).chain([internal]) {
            let topic = match self.cluster.topic(name) {
                Err(_) if name == internal => continue,
                topic => topic?,
            };
            let lacking = topic
                .partitions
                .iter()
                .find(|p| p.leader.is_none() || p.isr.len() < p.replicas.len());
            if let Some(lacking) = lacking {
                bail!("{name}: {lacking:?}");
            }
        }
        Ok(())
    }

    /// Ends all brokers and keeps everything to be looked at, what lies in memory too.
    pub fn keep(&mut self) -> Result<PathBuf> {
        self.cluster.keep();
        for id in 1..=BROKERS {
            if self.cluster.node(id).process.is_some() {
                self.cluster.node(id).kill()?;
            }
            let small = self.directories(id).pop().context("two directories")?;
            let kept = small.with_extension("kept");
            let done = Command::new("cp").arg("-a").arg(small).arg(kept).status()?;
            ensure!(done.success(), "copying a disk in memory: {done}");
        }
        Ok(self.cluster.directory().to_path_buf())
    }

    /// Lines of the brokers' logs that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in &self.cluster.nodes {
            let text = fs::read(&node.log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(lines.map(|line| format!("broker {}: {line}", node.id)));
        }
        found
    }
}

/// What comes before a broker so that a signal for the run is none for it, that it ends with the run however that ends,
/// and that it may only enter directories whose mode allows it, although it runs as root.
fn own_session() -> Result<Vec<String>> {
    let found = |name: &str| {
        program(name)
            .map(|path| path.display().to_string())
            .with_context(|| format!("no {name}"))
    };
    Ok(vec![
        found("setsid")?,
        found("setpriv")?,
        "--pdeathsig".into(),
        "KILL".into(),
        "--bounding-set".into(),
        "-dac_override,-dac_read_search".into(),
    ])
}
