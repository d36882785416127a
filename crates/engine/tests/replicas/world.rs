//! The cluster, its network and its clients, moved on step by step by a seed.

use engine::ids::BrokerId;
use engine::metadata::PartitionChange;
use engine::replica::{Options, Reader};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wire::Uuid;

use crate::broker::Broker;
use crate::clients::{Consumer, Producer};
use crate::controller::Controller;
use crate::invariants::Invariants;
use crate::network::{Message, Produced};

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
    /// How often a message from the controller is passed over, of 100 times.
    pub controller_delay: u32,
    /// The same for wishes to change the ISR.
    pub alter_delay: u32,
    /// A broker that does not fetch, and until when: it hangs, but nobody fences it.
    pub hushed: Option<(usize, u64)>,
    announced: usize,
    names: u32,
    pub truncations: u64,
    /// How many logs were deleted because their replicas had moved away.
    pub deletions: u64,
}

const LAG_MAX_MS: u64 = 300;

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        let options = Options {
            min_insync_replicas: 2,
            flush_each: rng.random_bool(0.3),
            lag_max_ms: LAG_MAX_MS,
        };
        let brokers = if rng.random_bool(0.5) { 3 } else { 5 };
        let ids: Vec<_> = (1..=brokers).map(BrokerId).collect();
        let controller = Controller::new(&ids, options);
        let mut world = World {
            wildness: rng.random_range(1..12),
            controller_delay: rng.random_range(0..95),
            alter_delay: rng.random_range(0..99),
            hushed: None,
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
            deletions: 0,
        };
        for id in ids {
            let mut broker = Broker {
                id,
                disk: Default::default(),
                life: None,
                tainted: false,
                memory: 0,
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
            88 => self.now_ms += self.rng.random_range(0..LAG_MAX_MS),
            89 => self.hush_any(),
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
            // Whoever is behind mostly sees the newest only, as in production.
            if self.rng.random_bool(0.8) {
                self.bus.retain(|m| !matches!(m, Message::Image { .. }));
            }
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

    /// Where a client looks for the leader: its metadata are good, or old.
    pub fn likely_leader(&mut self) -> usize {
        match self.controller.partition().leader {
            Some(leader) if self.rng.random_bool(0.7) => leader.0 as usize - 1,
            _ => self.any_broker(),
        }
    }

    fn fetch_any(&mut self) {
        let from = self.any_broker();
        if self.hushed.is_some_and(|(_, until)| self.now_ms >= until) {
            self.hushed = None;
        }
        let under_way = |m: &Message| matches!(m, Message::Fetch { from: who, .. } if *who == from);
        // One at a time, but a connection may have been given up.
        let is_busy = self.bus.iter().any(under_way) && self.rng.random_bool(0.9);
        if !is_busy && self.hushed.is_none_or(|(who, _)| who != from) {
            self.fetch(from);
        }
    }

    fn hush_any(&mut self) {
        let until = self.now_ms + self.rng.random_range(0..6 * LAG_MAX_MS);
        self.hushed = Some((self.any_broker(), until));
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
            let target = self.likely_leader();
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
            self.lose_sight_of_joiner(at, &change);
            // Production tries again by itself where an attempt brings no answer; the first may arrive still.
            let attempts = if self.rng.random_bool(0.2) { 2 } else { 1 };
            for attempt in 1..=attempts {
                self.bus.push(Message::Alter {
                    from: at,
                    incarnation,
                    epoch,
                    change: change.clone(),
                    is_awaited: attempt == attempts,
                });
            }
        }
    }

    /// Now and then the hard case: whoever is to join falls silent while nobody knows whether it has joined.
    fn lose_sight_of_joiner(&mut self, at: usize, change: &PartitionChange) {
        let isr = &self.controller.partition().isr;
        let joiner = change.isr.iter().find(|m| !isr.contains(&m.broker));
        if let Some(joiner) = joiner.map(|m| m.broker.0 as usize - 1)
            && self.rng.random_bool(0.3)
            && let Some(life) = &mut self.brokers[at].life
            && let Some(proposal) = life.proposal.take()
        {
            life.replica.on_isr_unknown(&proposal);
            self.hushed = Some((joiner, self.now_ms + 6 * LAG_MAX_MS));
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
