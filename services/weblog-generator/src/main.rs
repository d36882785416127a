//! Fake web-server logs into Kafka: visitors, sessions, a daily rhythm and incidents.

fn main() {}
