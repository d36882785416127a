//! The codec as a whole: against another implementation, against hostile bytes, against Kafka's own classes.

mod hostile;
mod java;
mod kafka_protocol;
mod recode;
