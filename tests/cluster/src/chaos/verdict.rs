//! What the checker says of a run's histories, with a last full read and a comparison of the replicas.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

use anyhow::{Context, Result};
use checker::history::{self, Event, Place as At, What};
use checker::{Anomaly, RecordId, Report, Seen};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::clock::now_ns;
use super::field::{Field, TOPICS, places};
use super::histories::{Histories, History};
use super::history::{Line, Place, Told};
use super::raw;
use super::workload::GROUPS;
use crate::topics::{EARLIEST, LATEST};
use crate::{read, replicas, within};

/// How long one of the last questions may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A commit that has waited for so long may have been asked twice. The library asks again as soon as it hears of another
/// coordinator, and gives the connection to the old one up; what stood in that may arrive there whenever the two can be reached
/// again, after the old one has got its office back. No coordinator that is cut off is replaced sooner.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// The events as the checker reads them, in the order of their time, and what else is wrong.
pub struct Evidence {
    pub events: Vec<Event>,
    pub report: Report,
    /// Anomalies that no client has seen.
    pub others: Vec<String>,
}

/// Reads everything once more and judges, with what others have seen. Nothing may be produced any more.
pub fn judge(field: &mut Field, histories: &Histories, seen: Vec<Event>) -> Result<Evidence> {
    let mut events = seen;
    for history in histories.iter() {
        let mut reader = Reader {
            history,
            begins: BTreeMap::new(),
        };
        for line in &history.lines {
            events.extend(reader.before(line));
            events.extend(reader.event(line)?);
        }
    }
    events.sort_by_key(|event| event.at_us);
    events.extend(committed(field)?);
    let at_us = now_ns() / 1000;
    events.extend(final_reads(field, at_us)?);
    let mut others = field.panics();
    for topic in &TOPICS {
        if let Err(error) = replicas::check_identical(&mut field.cluster, topic.name) {
            others.push(format!("replicas of {}: {error:#}", topic.name));
        }
    }
    let report = checker::check(&events);
    let path = field.cluster.directory().join("history.jsonl");
    history::write(&events, &mut BufWriter::new(File::create(path)?))?;
    Ok(Evidence {
        events,
        report,
        others,
    })
}

impl Evidence {
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.report.anomalies
    }
}

fn final_reads(field: &mut Field, at_us: u64) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for topic in &TOPICS {
        for (partition, records) in read::everything(&mut field.cluster, topic.name)? {
            let log_start = field.cluster.offset(topic.name, partition, EARLIEST)?;
            let end = field.cluster.offset(topic.name, partition, LATEST)?;
            let seen = |record: &read::Seen| Seen {
                offset: record.offset,
                record: record.value.parse().ok(),
            };
            let what = What::FinalRead {
                at: At::new(topic.name, partition),
                log_start,
                end,
                records: records.iter().map(seen).collect(),
            };
            let who = "final-read".to_string();
            events.push(Event { at_us, who, what });
        }
    }
    Ok(events)
}

/// What each group has committed in the end, as somebody is told who is no member.
fn committed(field: &mut Field) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for group in GROUPS.into_iter().chain([raw::GROUP]) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", field.cluster.bootstrap())
            .set("group.id", group)
            .create()?;
        let mut asked = TopicPartitionList::new();
        for place in places() {
            asked.add_partition(place.topic, place.partition);
        }
        let sent_us = now_ns() / 1000;
        let answer = within(PATIENCE, "the committed offsets", || {
            let answer = consumer.committed_offsets(asked.clone(), PATIENCE / 3)?;
            Ok(Some(answer))
        })?;
        for element in answer.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            events.push(Event {
                at_us: now_ns() / 1000,
                who: "run".into(),
                what: What::CommittedSeen {
                    group: group.into(),
                    at: At::new(element.topic(), element.partition()),
                    offset,
                    sent_us,
                },
            });
        }
    }
    Ok(events)
}

/// Reads what one client has told.
struct Reader<'a> {
    history: &'a History,
    /// Partitions that were assigned, at what time, and that nothing has come from yet.
    begins: BTreeMap<Place, u64>,
}

