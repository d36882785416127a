//! Which APIs are offered, in which versions.
//!
//! Minima are those of Apache Kafka 4.3.1, which clients use to tell brokers apart: librdkafka
//! stops compressing when it sees Produce from 3 (KAFKA-18659), so Produce is advertised from 0
//! although versions before 3 are refused when used. What is not offered yet is not in the table.

use wire::ApiKey;

/// One API with its range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The API.
    pub api: ApiKey,
    /// The oldest version, as advertised.
    pub min: i16,
    /// The newest version.
    pub max: i16,
    /// The first version with flexible fields (KIP-482).
    flexible_from: i16,
}

const NEVER: i16 = i16::MAX;

const fn api(api: ApiKey, min: i16, max: i16, flexible_from: i16) -> Offered {
    Offered {
        api,
        min,
        max,
        flexible_from,
    }
}

/// Everything that is offered, by API key.
pub const OFFERED: &[Offered] = &[
    api(ApiKey::Produce, 0, 13, 9),
    api(ApiKey::Fetch, 4, 18, 12),
    api(ApiKey::ListOffsets, 1, 11, 6),
    api(ApiKey::Metadata, 0, 13, 9),
    api(ApiKey::OffsetCommit, 2, 10, 8),
    api(ApiKey::OffsetFetch, 1, 10, 6),
    api(ApiKey::FindCoordinator, 0, 6, 3),
    api(ApiKey::JoinGroup, 0, 9, 6),
    api(ApiKey::Heartbeat, 0, 4, 4),
    api(ApiKey::LeaveGroup, 0, 5, 4),
    api(ApiKey::SyncGroup, 0, 5, 4),
    api(ApiKey::DescribeGroups, 0, 6, 5),
    api(ApiKey::ListGroups, 0, 5, 3),
    api(ApiKey::ApiVersions, 0, 4, 3),
    api(ApiKey::CreateTopics, 2, 7, 5),
    api(ApiKey::DeleteTopics, 1, 6, 4),
    api(ApiKey::InitProducerId, 0, 5, 2),
    api(ApiKey::OffsetForLeaderEpoch, 2, 4, 4),
    api(ApiKey::DescribeConfigs, 1, 4, 4),
    api(ApiKey::AlterConfigs, 0, 2, 2),
    api(ApiKey::DescribeLogDirs, 1, 5, 2),
    api(ApiKey::CreatePartitions, 0, 3, 2),
    api(ApiKey::DeleteGroups, 0, 2, 2),
    api(ApiKey::ElectLeaders, 0, 2, 2),
    api(ApiKey::IncrementalAlterConfigs, 0, 1, 1),
    api(ApiKey::AlterPartitionReassignments, 0, 1, 0),
    api(ApiKey::ListPartitionReassignments, 0, 0, 0),
    api(ApiKey::OffsetDelete, 0, 0, NEVER),
    api(ApiKey::DescribeQuorum, 0, 2, 0),
    api(ApiKey::DescribeCluster, 0, 2, 0),
    api(ApiKey::UnregisterBroker, 0, 0, 0),
    api(ApiKey::DescribeTopicPartitions, 0, 0, 0),
];

/// The oldest Produce that is served; older ones are advertised and refused.
const PRODUCE_SERVED_FROM: i16 = 3;

fn find(api: ApiKey) -> Option<&'static Offered> {
    OFFERED.iter().find(|offered| offered.api == api)
}

/// Whether a request in this version is served.
pub fn offers(api: ApiKey, version: i16) -> bool {
    let min = |offered: &Offered| match api {
        ApiKey::Produce => PRODUCE_SERVED_FROM,
        _ => offered.min,
    };
    find(api).is_some_and(|offered| (min(offered)..=offered.max).contains(&version))
}

fn is_flexible(api: ApiKey, version: i16) -> bool {
    find(api).is_some_and(|offered| version >= offered.flexible_from)
}

/// The version of the request header that goes with an API's version.
pub fn request_header(api: ApiKey, version: i16) -> i16 {
    if is_flexible(api, version) { 2 } else { 1 }
}

/// The version of the response header. ApiVersions always has the first one, since a client reads
/// it before it knows what the broker speaks (KIP-511).
pub fn response_header(api: ApiKey, version: i16) -> i16 {
    i16::from(api != ApiKey::ApiVersions && is_flexible(api, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn produce_is_advertised_from_0_and_refused_before_3() {
        assert_eq!(find(ApiKey::Produce).unwrap().min, 0);
        assert!(!offers(ApiKey::Produce, 2));
        assert!(offers(ApiKey::Produce, 3));
    }

    #[test]
    fn each_api_stands_once_in_the_order_of_keys() {
        assert!(
            OFFERED
                .windows(2)
                .all(|pair| (pair[0].api as i16) < (pair[1].api as i16))
        );
    }
}
