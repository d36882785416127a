//! Other people's clients and tools against three real brokers.

mod admin;
mod auto_create;
mod codecs;
mod coming_from_kafka;
mod cooperative;
mod cooperative_java;
mod dump_log;
mod franz_go;
mod groups;
mod kafka_tools;
mod millrace;
mod quorum;
mod reassign;
mod secured;
