//! What several APIs say of topics and partitions, seen through one listener.

use engine::ids::BrokerId;
use engine::metadata::{BrokerState, Endpoint, Image, PartitionState};
use wire::ErrorCode;

/// Topics that the brokers write themselves.
pub const INTERNAL: &[&str] = &[
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];
/// The metadata log, which no client may create.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Whether only brokers write the topic.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// The rule for names: they become parts of file names.
pub fn is_valid_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.bytes().all(allowed)
}

/// A broker that clients of the listener can be sent to.
pub fn reachable<'a>(
    image: &'a Image,
    id: BrokerId,
    listener: &str,
) -> Option<(&'a BrokerState, &'a Endpoint)> {
    let broker = image.broker(id).filter(|broker| !broker.fenced)?;
    Some((broker, broker.endpoint(listener)?))
}

/// A partition as a client of one listener sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    /// LEADER_NOT_AVAILABLE, LISTENER_NOT_FOUND or none.
    pub error: ErrorCode,
    /// The leader, where the client can reach it.
    pub leader: BrokerId,
    /// Every replica.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
    /// Those that the client cannot reach.
    pub offline: Vec<i32>,
}

/// Brokers as the protocol has them.
pub fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

/// Looks at a partition through a listener.
pub fn view(image: &Image, partition: &PartitionState, listener: &str) -> View {
    let leader = partition
        .leader
        .filter(|leader| reachable(image, *leader, listener).is_some());
    let error = match (leader, partition.leader) {
        (Some(_), _) => ErrorCode::None,
        (None, Some(unreachable)) if image.is_unfenced(unreachable) => ErrorCode::ListenerNotFound,
        (None, _) => ErrorCode::LeaderNotAvailable,
    };
    let offline = |id: &&BrokerId| reachable(image, **id, listener).is_none();
    View {
        error,
        leader: leader.unwrap_or(BrokerId::NONE),
        replicas: numbers(&partition.replicas),
        isr: numbers(&partition.isr),
        offline: partition
            .replicas
            .iter()
            .filter(offline)
            .map(|id| id.0)
            .collect(),
    }
}

/// The node that clients send admin requests to: the active controller where they can reach it (its image is
/// the newest), else this broker, which passes everything on.
pub fn controller(image: &Image, own: i32, listener: &str) -> i32 {
    let controller = image
        .controller()
        .filter(|id| reachable(image, *id, listener).is_some());
    controller.map_or(own, |id| id.0)
}
