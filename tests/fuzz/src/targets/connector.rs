//! The archiver's file: Kafka Connect's properties as JSON.

use crate::memory;

// The archiver is a program, and its crate brings two SDKs which nothing here needs: so the module itself is compiled.
#[allow(dead_code)]
#[path = "../../../../services/archiver/src/connector/mod.rs"]
mod file;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 256;

/// The text of the file; `${env:NAME}` is found where NAME has an even length.
pub fn connector(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "a connector", || {
        let environment = |name: &str| name.len().is_multiple_of(2).then(|| "value".to_owned());
        match file::Connector::parse(input, environment) {
            Ok(connector) => {
                assert!(!connector.topics.is_empty());
                assert!(connector.flush_size > 0);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
