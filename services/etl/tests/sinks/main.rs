//! Each sink against its real store and real brokers: moved positions, poison among neighbours, gaps, other topics.
//!
//! `KAFKA_BOOTSTRAP_SERVERS=... DATABASE_URL=... OPENSEARCH_URL=... cargo test -p etl --test sinks -- --ignored`

mod cut;
mod opensearch;
mod postgres;
mod scene;
