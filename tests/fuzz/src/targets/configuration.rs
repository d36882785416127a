//! `server.properties`, `KAFKA_*` variables, and what a topic sets: an error in words, or a configuration.

use std::collections::BTreeMap;

use broker::config::{Config, properties};

use crate::memory;

/// The table of keys, copied a few times.
const FLOOR: usize = 4 << 20;
const PER_BYTE: usize = 256;

/// The text of a file; after a line of `---`, variables, one a line; after another, settings of a topic.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a configuration", || {
        let (file, rest) = text.split_once("\n---\n").unwrap_or((text, ""));
        let (variables, settings) = rest.split_once("\n---\n").unwrap_or((rest, ""));
        let mut given = properties::parse(file);
        given.extend(properties::from_environment(pairs(variables)));
        match Config::from_map(given) {
            Ok((config, _)) => {
                assert!(config.roles.broker || config.roles.controller);
                assert!(!config.log.dirs.is_empty());
                // Whatever the metadata holds: another version may have put it there.
                let topic = config.topics.resolve(&pairs(settings));
                assert!(topic.min_insync_replicas > 0);
                assert!((0.0..=1.0).contains(&topic.min_cleanable_ratio));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// Of lines with `=`.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    owned.collect()
}
