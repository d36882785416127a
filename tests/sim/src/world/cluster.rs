//! Brokers on simulated hosts of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::config::Config;
use broker::server::Server;
use engine::metadata::Image;
use tokio::sync::Notify;
use turmoil::Sim;

use super::Host;

/// The first brokers vote; further ones only follow the metadata.
const VOTERS: i32 = 3;
/// The port of every broker's client listener.
pub const PORT: u16 = 9092;
/// How long a message travels where nothing is wrong, at most.
const LATENCY: Duration = Duration::from_millis(5);
/// A life that is not over by then never will be.
const LONGEST: Duration = Duration::from_secs(200);

/// The host name of a broker.
pub fn broker_name(id: i32) -> String {
    format!("broker-{id}")
}

/// What a cluster is begun with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything random comes from it.
    pub seed: u64,
    /// Brokers 1 to this; the first three vote.
    pub brokers: i32,
    /// Further lines of every broker's `server.properties`.
    pub properties: Vec<(String, String)>,
    /// Messages arrive at multiples of it; within it each host runs by itself. The longer, the cheaper.
    pub tick: Duration,
    /// How long every disk takes for a cold read or an fsync.
    pub disk: Duration,
}

/// The simulation with its hosts.
pub struct Cluster<'a> {
    /// The simulation: time passes by its `step`.
    pub sim: Sim<'a>,
    hosts: BTreeMap<i32, Host>,
    /// Tells a broker to stop in order.
    stops: BTreeMap<i32, Arc<Notify>>,
    /// Hosts of clients, by name.
    clients: Vec<String>,
    /// Brokers whose process was ended and not started again.
    down: BTreeSet<i32>,
}

impl Cluster<'_> {
    /// Brokers on empty disks.
    pub fn new(settings: &Settings) -> Cluster<'static> {
        let mut sim = turmoil::Builder::new()
            .rng_seed(settings.seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
            .simulation_duration(LONGEST)
            .tick_duration(settings.tick)
            .min_message_latency(Duration::from_micros(200))
            .max_message_latency(LATENCY)
            .tcp_capacity(1024)
            .build();
        let (mut hosts, mut stops) = (BTreeMap::new(), BTreeMap::new());
        for id in 1..=settings.brokers {
            let host = Host::new(settings.seed ^ (id as u64) << 32).with_disk_of(settings.disk);
            let stop = Arc::<Notify>::default();
            hosts.insert(id, host.clone());
            stops.insert(id, stop.clone());
            let properties = settings.properties.clone();
            sim.host(broker_name(id), move || {
                run(id, host.clone(), stop.clone(), properties.clone())
            });
        }
        Cluster {
            sim,
            hosts,
            stops,
            clients: Vec::new(),
            down: BTreeSet::new(),
        }
    }

    /// Starts a client on a host of its own. The simulation is over when all of them have ended.
    pub fn client(&mut self, name: &str, work: impl Future<Output = turmoil::Result> + 'static) {
        self.sim.client(name, work);
        self.clients.push(name.to_string());
    }

    /// The brokers' ids.
    pub fn brokers(&self) -> Vec<i32> {
        self.hosts.keys().copied().collect()
    }

    /// The hosts of clients.
    pub fn clients(&self) -> &[String] {
        &self.clients
    }

    /// A broker's machine.
    pub fn host(&self, id: i32) -> &Host {
        &self.hosts[&id]
    }

    /// Brokers whose process does not run because somebody ended it.
    pub fn down(&self) -> &BTreeSet<i32> {
        &self.down
    }

    /// Whether the broker's process runs.
    pub fn is_up(&mut self, id: i32) -> bool {
        self.sim.is_host_running(broker_name(id))
    }

    /// The newest metadata that a broker has; none unless all that run can be asked.
    pub fn newest_metadata(&mut self) -> Option<Arc<Image>> {
        let mut newest: Option<Arc<Image>> = None;
        for id in self.brokers() {
            if !self.is_up(id) {
                continue;
            }
            let image = self.host(id).quorum()?.image();
            if newest
                .as_ref()
                .is_none_or(|known| known.index() < image.index())
            {
                newest = Some(image);
            }
        }
        newest
    }

    /// The broker stops as SIGTERM makes it: it hands over first.
    pub fn stop(&mut self, id: i32) {
        self.down.insert(id);
        self.stops[&id].notify_one();
    }

    /// The process of a broker dies and its machine loses power.
    pub fn crash(&mut self, id: i32) {
        self.end(id);
        self.hosts[&id].lose_power();
    }

    /// The process of a broker dies; the machine goes on, and with it what was written.
    pub fn kill(&mut self, id: i32) {
        self.end(id);
        self.hosts[&id].disk().kill();
    }

    /// What comes after this process reads anew.
    fn end(&mut self, id: i32) {
        self.hosts[&id].disk().heal();
        self.sim.crash(broker_name(id));
        self.down.insert(id);
    }

    /// The broker starts again on the disk it has. What may be left of its former process is killed.
    pub fn restart(&mut self, id: i32) {
        self.kill(id);
        // A wish to stop that nobody has heard is forgotten.
        let fresh = self.stops[&id].clone();
        let _ = futures::FutureExt::now_or_never(fresh.notified());
        self.sim.bounce(broker_name(id));
        self.down.remove(&id);
    }

    /// Messages travel for so long at most, everywhere.
    pub fn set_latency(&mut self, latency: Duration) {
        self.sim.set_max_message_latency(latency);
    }

    /// Messages travel as fast as at the beginning.
    pub fn reset_latency(&mut self) {
        self.set_latency(LATENCY);
    }
}

/// The life of a broker: it ends by a crash, in order, or because it cannot go on.
async fn run(
    id: i32,
    host: Host,
    stop: Arc<Notify>,
    more: Vec<(String, String)>,
) -> turmoil::Result {
    let mut properties = properties(id);
    properties.extend(more);
    let (config, _) = Config::from_map(properties)?;
    let server = match Server::start(host.env(), config).await {
        Ok(server) => server,
        Err(error) => {
            tracing::error!(id, "the broker does not start: {error:#}");
            return Ok(());
        }
    };
    host.serves(&server.broker().quorum);
    tokio::select! {
        biased;
        () = stop.notified() => server.stop(std::future::pending()).await,
        // As in production, its process ends at once: it has nothing to hand over that it could know of.
        why = server.failed() => tracing::error!(id, "the broker cannot go on: {why}"),
    }
    Ok(())
}

fn properties(id: i32) -> BTreeMap<String, String> {
    let voters: Vec<String> = (1..=VOTERS)
        .map(|id| format!("{id}@{}:9093", broker_name(id)))
        .collect();
    let name = broker_name(id);
    let (roles, controller) = match id {
        1..=VOTERS => ("broker,controller", ",CONTROLLER://0.0.0.0:9093"),
        _ => ("broker", ""),
    };
    [
        ("node.id", id.to_string()),
        ("process.roles", roles.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        (
            "listeners",
            format!("PLAINTEXT://0.0.0.0:{PORT}{controller}"),
        ),
        ("advertised.listeners", format!("PLAINTEXT://{name}:{PORT}")),
        ("log.dirs", "/data".to_string()),
        ("http.listen", String::new()),
        ("probe.interval.ms", "0".to_string()),
        ("log.min.free.bytes", "0".to_string()),
        ("offsets.topic.num.partitions", "3".to_string()),
        ("log.retention.check.interval.ms", "1000".to_string()),
        ("broker.session.timeout.ms", "3000".to_string()),
        ("group.min.session.timeout.ms", "1000".to_string()),
        ("group.initial.rebalance.delay.ms", "300".to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .collect()
}
