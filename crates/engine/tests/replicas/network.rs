//! The network: what is on its way, and what its arrival does. Messages are lost, delayed and reordered; only one
//! connection keeps its order.

use engine::epochs::EpochEnd;
use engine::ids::{BrokerEpoch, Offset, PartitionEpoch};
use engine::metadata::{AlteredPartition, PartitionChange, Rejection};
use engine::replica::{FetchPosition, IsrProposal};
use rand::Rng;
use wire::batch::BatchHeader;

use crate::world::World;

/// A producer's batch on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    pub producer: usize,
    pub connection: u32,
    pub name: u32,
}

#[derive(Clone, Debug)]
pub enum FetchAnswer {
    Records {
        headers: Vec<BatchHeader>,
        high_watermark: Offset,
    },
    Diverging(EpochEnd),
    OutOfRange,
}

/// What is on its way. Brokers are numbered from 0 here.
pub enum Message {
    Image {
        to: usize,
        version: usize,
    },
    Fetch {
        from: usize,
        to: usize,
        epoch: BrokerEpoch,
        asked: FetchPosition,
    },
    Fetched {
        to: usize,
        incarnation: u8,
        asked: FetchPosition,
        answer: FetchAnswer,
    },
    Alter {
        from: usize,
        incarnation: u8,
        epoch: BrokerEpoch,
        change: PartitionChange,
        /// Whether somebody still waits for the answer: whoever asks gives an attempt up and makes another.
        is_awaited: bool,
    },
    Altered {
        to: usize,
        incarnation: u8,
        asked_in: PartitionEpoch,
        result: Result<AlteredPartition, Rejection>,
    },
    Produce {
        to: usize,
        header: BatchHeader,
        produced: Produced,
    },
    Acknowledge {
        produced: Produced,
        good: bool,
    },
}

impl World {
    pub fn deliver_any(&mut self) {
        if self.bus.is_empty() {
            return;
        }
        let mut at = self.rng.random_range(0..self.bus.len());
        // One connection keeps its order.
        if let Message::Produce { produced, .. } = &self.bus[at] {
            let (producer, connection) = (produced.producer, produced.connection);
            let same = |m: &Message| {
                matches!(m, Message::Produce { produced, .. }
                    if produced.producer == producer && produced.connection == connection)
            };
            at = self.bus.iter().position(same).unwrap_or(at);
        }
        let delay = match self.bus[at] {
            Message::Alter { .. } if self.hushed.is_some() => 95,
            Message::Alter { .. } => self.alter_delay,
            Message::Altered { .. } | Message::Image { .. } => self.controller_delay,
            _ => 0,
        };
        if delay > 0 && self.rng.random_range(0..100) < delay {
            return;
        }
        let message = self.bus.remove(at);
        self.deliver(message);
    }

    pub fn deliver(&mut self, message: Message) {
        let now_ms = self.now_ms;
        match message {
            Message::Image { to, version } => {
                let image = self.controller.version(version).clone();
                let options = self.options;
                if self.brokers[to].on_image(version, &image, options, now_ms) {
                    self.deletions += 1;
                }
            }
            Message::Fetch {
                from,
                to,
                epoch,
                asked,
            } => self.serve(from, to, epoch, asked),
            Message::Fetched {
                to,
                incarnation,
                asked,
                answer,
            } => {
                if self.is_same_life(to, incarnation) && self.brokers[to].follow(&asked, &answer) {
                    self.truncations += 1;
                }
            }
            Message::Alter {
                from,
                incarnation,
                epoch,
                change,
                is_awaited,
            } => {
                let asked_in = change.partition_epoch;
                let result = self.controller.alter(self.brokers[from].id, epoch, change);
                if is_awaited {
                    self.bus.push(Message::Altered {
                        to: from,
                        incarnation,
                        asked_in,
                        result,
                    });
                }
            }
            Message::Altered {
                to,
                incarnation,
                asked_in,
                result,
            } => self.altered(to, incarnation, asked_in, result),
            Message::Produce {
                to,
                header,
                produced,
            } => {
                if let Some(answer) = self.brokers[to].produce(&header, produced, now_ms) {
                    self.bus.push(Message::Acknowledge {
                        produced,
                        good: answer.is_ok(),
                    });
                }
            }
            Message::Acknowledge { produced, good } => self.acknowledge(produced, good),
        }
    }

    fn is_same_life(&self, broker: usize, incarnation: u8) -> bool {
        self.brokers[broker]
            .life
            .as_ref()
            .is_some_and(|life| life.incarnation == incarnation)
    }

    fn serve(&mut self, from: usize, to: usize, epoch: BrokerEpoch, asked: FetchPosition) {
        let follower = self.brokers[from].id;
        let Some(incarnation) = self.brokers[from].life.as_ref().map(|l| l.incarnation) else {
            return;
        };
        if let Some(answer) = self.brokers[to].serve(follower, epoch, &asked, self.now_ms) {
            self.bus.push(Message::Fetched {
                to: from,
                incarnation,
                asked,
                answer,
            });
        }
    }

    fn altered(
        &mut self,
        to: usize,
        incarnation: u8,
        asked_in: PartitionEpoch,
        result: Result<AlteredPartition, Rejection>,
    ) {
        if !self.is_same_life(to, incarnation) {
            return;
        }
        let Some(life) = &mut self.brokers[to].life else {
            return;
        };
        let answered = |p: &mut IsrProposal| p.partition_epoch == asked_in;
        let Some(proposal) = life.proposal.take_if(answered) else {
            return;
        };
        if let Err(rejection) = result {
            life.replica.on_isr_refused(&proposal, &rejection);
        }
    }

    fn acknowledge(&mut self, produced: Produced, good: bool) {
        let target = self.likely_leader();
        let producer = &mut self.producers[produced.producer];
        if producer.connection != produced.connection {
            return;
        }
        if good {
            producer.on_acknowledged(produced.name);
        } else {
            producer.reconnect(target);
        }
    }

    pub fn lose_any(&mut self) {
        if self.bus.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.bus.len());
        match self.bus.remove(at) {
            // The metadata log is never lost, only late.
            image @ Message::Image { .. } => self.bus.push(image),
            Message::Produce { produced, .. } | Message::Acknowledge { produced, .. } => {
                self.cut(produced)
            }
            _ => {}
        }
    }

    /// A connection that loses one message loses all that follow.
    fn cut(&mut self, lost: Produced) {
        self.bus.retain(|message| match message {
            Message::Produce { produced, .. } | Message::Acknowledge { produced, .. } => {
                produced.producer != lost.producer || produced.connection != lost.connection
            }
            _ => true,
        });
        let target = self.likely_leader();
        let producer = &mut self.producers[lost.producer];
        if producer.connection == lost.connection {
            producer.reconnect(target);
        }
    }
}
