//! Web logs and bakery orders from Kafka into PostgreSQL and OpenSearch, exactly once.

fn main() {}
