//! What happened, as clients saw it: events in the order of their time, as JSON lines.
//!
//! Times are microseconds of the clock that all who write into one history share. An event that tells an answer has the
//! time of the answer, and in `sent_us` that of the request: what happened on the broker happened in between.

use std::fmt;
use std::io::{BufRead, Write};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Which record it is: unique in a history. Its text, `p7:12`, begins the record's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Of the producer; one that is started anew has another.
    pub producer: u32,
    /// Counts a producer's records of one partition, in the order in which it sends them.
    pub n: u64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}:{}", self.producer, self.n)
    }
}

impl FromStr for RecordId {
    type Err = anyhow::Error;

    /// Reads it off the beginning of a value: what comes after a space is the workload's own.
    fn from_str(value: &str) -> anyhow::Result<RecordId> {
        let text = value.split(' ').next().unwrap_or(value);
        let (producer, n) = text
            .strip_prefix('p')
            .and_then(|rest| rest.split_once(':'))
            .with_context(|| format!("{text:?} is no record of a workload"))?;
        Ok(RecordId {
            producer: producer.parse()?,
            n: n.parse()?,
        })
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
}

impl Place {
    pub fn new(topic: &str, partition: i32) -> Place {
        Place {
            topic: topic.to_string(),
            partition,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record that somebody was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub offset: i64,
    /// None for a record that no producer of the history has sent.
    pub record: Option<RecordId>,
}

/// A record on a replica, as compaction sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    pub offset: i64,
    /// The digest of its key.
    pub key: u64,
    /// The digest of all that is in it.
    pub digest: u64,
    /// It has no value.
    pub tombstone: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A producer hands a record over for the first time.
    Sent {
        at: Place,
        record: RecordId,
        /// -1, 1 or 0.
        acks: i16,
        idempotent: bool,
    },
    /// It is acknowledged, with its offset if the answer told it.
    Acked {
        at: Place,
        record: RecordId,
        offset: Option<i64>,
    },
    /// The producer gives it up. `definite`: it was certainly not written.
    Refused {
        at: Place,
        record: RecordId,
        error: String,
        definite: bool,
    },
    /// A fetch without a group was answered.
    Fetched {
        at: Place,
        /// The leader epoch that the request named, if it did: only a leader of that epoch answers.
        leader_epoch: Option<i32>,
        sent_us: u64,
        /// The offset that was asked for.
        from: i64,
        /// Where the reader goes on.
        next: i64,
        high_watermark: i64,
        log_start: i64,
        records: Vec<Seen>,
    },
    /// ListOffsets was answered for the latest offset.
    Latest {
        at: Place,
        leader_epoch: Option<i32>,
        sent_us: u64,
        offset: i64,
    },
    /// ListOffsets was answered for the earliest offset.
    Earliest { at: Place, offset: i64 },
    /// All that there is to read, after everything is healed and nothing is produced any more.
    FinalRead {
        at: Place,
        log_start: i64,
        /// The offset behind the last one that can be read.
        end: i64,
        records: Vec<Seen>,
    },
    /// A member of a group is given these partitions, in place of all that it had.
    Assigned {
        group: String,
        member: String,
        generation: i32,
        places: Vec<Place>,
    },
    /// It has given up all of its partitions, or knows that it has lost them.
    Revoked { group: String, member: String },
    /// It begins to read a partition at the group's committed offset, or at the log's start where there is none.
    Began {
        group: String,
        member: String,
        at: Place,
        committed: Option<i64>,
        sent_us: u64,
        from: i64,
    },
    /// It was given records and goes on at `next`.
    Polled {
        group: String,
        member: String,
        at: Place,
        from: i64,
        next: i64,
        records: Vec<Seen>,
    },
    /// It commits an offset.
    Committing {
        group: String,
        member: String,
        generation: i32,
        at: Place,
        offset: i64,
    },
    /// The commit that it asked for at `sent_us` is acknowledged.
    Committed {
        group: String,
        member: String,
        generation: i32,
        at: Place,
        offset: i64,
        sent_us: u64,
    },
    /// The group's offset of a partition, as somebody was told who asked at `sent_us`.
    CommittedSeen {
        group: String,
        at: Place,
        offset: Option<i64>,
        sent_us: u64,
    },
    /// A broker led a partition in an epoch, as its log or its clients tell.
    Leader {
        at: Place,
        broker: i32,
        leader_epoch: i32,
    },
    /// What one replica holds below its high watermark, at the end: (base offset, next offset, digest) of each batch.
    Replica {
        at: Place,
        broker: i32,
        log_start: i64,
        high_watermark: i64,
        /// Below it compaction may have removed something, here or where this was copied from.
        #[serde(default)]
        cleaned: i64,
        batches: Vec<(i64, i64, u64)>,
        /// Of a compacted log, what is there of each key.
        #[serde(default)]
        records: Vec<Keyed>,
    },
    /// From now on what lies below may be gone: retention or a deletion has taken it.
    Start { at: Place, log_start: i64 },
    /// From now on, what has been sent longer ago than this may be gone: retention takes it when it likes.
    Retention { at: Place, keeps_us: u64 },
    /// Its topic is being deleted: nothing is promised of it any more, and nobody has to read it at the end.
    Deleted { at: Place },
    /// Somebody has asked for an unclean election of it, or its settings allow one: committed records may be gone.
    MayLose { at: Place, why: String },
    /// Its log is compacted: of each key only the newest record needs be there.
    Compacted { at: Place },
    /// A record that is sent has this key.
    Keyed {
        at: Place,
        record: RecordId,
        key: u64,
    },
    /// A record that is sent belongs to a transaction, whose number is unique in the history.
    InTransaction {
        at: Place,
        record: RecordId,
        transaction: u64,
    },
    /// A producer asks for the end of a transaction. Without an answer its end is not known.
    EndingTransaction { transaction: u64, commit: bool },
    /// The end that it asked for is acknowledged.
    TransactionEnded { transaction: u64, commit: bool },
    /// A fetch of committed records only was answered.
    FetchedCommitted {
        at: Place,
        sent_us: u64,
        from: i64,
        next: i64,
        records: Vec<Seen>,
    },
    /// The index of the newest metadata that a broker has applied, as it shows it at this moment.
    MetadataSeen {
        broker: i32,
        /// Another one after each start.
        incarnation: u64,
        index: u64,
    },
    /// Anything else for the story: a fault begins or ends.
    Note { text: String },
}

/// What happened, when, as whom it happened to tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at_us: u64,
    pub who: String,
    #[serde(flatten)]
    pub what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at_us / 1000;
        write!(f, "{ms:>8} ms {:<12} ", self.who)?;
        match &self.what {
            What::Note { text } => f.write_str(text),
            what => write!(f, "{what:?}"),
        }
    }
}

/// Takes events down; clones write into the same history.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Recorder {
    /// Adds an event. The caller tells the time, which does not go back.
    pub fn record(&self, at_us: u64, who: &str, what: What) {
        let who = who.to_string();
        self.0.lock().push(Event { at_us, who, what });
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }
}

/// Writes events as JSON lines.
pub fn write(events: &[Event], to: &mut impl Write) -> anyhow::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *to, event)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads what [`write()`] has written.
pub fn read(from: impl BufRead) -> anyhow::Result<Vec<Event>> {
    let parse = |(number, line): (usize, std::io::Result<String>)| {
        let line = line?;
        serde_json::from_str(&line).with_context(|| format!("line {}", number + 1))
    };
    from.lines().enumerate().map(parse).collect()
}
