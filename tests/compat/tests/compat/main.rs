//! Other people's clients and Apache Kafka's own tools against three brokers.

mod admin;
