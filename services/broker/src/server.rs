//! Assembly: one broker process from its parts, in the order of start and of stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::Endpoint;
use telemetry::{Readiness, Registry};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use wire::Str;

use crate::advertised;
use crate::api::fetch;
use crate::api::init_producer_id::ProducerIds;
use crate::config::Config;
use crate::coordinator::Groups;
use crate::env::{Env, Listener, Plane, Stream};
use crate::logs::{Logs, Upkeep};
use crate::metrics::Metrics;
use crate::metrics::observer::Observer;
use crate::net::{Answers, Bound, ByteBudget, Net};
use crate::partition::Partitions;
use crate::probe;
use crate::quorum::{Joining, Quorum};
use crate::readiness;
use crate::replication::Replication;
use crate::spans::Spans;

/// How long open requests may take to finish when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// What every handler gets.
pub struct Broker {
    /// The outside world.
    pub env: Env,
    /// The configuration.
    pub config: Arc<Config>,
    /// The metadata quorum.
    pub quorum: Arc<Quorum>,
    /// This broker's block of producer ids.
    pub producer_ids: ProducerIds,
    /// The log directories.
    pub logs: Arc<Logs>,
    /// The partitions that this broker has replicas of.
    pub partitions: Arc<Partitions>,
    /// The fetch sessions of its clients.
    pub fetch_sessions: fetch::Sessions,
    /// The bytes of requests in memory.
    pub requests: Arc<ByteBudget>,
    /// The bytes of answers in memory.
    pub answers: Answers,
    /// The coordinators of consumer groups.
    pub groups: Arc<Groups>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Follows sampled appends.
    pub spans: Spans,
}

/// A running broker.
pub struct Server {
    broker: Arc<Broker>,
    upkeep: Upkeep,
    /// What shows the broker's state at `/metrics`.
    observer: Observer,
    probe: Option<JoinHandle<()>>,
    /// What follows the metadata and the leaders, while the broker runs.
    replication: Replication,
    /// Follows which group coordinators are here.
    coordinators: JoinHandle<()>,
    /// Tells the cluster when a disk has failed.
    confession: JoinHandle<()>,
    net: Net,
    http: Option<Http>,
    readiness: Readiness,
    /// Ends when the broker is ready.
    return_watch: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts every part; returns when clients are accepted.
    pub async fn start(env: Env, config: Config) -> anyhow::Result<Server> {
        let config = Arc::new(config);
        let registry = Registry::with_limit(config.metrics.series_max);
        let readiness =
            Readiness::waiting_for(["logs", "metadata", "listeners", readiness::REPLICAS]);
        let metrics = Arc::new(Metrics::new(registry.clone()));
        let sink = env.spans();
        sink.register(&registry);
        let spans = Spans::new(sink, config.spans_per_second);
        let http = match &config.http_listen {
            Some(address) => Some(Http::start(&env, address, registry, &readiness).await?),
            None => None,
        };
        let bound = bind(&env, &config).await?;
        advertised::check(&env, &config);
        let logs = Logs::open(env.clone(), config.clone()).await?;
        readiness.ready("logs");
        let quorum = Quorum::start(env.clone(), config.clone()).await?;
        let cluster_id = quorum
            .cluster_id(config.quorum.registration_timeout)
            .await?;
        logs.claim(&cluster_id).await?;
        tracing::info!(%cluster_id, "the metadata quorum is there");
        let partitions = Arc::new(Partitions::new(
            env.clone(),
            config.clone(),
            metrics.clone(),
            logs.clone(),
        ));
        let groups = Groups::new(
            env.clone(),
            config.clone(),
            quorum.clone(),
            partitions.clone(),
        );
        let slots = config.fetch.session_slots;
        let fetch_sessions =
            fetch::Sessions::new(slots, fetch::PARTITIONS_MAX, first_session(&env));
        let answers = Answers::new(config.net.answer_bytes);
        let requests = Arc::new(ByteBudget::new(config.net.in_flight_bytes));
        let broker = Arc::new(Broker {
            env,
            config,
            quorum,
            producer_ids: ProducerIds::default(),
            logs: logs.clone(),
            partitions,
            groups,
            fetch_sessions,
            requests,
            answers,
            metrics,
            spans,
        });
        let observer = Observer::start(&broker, &logs);
        let upkeep = logs.keep(&broker.partitions, Some(broker.quorum.clone()));
        let replication = Replication::start(
            &broker.env,
            &broker.config,
            &broker.partitions,
            &broker.quorum,
            &broker.metrics,
        );
        let coordinators = broker.groups.start();
        let confession = broker.logs.clone().confess(broker.quorum.clone());
        let confession = broker.env.spawn(Plane::Control, "confession", confession);
        broker.join(&bound, &logs).await?;
        readiness.ready("metadata");
        let net = Net::start(&broker, bound);
        readiness.ready("listeners");
        let probe = probe::start(&broker);
        let return_watch = broker.watch_return(&readiness);
        Ok(Server {
            broker,
            upkeep,
            observer,
            probe,
            replication,
            coordinators,
            confession,
            net,
            http,
            readiness,
            return_watch,
        })
    }

    /// What `/metrics` shows.
    pub fn registry(&self) -> &Registry {
        self.broker.metrics.registry()
    }

