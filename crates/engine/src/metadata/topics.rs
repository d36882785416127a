//! Topics: created, extended, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{Str, Uuid};

use super::placement::Load;
use super::{
    Assignment, CreatedTopic, Image, MAX_NEW_PARTITIONS, NewPartitions, NewTopic, Outcome,
    PartitionState, Rejection, Resource, TopicId, TopicState,
};
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch};

/// The longest name of a topic, in bytes: with "-" and a partition's number it must be a file name.
const MAX_NAME_LENGTH: usize = 249;

/// The config, and its value, with which whatever a replica has is on its disk.
const FLUSH: &str = "flush.messages";
const EACH: &str = "1";

impl Image {
    pub(super) fn create_topics(&mut self, topics: &[NewTopic]) -> Result<Outcome, Rejection> {
        let asked = topics.iter().map(|t| match &t.assignment {
            Assignment::Spread { partitions, .. } => usize::try_from(*partitions).unwrap_or(0),
            Assignment::Given(replicas) => replicas.len(),
        });
        check_total(asked)?;
        let mut counted = Counted::of(self);
        Ok(Outcome::Created(
            topics
                .iter()
                .map(|t| self.create_topic(t, &mut counted))
                .collect(),
        ))
    }

    fn create_topic(
        &mut self,
        new: &NewTopic,
        counted: &mut Counted,
    ) -> Result<CreatedTopic, Rejection> {
        check_name(&new.name)?;
        if let Some(topic) = self.topic(&new.name) {
            // The same id: this command has been proposed twice, and the first has done it.
            return if topic.id == new.id {
                Ok(created(topic))
            } else {
                Err(Rejection::TopicExists(new.name.to_string()))
            };
        }
        counted.check_collision(&new.name)?;
        if new.id.is_zero() || self.topic_by_id(new.id).is_some() {
            return Err(Rejection::InvalidRequest(
                "a new topic needs a new id".into(),
            ));
        }
        let assignment = match &new.assignment {
            Assignment::Spread {
                partitions,
                replication_factor,
            } => self.spread(&counted.load, *partitions, *replication_factor)?,
            Assignment::Given(replicas) => self.checked_assignment(replicas, None)?,
        };
        let partitions = assignment
            .into_iter()
            .map(|r| self.new_partition(r))
            .collect::<Result<_, _>>()?;
        let topic = TopicState {
            id: new.id,
            name: new.name.clone(),
            partitions,
            flushed: self.keeps_elr()
                && new
                    .configs
                    .iter()
                    .any(|(key, value)| key == FLUSH && value == EACH),
        };
        counted.add(&topic);
        let answer = created(&topic);
        Arc::make_mut(&mut self.names).insert(topic.name.clone(), topic.id);
        Arc::make_mut(&mut self.topics).insert(topic.id, Arc::new(topic));
        if !new.configs.is_empty() {
            let configs = new.configs.iter().cloned().collect();
            Arc::make_mut(&mut self.configs)
                .insert(Resource::Topic(new.name.to_string()), Arc::new(configs));
        }
        Ok(answer)
    }

