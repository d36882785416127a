//! Replicas that a test moves.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::{AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest};
use wire::{ErrorCode, Str};

use crate::Cluster;
use crate::client::call;

impl Cluster {
    /// Has the replicas of a topic's partitions moved, by partition; none takes back what is under way. Gives the first
    /// error.
    pub fn reassign(
        &mut self,
        topic: &str,
        targets: &BTreeMap<i32, Option<Vec<i32>>>,
    ) -> Result<ErrorCode> {
        let partition = |(index, replicas): (&i32, &Option<Vec<i32>>)| ReassignablePartition {
            partition_index: *index,
            replicas: replicas.clone(),
        };
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: Str::copy_from(topic),
                partitions: targets.iter().map(partition).collect(),
            }],
            ..AlterPartitionReassignmentsRequest::default()
        };
        let address = self.any_running()?;
        let answer = call(address, &request, 1)?;
        ensure!(answer.error_code == 0, "{answer:?}");
        let partitions = answer.responses.iter().flat_map(|t| &t.partitions);
        let mut codes = partitions.map(|p| p.error_code);
        let first = codes.find(|code| *code != 0).unwrap_or(0);
        Ok(ErrorCode::from_code(first).unwrap_or(ErrorCode::UnknownServerError))
    }

    /// How many partitions have replicas that move, as a running broker knows.
    pub fn moving(&mut self) -> Result<usize> {
        let request = ListPartitionReassignmentsRequest::default();
        let answer = call(self.any_running()?, &request, 0)?;
        Ok(answer.topics.iter().map(|t| t.partitions.len()).sum())
    }
}
