//! DescribeLogDirs, versions 1 to 5 (KIP-113, KIP-827): this broker's log directories, what is in them, and their room.
//!
//! A directory that is out of service is KAFKA_STORAGE_ERROR. The size of its file system is not known (-1, Kafka's own
//! word for it); the room that is left is. Logs never move between directories, so none is a future one, and no
//! directory is cordoned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use wire::{ErrorCode, Str};

use super::RequestContext;
use crate::logs::DirectoryStatus;
use crate::partition::Partition;
use crate::server::Broker;

type Topics = BTreeMap<Str, Vec<DescribeLogDirsPartition>>;

/// Every directory, with the logs that were asked for, or all.
pub async fn handle(
    broker: &Broker,
    request: DescribeLogDirsRequest,
    _context: &RequestContext,
) -> DescribeLogDirsResponse {
    let asked = request.topics.as_ref().map(|topics| {
        let mut asked = BTreeMap::<&Str, BTreeSet<i32>>::new();
        for topic in topics {
            let indexes = asked.entry(&topic.topic).or_default();
            indexes.extend(topic.partitions.iter());
        }
        asked
    });
    let directories = broker.logs.directories();
    let mut contents = vec![Topics::new(); directories.len()];
    for partition in broker.partitions.all() {
        let (topic, index) = (partition.topic(), partition.id().index);
        let is_wanted = asked
            .as_ref()
            .is_none_or(|asked| asked.get(topic).is_some_and(|some| some.contains(&index)));
        if !is_wanted {
            continue;
        }
        let place = broker.logs.place_of(&(topic.to_string(), index));
        if let Some(topics) = place.and_then(|place| contents.get_mut(place)) {
            let logs = topics.entry(topic.clone()).or_default();
            logs.push(of_partition(&partition));
        }
    }
    DescribeLogDirsResponse {
        results: directories
            .iter()
            .zip(contents)
            .map(|(directory, topics)| of_directory(directory, topics))
            .collect(),
        ..DescribeLogDirsResponse::default()
    }
}

fn of_directory(directory: &DirectoryStatus, topics: Topics) -> DescribeLogDirsResult {
    let log_dir = Str::copy_from(&directory.path.display().to_string());
    if !directory.online {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir,
            ..DescribeLogDirsResult::default()
        };
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic { name, partitions });
    DescribeLogDirsResult {
        log_dir,
        topics: topics.collect(),
        usable_bytes: directory
            .free_bytes
            .map_or(-1, |free| i64::try_from(free).unwrap_or(i64::MAX)),
        ..DescribeLogDirsResult::default()
    }
}

fn of_partition(partition: &Arc<Partition>) -> DescribeLogDirsPartition {
    let status = partition.status();
    DescribeLogDirsPartition {
        partition_index: partition.id().index,
        partition_size: i64::try_from(status.size_bytes).unwrap_or(i64::MAX),
        // How far the log is behind the high watermark that is known here, and not how far it is ahead of that.
        offset_lag: (status.high_watermark.0 - status.log_end.0).max(0),
        is_future_key: false,
    }
}
