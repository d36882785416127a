//! Web logs and bakery orders from Kafka into PostgreSQL and OpenSearch, exactly once.
//!
//! [`model`] says what a record must be and what becomes of it (`millrace verify` derives that anew, so that a mistake here
//! cannot hide). Each sink implements [`pipeline::Sink`] and is a consumer group of its own.

pub mod model;
pub mod opensearch;
pub mod postgres;

mod spans;
