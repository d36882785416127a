//! An entry of the log, in each layout that it has had.

use openraft::{EntryPayload, Membership};
use serde::Deserialize;

use engine::metadata::Command;

use crate::quorum::codec::{Error, Layout, decode_body};
use crate::quorum::types::{Entry, LogId, Member};

impl Layout for Entry {
    const NAME: &'static str = "entry of the metadata log";
    /// The third and later ones have further commands.
    const VERSION: u8 = 5;

    fn version(&self) -> u8 {
        layout(self)
    }

    fn decode_older(version: u8, body: &[u8]) -> Option<Result<Entry, Error>> {
        match version {
            1 => Some(decode_body::<Entry, EntryV1>(version, body).map(Entry::from)),
            2..=4 => Some(decode_body::<Entry, Entry>(version, body)),
            _ => None,
        }
    }
}

/// The oldest layout that has the entry's command.
pub fn layout(entry: &Entry) -> u8 {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.command.layout(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 2,
    }
}

/// The layout before commands became proposals.
#[derive(Deserialize)]
struct EntryV1 {
    log_id: LogId,
    payload: PayloadV1,
}

#[derive(Deserialize)]
enum PayloadV1 {
    Blank,
    Normal(Command),
    Membership(Membership<u64, Member>),
}

impl From<EntryV1> for Entry {
    fn from(old: EntryV1) -> Entry {
        let payload = match old.payload {
            PayloadV1::Blank => EntryPayload::Blank,
            PayloadV1::Normal(command) => EntryPayload::Normal(command.into()),
            PayloadV1::Membership(membership) => EntryPayload::Membership(membership),
        };
        Entry {
            log_id: old.log_id,
            payload,
        }
    }
}