    fn spread(
        &self,
        load: &Load,
        partitions: i32,
        replication_factor: i16,
    ) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let count = usize::try_from(partitions)
            .ok()
            .filter(|c| *c > 0)
            .ok_or_else(|| {
                Rejection::InvalidPartitions("Number of partitions must be larger than 0.".into())
            })?;
        let factor = usize::try_from(replication_factor)
            .ok()
            .filter(|f| *f > 0)
            .ok_or_else(|| {
                Rejection::InvalidReplicationFactor(
                    "Replication factor must be larger than 0.".into(),
                )
            })?;
        self.place(load, 0, count, factor)
    }

    /// Checks an assignment given by a client. `factor`: how many replicas the topic's other partitions have.
    fn checked_assignment(
        &self,
        given: &[Vec<BrokerId>],
        factor: Option<usize>,
    ) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let invalid = |why: &str| Err(Rejection::InvalidAssignment(why.into()));
        let factor = factor.or(given.first().map(Vec::len)).unwrap_or(0);
        for replicas in given {
            if replicas.is_empty() {
                return invalid("The manual partition assignment includes an empty replica list.");
            }
            if replicas.len() != factor {
                return invalid(
                    "The manual partition assignment has partitions with different numbers of replicas.",
                );
            }
            if replicas
                .iter()
                .enumerate()
                .any(|(i, b)| replicas[..i].contains(b))
            {
                return invalid(
                    "The manual partition assignment includes a broker more than once.",
                );
            }
            if let Some(unknown) = replicas.iter().find(|b| self.broker(**b).is_none()) {
                let why = format!(
                    "The manual partition assignment includes broker {unknown}, but no such broker is registered."
                );
                return Err(Rejection::InvalidAssignment(why));
            }
        }
        if given.is_empty() {
            invalid("The manual partition assignment is empty.")
        } else {
            Ok(given.to_vec())
        }
    }

    fn new_partition(&self, replicas: Vec<BrokerId>) -> Result<Arc<PartitionState>, Rejection> {
        let isr: Vec<_> = replicas
            .iter()
            .copied()
            .filter(|b| self.is_active(*b))
            .collect();
        let Some(leader) = isr.first().copied() else {
            let why = "All brokers specified in the manual partition assignment are fenced or in controlled shutdown.";
            return Err(Rejection::InvalidAssignment(why.into()));
        };
        Ok(Arc::new(PartitionState {
            replicas,
            isr,
            leader: Some(leader),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            adding: Vec::new(),
            removing: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        }))
    }

    /// A topic's configs have been edited. One that gets the setting later has records from before.
    pub(super) fn note_flushing(&mut self, id: Uuid) {
        let topic = self.topic_by_id(id).filter(|t| t.flushed);
        let resource = topic.map(|t| Resource::Topic(t.name.to_string()));
        if resource.is_some_and(|topic| self.config(&topic, FLUSH) != Some(EACH))
            && let Some(topic) = Arc::make_mut(&mut self.topics).get_mut(&id)
        {
            Arc::make_mut(topic).flushed = false;
        }
    }

    pub(super) fn delete_topics(&mut self, topics: &[TopicId]) -> Outcome {
        Outcome::Each(topics.iter().map(|t| self.delete_topic(t.0)).collect())
    }

    fn delete_topic(&mut self, id: Uuid) -> Result<(), Rejection> {
        let topic = Arc::make_mut(&mut self.topics)
            .remove(&id)
            .ok_or(Rejection::UnknownTopicId)?;
        Arc::make_mut(&mut self.names).remove(&topic.name);
        Arc::make_mut(&mut self.configs).remove(&Resource::Topic(topic.name.to_string()));
        Ok(())
    }

    pub(super) fn create_partitions(
        &mut self,
        topics: &[NewPartitions],
    ) -> Result<Outcome, Rejection> {
        check_total(topics.iter().map(|t| usize::try_from(t.count).unwrap_or(0)))?;
        let mut load = Load::of(self);
        Ok(Outcome::Each(
            topics
                .iter()
                .map(|t| self.extend_topic(t, &mut load))
                .collect(),
        ))
    }

    fn extend_topic(&mut self, new: &NewPartitions, load: &mut Load) -> Result<(), Rejection> {
        let topic = self
            .topic(&new.topic)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        let before = topic.partitions.len();
        let count = usize::try_from(new.count).unwrap_or(0);
        if count <= before {
            let why = if count == before {
                format!("Topic already has {before} partition(s).")
            } else {
                format!(
                    "The topic {} currently has {before} partition(s); {} would not be an increase.",
                    new.topic, new.count
                )
            };
            return Err(Rejection::InvalidPartitions(why));
        }
        let added = count - before;
        let factor = topic.replication_factor();
        let assignment = match &new.assignment {
            None => self.place(load, before, added, factor)?,
            Some(given) if given.len() == added => self.checked_assignment(given, Some(factor))?,
            Some(given) => {
                let why = format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    given.len()
                );
                return Err(Rejection::InvalidAssignment(why));
            }
        };
        let mut next = (*topic).clone();
        for replicas in assignment {
            next.partitions.push(self.new_partition(replicas)?);
        }
        next.partitions[before..]
            .iter()
            .for_each(|p| load.add(&p.replicas));
        Arc::make_mut(&mut self.topics).insert(next.id, Arc::new(next));
        Ok(())
    }
}

/// What the creation of each topic asks of all that are there: counted once for a command of many.
struct Counted {
    load: Load,
    /// The names, with "_" for each ".", and one of those that it stands for.
    plain: BTreeMap<String, Str>,
}

impl Counted {
    fn of(image: &Image) -> Counted {
        Counted {
            load: Load::of(image),
            plain: image.names.keys().map(|n| (plain(n), n.clone())).collect(),
        }
    }

    fn add(&mut self, topic: &TopicState) {
        topic
            .partitions
            .iter()
            .for_each(|p| self.load.add(&p.replicas));
        self.plain.insert(plain(&topic.name), topic.name.clone());
    }

    /// Two names that differ only in "." and "_" would share the names of their metrics.
    fn check_collision(&self, name: &str) -> Result<(), Rejection> {
        match self.plain.get(&plain(name)) {
            Some(other) => Err(Rejection::InvalidTopic(format!(
                "Topic '{name}' collides with existing topic: {other}"
            ))),
            None => Ok(()),
        }
    }
}

fn plain(name: &str) -> String {
    name.replace('.', "_")
}

fn created(topic: &TopicState) -> CreatedTopic {
    CreatedTopic {
        id: topic.id,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(topic.replication_factor()).unwrap_or(i16::MAX),
    }
}

fn check_total(counts: impl Iterator<Item = usize>) -> Result<(), Rejection> {
    let total = counts.fold(0usize, usize::saturating_add);
    if total > MAX_NEW_PARTITIONS {
        let why = format!(
            "Excessively large number of partitions per request: {total}, the limit is {MAX_NEW_PARTITIONS}."
        );
        return Err(Rejection::PolicyViolation(why));
    }
    Ok(())
}

/// A topic's name becomes part of file names, so only letters, digits, ".", "_" and "-" are allowed.
fn check_name(name: &Str) -> Result<(), Rejection> {
    let invalid = |why: String| Err(Rejection::InvalidTopic(why));
    if name.is_empty() {
        return invalid("Topic name is invalid: the empty string is not allowed".into());
    }
    if name.as_str() == "." || name.as_str() == ".." {
        return invalid(format!("Topic name is invalid: '{name}' is not allowed"));
    }
    if name.len() > MAX_NAME_LENGTH {
        return invalid(format!(
            "Topic name is invalid: it has {} characters, the limit is {MAX_NAME_LENGTH}",
            name.len()
        ));
    }
    if !name
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
    {
        return invalid(format!(
            "Topic name is invalid: '{name}' has other characters than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}
