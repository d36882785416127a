//! ISR changes: gathered from the partitions led here, put to the controller in one command.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Command, Outcome, PartitionChange, PartitionId};
use engine::replica::IsrProposal;
use telemetry::metrics::Counter;
use tokio::time::interval;

use crate::partition::{Partition, Partitions};
use crate::quorum::{self, Quorum};

/// How long the controller is asked for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most partitions in one command.
const BATCH: usize = 1000;

/// Proposes what is due, until the task is dropped.
pub(super) async fn run(
    me: BrokerId,
    partitions: Arc<Partitions>,
    quorum: Arc<Quorum>,
    failures: Counter,
) {
    loop {
        let due = partitions.isr_due.take().await;
        let proposals = gather(&partitions, &due);
        for batch in proposals.chunks(BATCH) {
            propose(me, &quorum, batch, &failures).await;
        }
    }
}

/// Looks from time to time at every partition: a follower that has fallen silent causes no event.
pub(super) async fn run_ticks(partitions: Arc<Partitions>, lag_max: Duration) {
    let mut ticks =
        interval((lag_max / 2).clamp(Duration::from_millis(50), Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for partition in partitions.all() {
            if partition.is_leader() {
                partitions.isr_due.request(partition.id());
            }
        }
    }
}

type Proposed = (Arc<Partition>, IsrProposal);

fn gather(partitions: &Partitions, due: &BTreeSet<PartitionId>) -> Vec<Proposed> {
    let partitions = due.iter().filter_map(|id| partitions.get(*id));
    partitions
        .filter_map(|p| p.propose_isr().map(|proposal| (p, proposal)))
        .collect()
}

async fn propose(me: BrokerId, quorum: &Quorum, batch: &[Proposed], failures: &Counter) {
    let Some(epoch) = quorum.broker_epoch() else {
        return batch
            .iter()
            .for_each(|(p, proposal)| p.on_isr_outcome(proposal, None));
    };
    let changes = batch.iter().map(|(partition, proposal)| PartitionChange {
        partition: partition.id(),
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal.isr.clone(),
    });
    let command = Command::AlterPartitions {
        broker: me,
        epoch,
        changes: changes.collect(),
    };
    let controller = quorum.controller();
    let outcome = quorum.propose(command, DEADLINE).await;
    if controller != quorum.controller() {
        tracing::info!("the controller has changed while ISR changes were under way");
    }
    match outcome {
        Ok(Outcome::Altered(answers)) if answers.len() == batch.len() => {
            for ((partition, proposal), answer) in batch.iter().zip(answers) {
                // What is granted shows in the metadata.
                if let Err(rejection) = answer {
                    tracing::debug!(
                        topic = %partition.topic(), partition = partition.id().index, %rejection,
                        "the ISR stays as it is"
                    );
                    failures.inc();
                    partition.on_isr_outcome(proposal, Some(&rejection));
                }
            }
        }
        Err(quorum::Error::Rejected(rejection)) => {
            tracing::warn!(%rejection, "the controller refuses ISR changes of this broker");
            failures.inc_by(batch.len() as u64);
            batch
                .iter()
                .for_each(|(p, proposal)| p.on_isr_outcome(proposal, Some(&rejection)));
        }
        outcome => {
            tracing::warn!(
                ?outcome,
                "it is not known whether the controller has changed ISRs"
            );
            failures.inc_by(batch.len() as u64);
            batch
                .iter()
                .for_each(|(p, proposal)| p.on_isr_outcome(proposal, None));
        }
    }
}
