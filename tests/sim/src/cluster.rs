//! Brokers on simulated hosts of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::config::Config;
use broker::server::Server;
use tokio::sync::Notify;
use turmoil::Sim;

use crate::Host;

/// The first brokers vote; further ones only follow the metadata.
const VOTERS: i32 = 3;
/// The port of every broker's client listener.
pub const PORT: u16 = 9092;

/// The host name of a broker.
pub fn broker_name(id: i32) -> String {
    format!("broker-{id}")
}

/// The simulation with its hosts.
pub struct Cluster<'a> {
    /// The simulation: time passes by its `step`.
    pub sim: Sim<'a>,
    hosts: BTreeMap<i32, Host>,
    /// Tells a broker to stop in order.
    stops: BTreeMap<i32, Arc<Notify>>,
}

impl Cluster<'_> {
    /// Brokers 1 to `brokers` on empty disks; everything random comes from `seed`.
    pub fn new(seed: u64, brokers: i32) -> Cluster<'static> {
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
            .simulation_duration(Duration::from_secs(240))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_micros(200))
            .max_message_latency(Duration::from_millis(5))
            .tcp_capacity(1024)
            .build();
        let (mut hosts, mut stops) = (BTreeMap::new(), BTreeMap::new());
        for id in 1..=brokers {
            let host = Host::new(seed ^ (id as u64) << 32);
            let stop = Arc::<Notify>::default();
            hosts.insert(id, host.clone());
            stops.insert(id, stop.clone());
            sim.host(broker_name(id), move || run(id, host.clone(), stop.clone()));
        }
        Cluster { sim, hosts, stops }
    }

    /// The broker stops as SIGTERM makes it: it hands over first.
    pub fn stop(&mut self, id: i32) {
        self.stops[&id].notify_one();
    }

    /// The process of a broker dies and its machine loses power.
    pub fn crash(&mut self, id: i32) {
        self.sim.crash(broker_name(id));
        self.hosts[&id].lose_power();
    }

    /// The process of a broker dies; the machine goes on, and with it what was written.
    pub fn kill(&mut self, id: i32) {
        self.sim.crash(broker_name(id));
        self.hosts[&id].disk().kill();
    }

    /// The broker starts again on the disk it has.
    pub fn restart(&mut self, id: i32) {
        self.sim.bounce(broker_name(id));
    }
}

/// The life of a broker: it ends by a crash, or in order.
async fn run(id: i32, host: Host, stop: Arc<Notify>) -> turmoil::Result {
    let (config, _) = Config::from_map(properties(id))?;
    let server = Server::start(host.env(), config)
        .await
        .inspect_err(|error| {
            tracing::error!(id, "the broker does not start: {error:#}");
        })?;
    stop.notified().await;
    server.stop(std::future::pending()).await;
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
        ("broker.session.timeout.ms", "3000".to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .collect()
}
