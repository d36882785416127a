//! Invariant 4: replicas agree below the high watermark.

use crate::broker::Broker;

pub fn check(brokers: &[Broker]) {
    for (n, one) in brokers.iter().enumerate() {
        for other in &brokers[n + 1..] {
            let (Some(a), Some(b)) = (&one.life, &other.life) else {
                continue;
            };
            let below = a.replica.high_watermark().min(b.replica.high_watermark()).0;
            let committed = |broker: &Broker| {
                broker
                    .disk
                    .batches
                    .partition_point(|b| b.next_offset() <= below)
            };
            assert_eq!(
                one.disk.batches[..committed(one)],
                other.disk.batches[..committed(other)],
                "brokers {} and {} differ below {below}",
                one.id,
                other.id
            );
        }
    }
}
