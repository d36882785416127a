//! A producer and a consumer as careful clients are.

use std::collections::VecDeque;

use engine::ids::{LeaderEpoch, Offset, ProducerId};
use wire::batch::BatchHeader;

use crate::disk::batch;

/// An idempotent producer: at most five batches in flight, on one connection, repeated in order after any trouble.
pub struct Producer {
    pub id: ProducerId,
    /// Not acknowledged yet, oldest first.
    pub unacknowledged: VecDeque<BatchHeader>,
    /// How many of them have been sent on this connection.
    pub sent: usize,
    /// Counts connections.
    pub connection: u32,
    /// The index of the broker that it sends to.
    pub target: usize,
    next_sequence: i32,
    /// Names of the acknowledged batches.
    pub acknowledged: Vec<u32>,
}

const IN_FLIGHT: usize = 5;

impl Producer {
    pub fn new(id: i64) -> Producer {
        Producer {
            id: ProducerId(id),
            unacknowledged: VecDeque::new(),
            sent: 0,
            connection: 0,
            target: 0,
            next_sequence: 0,
            acknowledged: Vec::new(),
        }
    }

    /// The next batch to send, if one may be. Until the first is acknowledged, nothing follows it: the broker could
    /// refuse it and take the second one, because it takes any first sequence.
    pub fn next(&mut self, name: u32, count: i32) -> Option<BatchHeader> {
        let window = if self.acknowledged.is_empty() {
            1
        } else {
            IN_FLIGHT
        };
        if self.sent == window {
            return None;
        }
        if self.sent == self.unacknowledged.len() {
            self.unacknowledged
                .push_back(batch(name, self.id, self.next_sequence, count));
            self.next_sequence += count;
        }
        self.sent += 1;
        Some(self.unacknowledged[self.sent - 1])
    }

    /// Another connection, perhaps to another broker; everything is sent again.
    pub fn reconnect(&mut self, target: usize) {
        self.connection += 1;
        self.sent = 0;
        self.target = target;
    }

    pub fn on_acknowledged(&mut self, name: u32) {
        if self
            .unacknowledged
            .front()
            .is_some_and(|first| first.crc == name)
        {
            self.unacknowledged.pop_front();
            self.sent = self.sent.saturating_sub(1);
            self.acknowledged.push(name);
        }
    }
}

/// A consumer that asks for the latest offset, and never one with an older leader epoch than it knows.
#[derive(Default)]
pub struct Consumer {
    pub leader_epoch: Option<LeaderEpoch>,
    pub latest: Offset,
}
