//! From one image and one command to the next image.

use wire::Str;

use super::{Command, Image, Outcome, PRODUCER_ID_BLOCK_SIZE, Rejection};
use crate::ids::{BrokerEpoch, BrokerId, ProducerId};

impl Image {
    /// The image after `command`, the log's entry at `index`, and what the command has done. A rejected command
    /// changes nothing but the index.
    pub fn apply(&self, command: &Command, index: u64) -> (Image, Result<Outcome, Rejection>) {
        let mut next = self.at_index(index);
        match next.carry_out(command) {
            Ok(outcome) => (next, Ok(outcome)),
            Err(rejection) => (self.at_index(index), Err(rejection)),
        }
    }

    fn carry_out(&mut self, command: &Command) -> Result<Outcome, Rejection> {
        match command {
            Command::NameCluster { cluster_id } => Ok(self.name_cluster(cluster_id)),
            Command::SetUncleanDefault { enabled } => Ok(self.set_unclean_default(*enabled)),
            Command::SetMinInsyncDefault { replicas } => Ok(self.set_min_insync_default(*replicas)),
            Command::RegisterBroker(registration) => self.register_broker(registration, None),
            Command::RegisterWithMemory {
                registration,
                memory,
            } => self.register_broker(registration, Some(*memory)),
            Command::ForgetMemory { broker, epoch } => self.forget_memory(*broker, *epoch),
            Command::LeavePartition {
                broker,
                epoch,
                partition,
            } => self.leave_partition(*broker, *epoch, *partition),
            Command::UnfenceBroker { broker, epoch } => self.unfence_broker(*broker, *epoch),
            Command::FenceBroker { broker, epoch } => self.fence_broker(*broker, *epoch),
            Command::ShutDownBroker { broker, epoch } => self.shut_down_broker(*broker, *epoch),
            Command::StallBroker {
                broker,
                epoch,
                stalled,
            } => self.stall_broker(*broker, *epoch, *stalled),
            Command::AlterPartitions {
                broker,
                epoch,
                changes,
            } => self.alter_partitions(*broker, *epoch, changes),
            Command::ElectPreferred { partitions } => Ok(self.elect_preferred(partitions)),
            Command::CreateTopics { topics } => self.create_topics(topics),
            Command::DeleteTopics { topics } => Ok(self.delete_topics(topics)),
            Command::CreatePartitions { topics } => self.create_partitions(topics),
            Command::AlterConfigs { changes } => Ok(self.alter_configs(changes)),
            Command::AllocateProducerIds { broker, epoch } => {
                self.allocate_producer_ids(*broker, *epoch)
            }
            Command::AlterReassignments {
                partitions,
                allow_factor_change,
            } => Ok(self.alter_reassignments(partitions, *allow_factor_change)),
            Command::LeaveBroker {
                broker,
                epoch,
                min_insync_replicas,
                at_once,
            } => self.leave_broker(*broker, *epoch, *min_insync_replicas, *at_once),
            Command::UnregisterBroker { broker } => self.unregister_broker(*broker),
            Command::ElectUnclean { partitions } => Ok(self.elect_unclean(partitions)),
        }
    }

    fn name_cluster(&mut self, cluster_id: &Str) -> Outcome {
        if self.cluster_id.is_none() {
            self.cluster_id = Some(cluster_id.clone());
        }
        Outcome::Done
    }

    fn set_unclean_default(&mut self, enabled: bool) -> Outcome {
        self.unclean_by_default = enabled;
        self.settle_config(None);
        Outcome::Done
    }

    fn set_min_insync_default(&mut self, replicas: u16) -> Outcome {
        self.min_insync_default = replicas;
        self.settle_config(None);
        Outcome::Done
    }

    fn allocate_producer_ids(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        let first = self.next_producer_id;
        self.next_producer_id = first
            .checked_add(PRODUCER_ID_BLOCK_SIZE)
            .ok_or(Rejection::NoProducerIds)?;
        Ok(Outcome::ProducerIds {
            first: ProducerId(first),
        })
    }

    /// Refuses a broker that is not registered, or has registered again since (KIP-903).
    pub(super) fn check_epoch(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<(), Rejection> {
        match self.broker(broker) {
            None => Err(Rejection::BrokerNotRegistered),
            Some(state) if state.epoch != epoch => Err(Rejection::StaleBrokerEpoch),
            Some(_) => Ok(()),
        }
    }
}
