//! The errors that an answer carries, for the metric that counts them by API.

use wire::messages::*;

/// An answer that can name its errors.
pub trait ErrorCodes {
    /// Calls `each` with every error code in the answer, zeros included.
    fn each(&self, each: impl FnMut(i16));
}

/// Answers with one code at the top.
macro_rules! at_the_top {
    ($($response:ty),+ $(,)?) => {
        $(impl ErrorCodes for $response {
            fn each(&self, mut each: impl FnMut(i16)) {
                each(self.error_code);
            }
        })+
    };
}

/// Answers with one code per item of a list.
macro_rules! per_item {
    ($($response:ty => $list:ident),+ $(,)?) => {
        $(impl ErrorCodes for $response {
            fn each(&self, mut each: impl FnMut(i16)) {
                self.$list.iter().for_each(|item| each(item.error_code));
            }
        })+
    };
}

/// Answers with one code per partition of each topic.
macro_rules! per_partition {
    ($($response:ty => $topics:ident, $partitions:ident),+ $(,)?) => {
        $(impl ErrorCodes for $response {
            fn each(&self, mut each: impl FnMut(i16)) {
                for topic in &self.$topics {
                    topic.$partitions.iter().for_each(|partition| each(partition.error_code));
                }
            }
        })+
    };
}

at_the_top! {
    ApiVersionsResponse,
    DescribeClusterResponse,
    HeartbeatResponse,
    InitProducerIdResponse,
    JoinGroupResponse,
    ListGroupsResponse,
    ListPartitionReassignmentsResponse,
    SyncGroupResponse,
    UnregisterBrokerResponse,
}

per_item! {
    AlterConfigsResponse => responses,
    CreatePartitionsResponse => results,
    CreateTopicsResponse => topics,
    DeleteGroupsResponse => results,
    DeleteTopicsResponse => responses,
    DescribeConfigsResponse => results,
    DescribeGroupsResponse => groups,
    DescribeLogDirsResponse => results,
    DescribeTopicPartitionsResponse => topics,
    IncrementalAlterConfigsResponse => responses,
    MetadataResponse => topics,
}

per_partition! {
    ListOffsetsResponse => topics, partitions,
    OffsetCommitResponse => topics, partitions,
    OffsetForLeaderEpochResponse => topics, partitions,
    ProduceResponse => responses, partition_responses,
}

impl ErrorCodes for DescribeQuorumResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.for_each(|partition| each(partition.error_code));
    }
}

impl ErrorCodes for FetchResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        for topic in &self.responses {
            topic
                .partitions
                .iter()
                .for_each(|partition| each(partition.error_code));
        }
    }
}

impl ErrorCodes for FindCoordinatorResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        self.coordinators
            .iter()
            .for_each(|one| each(one.error_code));
    }
}

impl ErrorCodes for LeaveGroupResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        self.members
            .iter()
            .for_each(|member| each(member.error_code));
    }
}

impl ErrorCodes for OffsetDeleteResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        for topic in &self.topics {
            topic
                .partitions
                .iter()
                .for_each(|partition| each(partition.error_code));
        }
    }
}

impl ErrorCodes for OffsetFetchResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        for topic in &self.topics {
            topic
                .partitions
                .iter()
                .for_each(|partition| each(partition.error_code));
        }
        for group in &self.groups {
            each(group.error_code);
            for topic in &group.topics {
                topic
                    .partitions
                    .iter()
                    .for_each(|partition| each(partition.error_code));
            }
        }
    }
}
