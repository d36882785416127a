//! A planned stop: this broker hands over what others can take, and goes when they can do without it.
//!
//! The controller decides ([`Command::LeaveBroker`]); this side asks, waits where it has to, and asks again when the
//! metadata say that nothing holds it any more. Meanwhile the broker serves and replicates as before. It waits for
//! `controlled.shutdown.timeout.ms` at most, and not at all for a quorum that stops together with it: a proposal that
//! nobody can agree to any more would only use up the time. The office of the active controller is left last.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{Command, Image, Outcome, PartitionId};
use futures::future::{Either, ready, select};
use tokio::time::{Instant, sleep_until};

use super::{Error, Quorum};

/// How long one proposal may take. One without an answer is put again while somebody leads and there is time.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long the last one may take, when the time is over.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Between two questions to a controller that knows more than this node sees.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How many partitions a log line names.
const NAMED: usize = 10;

/// Who goes, and on what terms.
#[derive(Clone, Copy)]
struct Leaver {
    broker: BrokerId,
    epoch: BrokerEpoch,
    min_insync_replicas: u16,
    until: Instant,
}

impl Leaver {
    fn command(&self, at_once: bool) -> Command {
        Command::LeaveBroker {
            broker: self.broker,
            epoch: self.epoch,
            min_insync_replicas: self.min_insync_replicas,
            at_once,
        }
    }
}

/// What has come of asking to leave.
enum Answer {
    Left,
    /// So many partitions need this broker.
    Held(u32, Vec<PartitionId>),
    /// Nobody is left to answer.
    Alone,
    /// There will be no other answer.
    Refused,
    /// Whether it was heard is not known.
    Unanswered,
}

impl Quorum {
    /// Hands over: this broker's leaderships and its places in ISRs, then, if it is the active controller, that office
    /// too; then leaves. `hurry` ends the wait for others. Says whether it could hand over: if not, this broker still
    /// takes itself for the leader of what it led.
    pub async fn shutdown(&self, hurry: impl Future<Output = ()>) -> bool {
        self.node.stopping.store(true, Ordering::Relaxed);
        let mut handed_over = false;
        if self.node.config.quorum.controlled_shutdown {
            handed_over = self.leave(std::pin::pin!(hurry)).await;
            self.node.resign().await;
        }
        for task in std::mem::take(&mut *self.tasks.lock()) {
            task.abort();
        }
        if let Some(raft) = &self.node.raft
            && let Err(error) = raft.shutdown().await
        {
            tracing::warn!(%error, "the consensus did not end in order");
        }
        handed_over
    }

    async fn leave(&self, mut hurry: Pin<&mut impl Future<Output = ()>>) -> bool {
        let Some(epoch) = self.broker_epoch() else {
            return true;
        };
        let config = &self.node.config;
        let leaver = Leaver {
            broker: BrokerId(config.node_id),
            epoch,
            min_insync_replicas: u16::try_from(config.topics.min_insync_replicas()).unwrap_or(1),
            until: self.node.env.now() + config.quorum.controlled_shutdown_timeout,
        };
        let (mut at_once, mut told) = (false, false);
        loop {
            match self.ask_to_leave(&leaver, at_once).await {
                Answer::Left => {
                    if at_once {
                        self.tell_suffering(&leaver);
                    }
                    return true;
                }
                Answer::Refused => return false,
                Answer::Alone => {
                    tracing::info!("the other brokers stop as well: nobody can take anything over");
                    if !at_once {
                        self.let_others_hear(hurry).await;
                    }
                    return false;
                }
                Answer::Unanswered if at_once || self.nobody_leads() => {
                    self.leave_as_before(&leaver).await;
                    self.tell_suffering(&leaver);
                    return false;
                }
                // Slow is not gone. Partitions must not suffer while there is time to ask again.
                Answer::Unanswered => {
                    at_once = self.is_over(&leaver, hurry.as_mut()).await;
                    continue;
                }
                Answer::Held(count, some) => {
                    if !std::mem::replace(&mut told, true) {
                        self.tell_held(count, &some);
                    }
                }
            }
            at_once = !self.wait_to_be_free(&leaver, hurry.as_mut()).await;
        }
    }

    async fn ask_to_leave(&self, leaver: &Leaver, at_once: bool) -> Answer {
        let left = leaver.until.saturating_duration_since(self.node.env.now());
        let deadline = left.clamp(LAST_WORD, HAND_OVER);
        let asked = std::pin::pin!(self.propose(leaver.command(at_once), deadline));
        let alone = std::pin::pin!(self.until_alone());
        let outcome = match select(alone, asked).await {
            Either::Left(_) => return Answer::Alone,
            Either::Right((outcome, _)) => outcome,
        };
        match outcome {
            Ok(Outcome::ShuttingDown {
                remaining_leaderships,
            }) => {
                tracing::info!(remaining_leaderships, "leaderships handed over");
                // Followed by the image, so that this broker stops leading before it closes its connections.
                let gone = |i: &Image| i.broker(leaver.broker).is_none_or(|b| b.shutting_down);
                self.wait_for(deadline, gone).await;
                Answer::Left
            }
            Ok(Outcome::Leaving {
                waiting,
                partitions,
            }) => Answer::Held(waiting, partitions),
            Ok(_) => Answer::Refused,
            Err(error) => {
                tracing::warn!(%error, "leaderships could not be handed over");
                match error {
                    Error::Unavailable(_) => Answer::Unanswered,
                    _ => Answer::Refused,
                }
            }
        }
    }

