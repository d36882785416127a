//! The numbers that Kafka's protocol passes around, each with a type of its own so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                $name(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

number! {
    /// `node.id` of a broker or controller: 0 or greater.
    BrokerId(i32)
}

number! {
    /// A record's position in its partition: 0 or greater.
    Offset(i64)
}

number! {
    /// Counts the leaderships of one partition; grows by one with each new leader. -1 stands for "none" on the wire.
    LeaderEpoch(i32)
}

number! {
    /// An idempotent producer's number. -1 stands for "none" on the wire.
    ProducerId(i64)
}

number! {
    /// Given to a broker at each registration: the metadata log index of that registration, so it only grows (KIP-903).
    BrokerEpoch(i64)
}

number! {
    /// Counts the changes of one partition's state (leader, ISR, replicas); grows by one with each.
    PartitionEpoch(i32)
}

impl BrokerId {
    /// What the protocol says where there is no broker, a partition's missing leader for example.
    pub const NONE: BrokerId = BrokerId(-1);
}

impl LeaderEpoch {
    /// What the protocol says where the epoch is not known.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);

    /// The epoch of the leadership after this one.
    #[must_use]
    pub fn next(self) -> LeaderEpoch {
        LeaderEpoch(self.0 + 1)
    }
}

impl PartitionEpoch {
    /// The epoch of the partition state after this one.
    #[must_use]
    pub fn next(self) -> PartitionEpoch {
        PartitionEpoch(self.0 + 1)
    }
}

impl ProducerId {
    /// What a batch says whose producer is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl Offset {
    /// The offset `count` records further on.
    #[must_use]
    pub fn plus(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }
}
