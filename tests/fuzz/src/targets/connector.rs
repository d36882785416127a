//! The archiver's file: Kafka Connect's properties as JSON.

use crate::memory;
use crate::programs::connector::Connector;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 256;

/// The text of the file; `${env:NAME}` is found where NAME has an even length.
pub fn connector(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "a connector", || {
        let environment = |name: &str| name.len().is_multiple_of(2).then(|| "value".to_owned());
        match Connector::parse(input, environment) {
            Ok(connector) => {
                assert!(!connector.topics.is_empty());
                assert!(connector.flush_size > 0);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