    /// Whether no active controller is known, or the known one is gone, or it is this one and no majority hears it.
    fn nobody_leads(&self) -> bool {
        let leader = self.node.leader();
        let is_unheard = self.is_active_controller() && !self.is_heard_as_controller();
        leader.is_none() || self.node.inbound.lock().gone == leader || is_unheard
    }

    /// The one whose leaving leaves this active controller alone is still to be told so, and would ask in vain.
    async fn let_others_hear(&self, hurry: Pin<&mut impl Future<Output = ()>>) {
        if self.is_active_controller() {
            let over = std::pin::pin!(sleep_until(self.node.env.now() + LAST_WORD));
            select(hurry, over).await;
        }
    }

    /// Whether there is no time to ask again.
    async fn is_over(&self, leaver: &Leaver, hurry: Pin<&mut impl Future<Output = ()>>) -> bool {
        let is_told = matches!(select(hurry, ready(())).await, Either::Left(_));
        is_told || self.node.env.now() >= leaver.until
    }

    /// A controller of the version before does not know that a broker may wait; it knows how one leaves at once.
    async fn leave_as_before(&self, leaver: &Leaver) {
        let command = Command::ShutDownBroker {
            broker: leaver.broker,
            epoch: leaver.epoch,
        };
        if let Err(error) = self.propose(command, LAST_WORD).await {
            tracing::debug!(%error, "leaving without the controller's knowledge");
        }
    }

    /// Says whether nothing holds this broker any more; no when its time is over, or somebody is in a hurry.
    async fn wait_to_be_free(
        &self,
        leaver: &Leaver,
        hurry: Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        let free = |image: &Image| {
            image
                .holding(leaver.broker, leaver.min_insync_replicas)
                .is_empty()
                || self.is_alone(image)
        };
        if free(&self.image()) {
            // It says so already, and the controller keeps this broker all the same: what this node sees may be old.
            let pause = std::pin::pin!(sleep_until(self.node.env.now() + ASK_AGAIN));
            let is_told = matches!(select(hurry, pause).await, Either::Left(_));
            return !is_told && self.node.env.now() < leaver.until;
        }
        let mut images = self.watch();
        let freed = std::pin::pin!(images.wait_for(|image| free(image)));
        let over = std::pin::pin!(sleep_until(leaver.until));
        match select(freed, select(hurry, over)).await {
            // An error means that this node ends.
            Either::Left((freed, _)) => freed.is_ok(),
            Either::Right((Either::Left(_), _)) => {
                tracing::info!("told again to stop: not waiting any longer");
                false
            }
            Either::Right(_) => false,
        }
    }

    async fn until_alone(&self) {
        let mut images = self.watch();
        // The publisher lives as long as this node.
        let _ = images.wait_for(|image| self.is_alone(image)).await;
    }

    /// Whether so many voters have gone that nothing can be agreed upon any more.
    fn is_alone(&self, image: &Image) -> bool {
        let config = &self.node.config;
        let voters = &config.quorum.voters;
        let votes = |id: i32| {
            let broker = image.broker(BrokerId(id));
            id == config.node_id || broker.is_none_or(|b| !b.shutting_down && !b.fenced)
        };
        2 * voters.iter().filter(|v| votes(v.id)).count() <= voters.len()
    }

    fn tell_held(&self, count: u32, some: &[PartitionId]) {
        tracing::info!(
            partitions = count,
            examples = self.names(some),
            "waiting to leave: without this broker too few replicas would be in sync"
        );
    }

    fn tell_suffering(&self, leaver: &Leaver) {
        let image = self.image();
        let suffering = image.suffering(leaver.broker, leaver.min_insync_replicas);
        if !suffering.is_empty() {
            tracing::warn!(
                partitions = suffering.len(),
                examples = self.names(&suffering),
                "leaving although fewer replicas than min.insync.replicas stay in sync: these partitions refuse acks=all"
            );
        }
    }

    fn names(&self, partitions: &[PartitionId]) -> String {
        let image = self.image();
        let name = |id: &PartitionId| {
            let topic = image.topic_by_id(id.topic);
            topic.map(|topic| format!("{}-{}", topic.name, id.index))
        };
        let named: Vec<_> = partitions.iter().take(NAMED).filter_map(name).collect();
        named.join(", ")
    }
}