impl Reader<'_> {
    /// What a line tells besides: the first record that comes from a partition tells what was committed, as
    /// its offset was asked for after the assignment and no offset is without a record. All commits are above 0.
    fn before(&mut self, line: &Line) -> Option<Event> {
        match &line.told {
            Told::Assigned(places) => {
                let new = places.iter().map(|place| (*place, line.at_ns));
                self.begins.extend(new);
                None
            }
            Told::Revoked(places) => {
                self.begins.retain(|place, _| !places.contains(place));
                None
            }
            Told::Ended => {
                self.begins.clear();
                None
            }
            Told::Polled { from, offset, .. } => {
                let asked_ns = self.begins.remove(from)?;
                Some(Event {
                    at_us: line.at_ns / 1000,
                    who: self.history.client.clone(),
                    what: What::CommittedSeen {
                        group: self.history.group.clone()?,
                        at: At::new(from.topic, from.partition),
                        offset: (*offset > 0).then_some(*offset),
                        sent_us: asked_ns / 1000,
                    },
                })
            }
            Told::Committed { of, next, asked_ns } => {
                let waited = Duration::from_nanos(line.at_ns - asked_ns);
                (waited >= ASKED_AGAIN).then(|| self.committing(*asked_ns, of, *next))
            }
            _ => None,
        }
    }

    /// A commit that was asked for. One that was asked twice has an answer once: the first question may still be under way,
    /// as TCP sends it for as long as nobody takes it, and the member's generation lets it in whenever it arrives.
    fn committing(&self, asked_ns: u64, of: &Place, next: i64) -> Event {
        Event {
            at_us: asked_ns / 1000,
            who: self.history.client.clone(),
            what: What::Committing {
                group: self.history.group.clone().unwrap_or_default(),
                member: self.history.client.clone(),
                generation: -1,
                at: At::new(of.topic, of.partition),
                offset: next,
            },
        }
    }

    fn event(&self, line: &Line) -> Result<Option<Event>> {
        let history = self.history;
        let at = |place: &Place| At::new(place.topic, place.partition);
        let producer = || -> Result<u32> {
            let number = history.client.rsplit('-').next().unwrap_or_default();
            number.parse().context("a producer has a number")
        };
        let member = || history.client.clone();
        let group = || history.group.clone().unwrap_or_default();
        let what = match &line.told {
            Told::Sent { to, counter } => What::Sent {
                at: at(to),
                record: RecordId {
                    producer: producer()?,
                    n: *counter,
                },
                acks: -1,
                idempotent: true,
            },
            Told::Acked {
                to,
                counter,
                offset,
            } => What::Acked {
                at: at(to),
                record: RecordId {
                    producer: producer()?,
                    n: *counter,
                },
                // Below 0 where the answer has not told it: of a repetition, or of a batch that a later answer speaks for.
                offset: (*offset >= 0).then_some(*offset),
            },
            Told::GivenUp { to, counter, why } => What::Refused {
                at: at(to),
                record: RecordId {
                    producer: producer()?,
                    n: *counter,
                },
                error: why.clone(),
                definite: false,
            },
            // librdkafka does not tell the generation: owners are compared in the group of the raw members. What a member reads
            // begins anew.
            Told::Assigned(_) | Told::Revoked(_) | Told::Ended if history.group.is_some() => {
                What::Revoked {
                    group: group(),
                    member: member(),
                }
            }
            Told::Polled {
                from,
                offset,
                record,
            } => What::Polled {
                group: group(),
                member: member(),
                at: at(from),
                from: *offset,
                next: offset + 1,
                records: vec![Seen {
                    offset: *offset,
                    record: record.parse().ok(),
                }],
            },
            Told::Committing { of, next } => {
                return Ok(Some(self.committing(line.at_ns, of, *next)));
            }
            Told::Committed { of, next, asked_ns } => What::Committed {
                group: group(),
                member: member(),
                generation: -1,
                at: at(of),
                offset: *next,
                sent_us: asked_ns / 1000,
            },
            _ => return Ok(None),
        };
        Ok(Some(Event {
            at_us: line.at_ns / 1000,
            who: history.client.clone(),
            what,
        }))
    }
}
