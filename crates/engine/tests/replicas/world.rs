//! The cluster, its network and its clients, moved on step by step by a seed.

use engine::epochs::EpochEnd;
use engine::ids::{BrokerEpoch, BrokerId, Offset, PartitionEpoch};
use engine::metadata::{AlteredPartition, PartitionChange, Rejection};
use engine::replica::{FetchPosition, IsrProposal, Options, Reader};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wire::Uuid;
use wire::batch::BatchHeader;

use crate::broker::Broker;
use crate::clients::{Consumer, Producer};
use crate::controller::Controller;
use crate::invariants::Invariants;

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

pub struct World {
    pub rng: SmallRng,
    pub now_ms: u64,
    pub controller: Controller,
    pub brokers: Vec<Broker>,
    pub producers: Vec<Producer>,
    pub consumers: Vec<Consumer>,
    pub bus: Vec<Message>,
    pub options: Options,
    pub invariants: Invariants,
    /// How much goes wrong in this life, of 100 steps.
    wildness: u32,
    /// How often a message to or from the controller is passed over, of 100 times.
    controller_delay: u32,
    announced: usize,
    names: u32,
    truncations: u64,
}

const BROKERS: i32 = 3;
const LAG_MAX_MS: u64 = 300;

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        let options = Options {
            min_insync_replicas: 2,
            flush_each: rng.random_bool(0.3),
            lag_max_ms: LAG_MAX_MS,
        };
        let ids: Vec<_> = (1..=BROKERS).map(BrokerId).collect();
        let controller = Controller::new(&ids);
        let mut world = World {
            wildness: rng.random_range(1..12),
            controller_delay: rng.random_range(0..95),
            rng,
            now_ms: 1_000,
            controller,
            brokers: Vec::new(),
            producers: vec![Producer::new(10), Producer::new(11)],
            consumers: vec![Consumer::default(), Consumer::default()],
            bus: Vec::new(),
            options,
            invariants: Invariants::default(),
            announced: 0,
            names: 0,
            truncations: 0,
        };
        for id in ids {
            let mut broker = Broker {
                id,
                disk: Default::default(),
                life: None,
                tainted: false,
                incarnations: 0,
                flush_each: options.flush_each,
            };
            broker.start(options);
            let epoch = world
                .controller
                .image()
                .broker(id)
                .expect("registered")
                .epoch;
            broker.life.as_mut().expect("just started").epoch = Some(epoch);
            world.brokers.push(broker);
        }
        world
    }

    pub fn step(&mut self) {
        self.now_ms += self.rng.random_range(0..20);
        if self.rng.random_range(0..100) < self.wildness {
            self.fault();
            self.settle();
            return;
        }
        match self.rng.random_range(0..100) {
            0..=53 => self.deliver_any(),
            54..=65 => self.fetch_any(),
            66..=74 => self.produce_any(),
            75..=79 => self.propose_any(),
            80..=83 => self.consume_any(),
            84..=87 => self.sync_any(),
            88..=89 => self.now_ms += self.rng.random_range(0..LAG_MAX_MS),
            90 => self.lose_any(),
            _ => self.deliver_any(),
        }
        self.settle();
    }

    /// What follows from any step at once.
    pub fn settle(&mut self) {
        for at in 0..self.brokers.len() {
            for (produced, good) in self.brokers[at].released() {
                self.bus.push(Message::Acknowledge { produced, good });
            }
        }
        while self.announced + 1 < self.controller.versions() {
            self.announced += 1;
            let version = self.announced;
            self.bus
                .extend((0..self.brokers.len()).map(|to| Message::Image { to, version }));
        }
        let (brokers, producers) = (&self.brokers, &self.producers);
        self.invariants
            .check(brokers, producers, self.controller.partition());
    }

    pub fn any_broker(&mut self) -> usize {
        self.rng.random_range(0..self.brokers.len())
    }

    fn deliver_any(&mut self) {
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
        let slow = matches!(
            self.bus[at],
            Message::Alter { .. } | Message::Altered { .. } | Message::Image { .. }
        );
        if slow && self.rng.random_range(0..100) < self.controller_delay {
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
                self.brokers[to].on_image(version, &image, now_ms);
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
            } => {
                let asked_in = change.partition_epoch;
                let result = self.controller.alter(self.brokers[from].id, epoch, change);
                self.bus.push(Message::Altered {
                    to: from,
                    incarnation,
                    asked_in,
                    result,
                });
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
            let stale = matches!(
                rejection,
                Rejection::InvalidUpdateVersion | Rejection::FencedLeaderEpoch
            );
            life.replica.on_isr_refused(&proposal, stale);
        }
    }

    fn acknowledge(&mut self, produced: Produced, good: bool) {
        let target = self.any_broker();
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

    fn fetch_any(&mut self) {
        let from = self.any_broker();
        self.fetch(from);
    }

    pub fn fetch(&mut self, from: usize) {
        let Some(life) = &self.brokers[from].life else {
            return;
        };
        if let (Some(epoch), Some(asked)) = (life.epoch, life.replica.fetch_position()) {
            let to = asked.leader.0 as usize - 1;
            self.bus.push(Message::Fetch {
                from,
                to,
                epoch,
                asked,
            });
        }
    }

    fn produce_any(&mut self) {
        let at = self.rng.random_range(0..self.producers.len());
        if self.rng.random_bool(0.05) {
            let target = self.any_broker();
            self.producers[at].reconnect(target);
        }
        self.produce(at);
    }

    pub fn produce(&mut self, at: usize) {
        let count = self.rng.random_range(1..4);
        self.names += 1;
        let producer = &mut self.producers[at];
        if let Some(header) = producer.next(self.names, count) {
            let produced = Produced {
                producer: at,
                connection: producer.connection,
                name: header.crc,
            };
            self.bus.push(Message::Produce {
                to: producer.target,
                header,
                produced,
            });
        }
    }

    fn propose_any(&mut self) {
        let at = self.any_broker();
        // An answer that has not come may never come.
        if self.rng.random_bool(0.3)
            && let Some(life) = &mut self.brokers[at].life
            && let Some(proposal) = life.proposal.take()
        {
            life.replica.on_isr_unknown(&proposal);
        }
        self.propose(at);
    }

    pub fn propose(&mut self, at: usize) {
        let now_ms = self.now_ms;
        if let Some((epoch, change)) = self.brokers[at].propose(now_ms) {
            let incarnation = self.brokers[at].incarnations;
            self.bus.push(Message::Alter {
                from: at,
                incarnation,
                epoch,
                change,
            });
        }
    }

    fn consume_any(&mut self) {
        let (at, broker) = (
            self.rng.random_range(0..self.consumers.len()),
            self.any_broker(),
        );
        let Some(life) = &self.brokers[broker].life else {
            return;
        };
        let consumer = &mut self.consumers[at];
        if life
            .replica
            .check_leader_epoch(consumer.leader_epoch)
            .is_err()
        {
            // The client asks again with what the newest metadata say.
            consumer.leader_epoch = consumer.leader_epoch.max(Some(life.replica.leader_epoch()));
            return;
        }
        if let Ok(latest) = life.replica.latest_offset(Reader::Consumer {
            read_committed: false,
        }) {
            consumer.leader_epoch = Some(life.replica.leader_epoch());
            self.invariants.on_latest(consumer, latest);
        }
    }

    fn sync_any(&mut self) {
        let at = self.any_broker();
        if self.options.flush_each || self.rng.random_bool(0.3) {
            self.brokers[at].sync(self.now_ms);
        }
        if let Some(life) = &self.brokers[at].life
            && self.rng.random_bool(0.3)
        {
            self.brokers[at].disk.high_watermark = life.replica.high_watermark().0;
        }
    }

    fn lose_any(&mut self) {
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
        let target = self.any_broker();
        let producer = &mut self.producers[lost.producer];
        if producer.connection == lost.connection {
            producer.reconnect(target);
        }
    }

    pub fn incarnation_id(broker: BrokerId, incarnation: u8) -> Uuid {
        let mut id = [incarnation.wrapping_add(100); 16];
        id[0] = broker.0 as u8;
        Uuid(id)
    }

    pub fn committed(&self) -> usize {
        self.invariants.committed()
    }

    pub fn elections(&self) -> u64 {
        self.invariants.leaderships()
    }

    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Everything that two lives of one seed must share.
    pub fn summary(&self) -> String {
        let logs: Vec<_> = self.brokers.iter().map(|b| b.disk.batches.len()).collect();
        format!(
            "{} ms, {} versions, logs {logs:?}, {} committed, {} leaderships, {} truncations, rest {:?}",
            self.now_ms,
            self.controller.versions(),
            self.committed(),
            self.elections(),
            self.truncations,
            self.rng,
        )
    }
}
