//! A partition that keeps all promises, and clients of it whose answers are late or never come.

use checker::history::{Event, Place, RecordId, Seen, What};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Acked,
    /// Written, and nobody is told.
    Unanswered,
    /// Not written, and nobody is told: its producer has died.
    Vanished,
    Refused,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Send(u32, Fate),
    Fetch(usize, usize),
    Latest,
    Poll(usize),
    Commit(Fate),
    AskCommitted,
    Rebalance,
    NewLeader,
    Retain(usize),
    /// One of the answers that are under way arrives.
    Answer(usize),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = || {
        prop_oneof![
            4 => Just(Fate::Acked),
            1 => Just(Fate::Unanswered),
            1 => Just(Fate::Vanished),
            1 => Just(Fate::Refused),
        ]
    };
    let step = prop_oneof![
        8 => (1..4u32, fate()).prop_map(|(producer, fate)| Step::Send(producer, fate)),
        4 => (0..40usize, 0..8usize).prop_map(|(from, most)| Step::Fetch(from, most)),
        2 => Just(Step::Latest),
        4 => (0..8usize).prop_map(Step::Poll),
        3 => fate().prop_map(Step::Commit),
        1 => Just(Step::AskCommitted),
        1 => Just(Step::Rebalance),
        1 => Just(Step::NewLeader),
        1 => (0..20usize).prop_map(Step::Retain),
        12 => (0..9usize).prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 0..150)
}

#[derive(Default)]
pub struct Model {
    now_us: u64,
    events: Vec<Event>,
    under_way: Vec<What>,
    log: Vec<RecordId>,
    log_start: usize,
    sent: [u64; 4],
    /// How often each producer was started anew.
    lives: [u32; 4],
    leader_epoch: i32,
    generation: i32,
    position: usize,
    committed: Option<i64>,
}

pub fn at() -> Place {
    Place::new("t", 0)
}

impl Model {
    /// The history of these steps; everything under way arrives, and all is read at the end.
    pub fn history(steps: &[Step]) -> Vec<Event> {
        let mut model = Model::default();
        model.lead();
        model.rebalance();
        for step in steps {
            model.step(*step);
        }
        for what in std::mem::take(&mut model.under_way) {
            model.add(what);
        }
        let end = model.log.len() as i64;
        let records = model.seen(model.log_start, model.log.len());
        model.add(What::FinalRead {
            at: at(),
            log_start: model.log_start as i64,
            end,
            records,
        });
        for broker in 1..=3 {
            model.add(What::Replica {
                at: at(),
                broker,
                log_start: model.log_start as i64,
                high_watermark: end,
                cleaned: 0,
                batches: (0..end).map(|n| (n, n + 1, n as u64)).collect(),
                records: Vec::new(),
            });
        }
        model.events
    }

    /// Adds an event, and gives its time.
    fn add(&mut self, what: What) -> u64 {
        self.now_us += 10;
        self.events.push(Event {
            at_us: self.now_us,
            who: "client".into(),
            what,
        });
        self.now_us
    }

    fn seen(&self, from: usize, next: usize) -> Vec<Seen> {
        let one = |n: usize| Seen {
            offset: n as i64,
            record: Some(self.log[n]),
        };
        (from.max(self.log_start)..next).map(one).collect()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(producer, fate) => self.send(producer, fate),
            Step::Fetch(from, most) => self.fetch(from, most),
            Step::Latest => self.under_way.push(What::Latest {
                at: at(),
                leader_epoch: Some(self.leader_epoch),
                sent_us: self.now_us + 1,
                offset: self.log.len() as i64,
            }),
            Step::Poll(most) => self.poll(most),
            Step::Commit(fate) => self.commit(fate),
            Step::AskCommitted => self.under_way.push(What::CommittedSeen {
                group: "g".into(),
                at: at(),
                offset: self.committed,
                sent_us: self.now_us + 1,
            }),
            Step::Rebalance => self.rebalance(),
            Step::NewLeader => self.lead(),
            Step::Retain(from) => {
                self.log_start = self.log_start.max(from.min(self.log.len()));
                let log_start = self.log_start as i64;
                self.add(What::Start {
                    at: at(),
                    log_start,
                });
            }
            Step::Answer(which) if !self.under_way.is_empty() => {
                let what = self.under_way.remove(which % self.under_way.len());
                self.add(what);
            }
            Step::Answer(_) => {}
        }
    }

    fn send(&mut self, producer: u32, fate: Fate) {
        let which = producer as usize;
        let n = self.sent[which];
        self.sent[which] += 1;
        let producer = producer + 10 * self.lives[which];
        let record = RecordId { producer, n };
        self.add(What::Sent {
            at: at(),
            record,
            acks: -1,
            idempotent: true,
        });
        let offset = self.log.len() as i64;
        match fate {
            Fate::Acked => {
                self.log.push(record);
                // A repeated request may be acknowledged without its offset.
                let offset = (!n.is_multiple_of(3)).then_some(offset);
                self.under_way.push(What::Acked {
                    at: at(),
                    record,
                    offset,
                });
            }
            Fate::Unanswered => self.log.push(record),
            Fate::Vanished => {
                self.lives[which] += 1;
                self.sent[which] = 0;
            }
            Fate::Refused => self.under_way.push(What::Refused {
                at: at(),
                record,
                error: "MESSAGE_TOO_LARGE".into(),
                definite: true,
            }),
        }
    }

    fn fetch(&mut self, from: usize, most: usize) {
        let from = from.clamp(self.log_start, self.log.len());
        let next = (from + most).min(self.log.len());
        self.under_way.push(What::Fetched {
            at: at(),
            leader_epoch: Some(self.leader_epoch),
            sent_us: self.now_us + 1,
            from: from as i64,
            next: next as i64,
            high_watermark: self.log.len() as i64,
            log_start: self.log_start as i64,
            records: self.seen(from, next),
        });
    }

    fn lead(&mut self) {
        self.leader_epoch += 1;
        self.add(What::Leader {
            at: at(),
            broker: self.leader_epoch % 3 + 1,
            leader_epoch: self.leader_epoch,
        });
    }

    fn member(&self) -> String {
        format!("m{}", self.generation % 2)
    }

    fn rebalance(&mut self) {
        self.generation += 1;
        self.add(What::Assigned {
            group: "g".into(),
            member: self.member(),
            generation: self.generation,
            places: vec![at()],
        });
        let committed = self.committed.unwrap_or(0) as usize;
        self.position = committed.max(self.log_start);
        self.add(What::Began {
            group: "g".into(),
            member: self.member(),
            at: at(),
            committed: self.committed,
            sent_us: self.now_us + 1,
            from: self.position as i64,
        });
    }

    fn poll(&mut self, most: usize) {
        let from = self.position.max(self.log_start);
        let next = (from + most).min(self.log.len());
        self.position = next;
        self.add(What::Polled {
            group: "g".into(),
            member: self.member(),
            at: at(),
            from: from as i64,
            next: next as i64,
            records: self.seen(from, next),
        });
    }

    fn commit(&mut self, fate: Fate) {
        let offset = self.position as i64;
        let (group, member, generation) = ("g".to_string(), self.member(), self.generation);
        let sent_us = self.add(What::Committing {
            group: group.clone(),
            member: member.clone(),
            generation,
            at: at(),
            offset,
        });
        if matches!(fate, Fate::Acked | Fate::Unanswered) {
            self.committed = Some(offset);
        }
        if matches!(fate, Fate::Acked) {
            self.under_way.push(What::Committed {
                group,
                member,
                generation,
                at: at(),
                offset,
                sent_us,
            });
        }
    }
}
