//! Kafka topics to S3 with the layout of Kafka Connect's S3 sink, exactly once.

fn main() {}
