//! Replicas that move while everything else happens: wishes that begin, replace and take back a move.

use anyhow::Context;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use wire::ErrorCode;
use wire::messages::AlterPartitionReassignmentsRequest;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};

use crate::cluster::PORT;
use crate::workload::TOPIC;
use crate::{Client, broker_name};

/// As many replicas as the topic began with.
const REPLICAS: usize = 3;

/// Asks for moves.
pub struct Mover {
    dice: StdRng,
    all: Vec<i32>,
}

impl Mover {
    pub fn new(seed: u64, all: &[i32]) -> Mover {
        Mover {
            dice: StdRng::seed_from_u64(seed ^ 0x6d6f_7665),
            all: all.to_vec(),
        }
    }

    /// Puts one wish to one broker, and tells what came of it. It may be refused, and the broker may be away.
    pub async fn ask(&mut self) -> String {
        self.all.shuffle(&mut self.dice);
        let target = match self.dice.random_range(0..4) {
            0 => None,
            _ => Some(self.all[..REPLICAS].to_vec()),
        };
        let via = self.all[self.dice.random_range(0..self.all.len())];
        let outcome = match put(via, target.clone()).await {
            Ok(code) => format!("{code:?}"),
            // Not with Debug: a backtrace may be in it, and that is another each time.
            Err(error) => format!("{error:#}"),
        };
        format!("asked broker {via} for {target:?}: {outcome}")
    }
}

async fn put(via: i32, replicas: Option<Vec<i32>>) -> anyhow::Result<Option<ErrorCode>> {
    let mut client = Client::connect(&broker_name(via), PORT).await?;
    let partition = ReassignablePartition {
        partition_index: 0,
        replicas,
    };
    let topic = ReassignableTopic {
        name: TOPIC.into(),
        partitions: vec![partition],
    };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: 1_000,
        topics: vec![topic],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let answer = client.call(request, 1).await?;
    let topic = answer.responses.first();
    let partition = topic.and_then(|topic| topic.partitions.first());
    let partition = partition.context("the answer has no partition")?;
    Ok(ErrorCode::from_code(partition.error_code))
}
