//! A record as the services hold it, and the headers by which a generator's records are counted.

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

/// Header of generated records: the text of the UUID of the generator's run.
pub const RUN_ID_HEADER: &str = "millrace.run.id";
/// Header of generated records: a decimal number per run and partition, from 0 without gaps.
pub const COUNTER_HEADER: &str = "millrace.counter";

/// One record header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Bytes>,
}

/// A record with its place in the partition. It owns its bytes, so it outlives the Kafka client's buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// The record's Kafka timestamp in milliseconds since 1970 (create or log-append time, as the topic has it).
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

impl Record {
    /// Copies the record out of librdkafka's buffer.
    pub fn from_message(message: &BorrowedMessage<'_>) -> Record {
        Record {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: crate::native::headers(message),
        }
    }

    /// About how much memory the record takes, in bytes.
    pub fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|header| size_of::<Header>() + header.name.len() + length(&header.value))
            .sum();
        size_of::<Record>() + length(&self.key) + length(&self.value) + headers
    }

    /// The last header of that name whose value is UTF-8.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .rev()
            .find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }
}
