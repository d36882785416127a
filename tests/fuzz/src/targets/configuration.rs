//! `server.properties` and `KAFKA_*` variables: an error in words, or a configuration.

use broker::config::{Config, properties};

use crate::memory;

/// The table of keys, copied a few times.
const FLOOR: usize = 4 << 20;
const PER_BYTE: usize = 256;

/// The text of a file; after a line of `---`, variables, one a line.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a configuration", || {
        let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
        let mut given = properties::parse(file);
        given.extend(properties::from_environment(
            variables
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ));
        match Config::from_map(given) {
            Ok((config, _)) => {
                assert!(config.roles.broker || config.roles.controller);
                assert!(!config.log.dirs.is_empty());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