    /// What handlers get.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Waits until a part has failed that the broker cannot be without, and the next process cannot overlook what may be
    /// lost by that.
    pub async fn failed(&self) -> String {
        let Broker { quorum, logs, .. } = &*self.broker;
        let why = tokio::select! {
            biased;
            why = quorum.failed() => {
                logs.prove(&self.broker.partitions).await;
                format!("metadata quorum: {why}")
            }
            why = logs.failed() => format!("log directories: {why}"),
        };
        logs.remembered().await;
        why
    }

    /// Hands everything over and stops every part. It serves until the others can do without it, `hurry` comes, or
    /// `controlled.shutdown.timeout.ms` is over.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.readiness.not_ready("listeners", "stopping");
        if let Some(probe) = &self.probe {
            probe.abort();
        }
        if let Some(watch) = self.return_watch {
            watch.abort();
        }
        // While there still is somebody to tell.
        let _ = timeout(DRAIN, self.broker.logs.remembered()).await;
        let broker_epoch = self.broker.quorum.broker_epoch();
        let handed_over = self.broker.quorum.shutdown(hurry).await;
        self.coordinators.abort();
        self.broker.groups.stop();
        // Where nobody has taken over, nobody will confirm what producers wait for.
        let grace = if handed_over { DRAIN } else { Duration::ZERO };
        self.net.stop(grace).await;
        drop(self.replication);
        self.broker.partitions.close();
        self.confession.abort();
        drop(self.upkeep);
        drop(self.observer);
        self.broker
            .logs
            .close(&self.broker.partitions, broker_epoch)
            .await;
        if let Some(http) = self.http {
            http.stop().await;
        }
    }
}

/// Session ids begin anywhere, so that one of an earlier life is hardly taken for one of this life.
fn first_session(env: &Env) -> i32 {
    (env.random_u64() & 0x3fff_ffff) as i32
}

/// Binds every broker listener, so that the ports are known before the broker registers.
async fn bind(env: &Env, config: &Config) -> io::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for endpoint in &config.listeners.broker {
        let listener = Bound::bind(env, endpoint).await?;
        tracing::info!(
            listener = listener.name(),
            port = listener.port(),
            "listening"
        );
        bound.push(listener);
    }
    Ok(bound)
}

impl Broker {
    /// Registers with the quorum and waits until this broker may serve.
    async fn join(&self, bound: &[Bound], logs: &Arc<Logs>) -> anyhow::Result<()> {
        if !self.config.roles.broker {
            return Ok(());
        }
        let stalled = logs.clone();
        let joining = Joining {
            endpoints: self.advertised(bound),
            cluster_id: logs.cluster_id(),
            clean_epoch: logs.clean_epoch(),
            memory: logs.memory_probe(),
            stall: Arc::new(move || stalled.stall()),
        };
        let epoch = self.quorum.join(joining).await?;
        self.quorum
            .unfenced(self.config.quorum.registration_timeout)
            .await?;
        logs.registered().await;
        tracing::info!(broker_epoch = epoch.0, "registered");
        Ok(())
    }

    /// Has `/readyz` wait until every replica is back in sync.
    fn watch_return(&self, readiness: &Readiness) -> Option<JoinHandle<()>> {
        if !self.config.roles.broker {
            readiness.ready(readiness::REPLICAS);
            return None;
        }
        let watch = readiness::run(
            self.env.clone(),
            BrokerId(self.config.node_id),
            self.quorum.clone(),
            self.partitions.clone(),
            readiness.clone(),
        );
        // A hanging disk may hold a partition's lock, which the control plane must never wait for.
        Some(self.env.spawn(Plane::Data, "readiness", watch))
    }

    /// The advertised listeners; port 0 stands for the port that the system chose.
    fn advertised(&self, bound: &[Bound]) -> Vec<Endpoint> {
        let port = |name: &str, port: u16| match port {
            0 => bound
                .iter()
                .find(|listener| listener.name() == name)
                .map_or(0, Bound::port),
            port => port,
        };
        let listeners = &self.config.listeners.advertised;
        listeners
            .iter()
            .map(|one| Endpoint {
                listener: Str::copy_from(&one.name),
                host: Str::copy_from(&one.host),
                port: port(&one.name, one.port),
            })
            .collect()
    }
}

/// The server of `/metrics`, `/healthz` and `/readyz`, on the control plane.
struct Http {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Http {
    async fn start(
        env: &Env,
        address: &str,
        registry: Registry,
        readiness: &Readiness,
    ) -> io::Result<Http> {
        let listener = env.listen(address).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("http.listen={address} cannot be bound: {error}"),
            )
        })?;
        let router = telemetry::router(registry, readiness.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = telemetry::serve(HttpListener(listener), router, async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.await;
        });
        let task = env.spawn(Plane::Control, "http", async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the HTTP server ended");
            }
        });
        Ok(Http { stop, task })
    }

    async fn stop(self) {
        // Fails only where the server has ended by itself.
        let _ = self.stop.send(());
        let _ = timeout(Duration::from_secs(1), self.task).await;
    }
}

struct HttpListener(Box<dyn Listener>);

impl axum::serve::Listener for HttpListener {
    type Io = Stream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
