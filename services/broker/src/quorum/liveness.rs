//! A broker's own part in the cluster: it registers once it can serve, and sends heartbeats from then on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{Command, Endpoint, Memory, Registration, Rejection};
use tokio::time::{sleep, timeout};
use wire::{Str, Uuid};

use super::Quorum;
use super::message::{Heartbeat, Refusal, Reply, Request};
use super::node::Node;
use super::peer::Error;

/// How old the oldest unfinished append, read or fsync is.
pub type StallProbe = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Names the memory in which the machine keeps what is written and not yet flushed; none if it is not known, or what is in it
/// is in doubt.
pub type MemoryProbe = Arc<dyn Fn() -> Option<Memory> + Send + Sync>;

/// Between two tries to tell the controller what it must know.
const RETRY: Duration = Duration::from_millis(200);
/// What one of them may take.
const TELLING: Duration = Duration::from_secs(5);

/// What a broker says of itself when it joins.
#[derive(Clone)]
pub struct Joining {
    /// The advertised listeners, with the ports that the system chose where the configuration has 0.
    pub endpoints: Vec<Endpoint>,
    /// The cluster that the log directories belong to (`meta.properties`), if they have been used.
    pub cluster_id: Option<Str>,
    /// The broker epoch in the clean-shutdown mark of every log directory; none if one has no mark.
    pub clean_epoch: Option<BrokerEpoch>,
    /// Asked at each registration.
    pub memory: MemoryProbe,
    /// Asked at each heartbeat.
    pub stall: StallProbe,
}

impl Node {
    fn registration(&self, joining: &Joining, incarnation: Uuid) -> Registration {
        Registration {
            broker: BrokerId(self.config.node_id),
            incarnation,
            directory: Uuid(self.directory),
            cluster_id: joining.cluster_id.clone(),
            clean_epoch: joining.clean_epoch,
            endpoints: joining.endpoints.clone(),
            rack: self.config.rack.as_deref().map(Str::copy_from),
        }
    }

    /// Registers; retries while a predecessor of this process still counts as alive.
    pub(super) async fn join(
        self: &Arc<Self>,
        joining: &Joining,
        incarnation: Uuid,
        deadline: Duration,
    ) -> Result<BrokerEpoch, Error> {
        let registration = self.registration(joining, incarnation);
        let request = match (joining.memory)() {
            Some(Memory { id, same_disks }) => Request::RegisterWithMemory {
                registration,
                memory: id.0,
                same_disks,
            },
            None => Request::Register(registration),
        };
        let until = self.env.now() + deadline;
        loop {
            let left = until.saturating_duration_since(self.env.now());
            match self.ask_controller(&request, left).await {
                Ok(Reply::Registered { epoch, .. }) => return Ok(epoch),
                Ok(_) => return Err(Error::Network("the answer does not fit the request".into())),
                Err(Error::Refused(Refusal::DuplicateBroker)) if self.env.now() < until => {
                    sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends heartbeats until the node ends. Registers again if the cluster does not know this broker any more.
    pub(super) async fn run_heartbeats(
        self: Arc<Self>,
        joining: Joining,
        incarnation: Uuid,
        first: BrokerEpoch,
    ) {
        let config = self.config.quorum.clone();
        let mut epoch = first;
        let mut images = self.published.watch();
        loop {
            let beat = Heartbeat {
                broker: BrokerId(self.config.node_id),
                epoch,
                index: self.image().index(),
                stall_ms: u64::try_from((joining.stall)().as_millis()).unwrap_or(u64::MAX),
                stopping: self.stopping.load(Ordering::Relaxed),
            };
            let caught_up = i64::try_from(beat.index).is_ok_and(|i| i >= epoch.0);
            match self
                .ask_controller(
                    &Request::Heartbeat(beat),
                    config.heartbeat.max(Duration::from_millis(200)),
                )
                .await
            {
                Err(Error::Refused(Refusal::Rejected(
                    Rejection::StaleBrokerEpoch | Rejection::BrokerNotRegistered,
                ))) => {
                    match self
                        .join(&joining, incarnation, config.registration_timeout)
                        .await
                    {
                        Ok(new) => epoch = new,
                        Err(error) => tracing::warn!(%error, "the broker could not register again"),
                    }
                }
                Err(error) => tracing::debug!(%error, "no answer to a heartbeat"),
                Ok(_) => {}
            }
            if caught_up {
                sleep(config.heartbeat).await;
            } else {
                // The first heartbeat that shows the broker's own registration lets it in: send it at once.
                let seen =
                    images.wait_for(|i| i64::try_from(i.index()).is_ok_and(|i| i >= epoch.0));
                let _ = timeout(config.heartbeat, seen).await;
            }
        }
    }
}

impl Quorum {
    /// Has the next registration of this broker count as one that has lost its memory. Returns when the controller has
    /// applied it.
    pub async fn forget_memory(&self) {
        loop {
            if let Some(epoch) = self.broker_epoch() {
                let broker = BrokerId(self.node.config.node_id);
                let command = Command::ForgetMemory { broker, epoch };
                match self.propose(command, TELLING).await {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "the memory is not forgotten yet"),
                }
            }
            sleep(RETRY).await;
        }
    }
}
