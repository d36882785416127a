//! The bit fields of allowed operations. Without an authorizer every operation that a resource has is allowed.

/// A field that was not asked for.
pub const NOT_ASKED: i32 = i32::MIN;
/// Read, write, create, delete, alter, describe, describe configs, alter configs.
const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// Create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

/// What a client may do with a topic, if it asked.
pub fn on_topic(asked: bool) -> i32 {
    if asked { TOPIC } else { NOT_ASKED }
}

/// What a client may do with the cluster, if it asked.
pub fn on_cluster(asked: bool) -> i32 {
    if asked { CLUSTER } else { NOT_ASKED }
}

/// Each operation is the bit of its code in Kafka's AclOperation.
const fn bits(codes: &[i32]) -> i32 {
    let (mut all, mut i) = (0, 0);
    while i < codes.len() {
        all |= 1 << codes[i];
        i += 1;
    }
    all
}
