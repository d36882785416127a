//! Who leads what and how far each broker's metadata is, looked at all the time by somebody who asks every broker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use checker::history::{Event, Place as At, What};
use wire::Str;
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

use super::clock::now_ns;
use super::field::TOPICS;
use super::pace::Pace;
use crate::client::call_within;
use crate::{http, within};

/// How often each broker is asked, and how long it may take.
const PERIOD: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the last look may take, for which every broker has to answer.
const LAST: Duration = Duration::from_secs(30);
/// When a broker's process was started, and what it has applied of the metadata log: looked at by itself once a second.
const STARTED: &str = "process_start_time_seconds";
const APPLIED: &str = "millrace_quorum_applied_index";

/// A broker, and where it answers.
#[derive(Debug, Clone, Copy)]
pub struct Broker {
    pub id: i32,
    pub address: SocketAddr,
    pub http: SocketAddr,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Sight {
    /// How often each broker was seen to lead a partition.
    pub led: BTreeMap<i32, u64>,
    pub events: Vec<Event>,
    /// Each leader of each leader epoch.
    known: BTreeMap<(At, i32), Vec<i32>>,
}

/// A thread that looks.
#[derive(Debug)]
pub struct Watch {
    pace: Pace,
    thread: Option<JoinHandle<Sight>>,
}

impl Watch {
    pub fn start(brokers: Vec<Broker>) -> Watch {
        let pace = Pace::default();
        let looking = pace.clone();
        let thread = thread::spawn(move || {
            let mut sight = Sight::default();
            while !looking.is_stopped() {
                for broker in &brokers {
                    // A broker that does not answer has nothing to tell.
                    let _ = sight.look(broker);
                }
                looking.pause(PERIOD);
            }
            sight.look_last(&brokers);
            sight
        });
        Watch {
            pace,
            thread: Some(thread),
        }
    }

    /// Ends it, when all clients have ended, and tells what it has seen.
    pub fn finish(mut self) -> Sight {
        self.pace.stop();
        let thread = self.thread.take().expect("finished once");
        thread.join().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pace.stop();
    }
}

impl Sight {
    fn look(&mut self, broker: &Broker) -> Result<()> {
        let topic = |topic: &super::field::Loaded| MetadataRequestTopic {
            name: Some(Str::copy_from(topic.name)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(TOPICS.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer = call_within(broker.address, &request, 12, PATIENCE)?;
        for topic in &answer.topics {
            let Some(name) = &topic.name else { continue };
            for partition in topic.partitions.iter().filter(|p| p.leader_id >= 0) {
                let at = At::new(name, partition.partition_index);
                self.see(at, partition.leader_id, partition.leader_epoch);
            }
        }
        let page = http::get_within(broker.http, "/metrics", PATIENCE)?;
        self.see_metadata(broker.id, &page);
        Ok(())
    }

    /// Who leads is told only now: from when on an epoch is known, its leader answers for all that is acknowledged, and a broker
    /// that knows of it may still follow the one before. What has led until now, by at least its own word, is known by then.
    fn look_last(&mut self, brokers: &[Broker]) {
        for broker in brokers {
            // One that is gone for good is an anomaly of its own.
            let _ = within(LAST, "the last look", || self.look(broker).map(Some));
        }
        let at_us = now_ns() / 1000;
        for ((at, leader_epoch), leaders) in &self.known {
            self.events.extend(leaders.iter().map(|broker| Event {
                at_us,
                who: "watch".into(),
                what: What::Leader {
                    at: at.clone(),
                    broker: *broker,
                    leader_epoch: *leader_epoch,
                },
            }));
        }
    }

    fn see(&mut self, at: At, leader: i32, leader_epoch: i32) {
        *self.led.entry(leader).or_default() += 1;
        let known = self.known.entry((at, leader_epoch)).or_default();
        if !known.contains(&leader) {
            known.push(leader);
        }
    }

    /// Both numbers are of one process, as they stand on one page.
    fn see_metadata(&mut self, broker: i32, page: &str) {
        let (Some(started), Some(applied)) = (number(page, STARTED), number(page, APPLIED)) else {
            return;
        };
        self.events.push(Event {
            at_us: now_ns() / 1000,
            who: "watch".into(),
            what: What::MetadataSeen {
                broker,
                // The kernel counts in hundredths of a second.
                incarnation: (started * 100.0).round() as u64,
                index: applied as u64,
            },
        });
    }
}

/// The value of a metric without labels.
fn number(page: &str, name: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| line.strip_prefix(name));
    let mut values = values.filter_map(|rest| rest.strip_prefix(' '));
    values.next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_of_one_epoch_are_told() {
        let (mut sight, at) = (Sight::default(), At::new("chaos", 0));
        for leader in [1, 1, 2] {
            sight.see(at.clone(), leader, 7);
        }
        assert_eq!(sight.led, BTreeMap::from([(1, 2), (2, 1)]));
        sight.look_last(&[]);
        let report = checker::check(&sight.events);
        assert_eq!(report.by_kind().len(), 1, "{:?}", report.anomalies);
    }
    #[test]
    fn metadata_that_goes_back_is_told_within_one_life_of_a_process() {
        let page = |started: &str, applied: u64| {
            format!(
                "# TYPE {APPLIED} gauge\n{APPLIED}_other 9\n{APPLIED} {applied}\n{STARTED} {started}\n"
            )
        };
        let found = |pages: [String; 2]| {
            let mut sight = Sight::default();
            pages.iter().for_each(|page| sight.see_metadata(1, page));
            assert_eq!(sight.events.len(), 2);
            checker::check(&sight.events).anomalies.len()
        };
        let first = || page("1764569324.07", 12);
        assert_eq!(found([first(), page("1764569324.07", 11)]), 1);
        assert_eq!(found([first(), page("1764569324.08", 11)]), 0);
        assert_eq!(found([first(), page("1764569324.07", 12)]), 0);
    }
}
