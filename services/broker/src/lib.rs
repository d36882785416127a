//! A Kafka-compatible broker: replicated, with no JVM and no ZooKeeper.
