//! Kafka's wire protocol: messages, record-batch views and error codes.
