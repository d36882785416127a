//! Who leads what, looked at all the time by somebody who asks every broker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use checker::history::{Event, Place as At, What};
use wire::Str;
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

use super::clock::now_ns;
use super::field::TOPICS;
use super::pace::Pace;
use crate::client::call_within;

/// How often each broker is asked, and how long it may take.
const PERIOD: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(500);

/// What was seen.
#[derive(Debug, Default)]
pub struct Sight {
    /// How often each broker was seen to lead a partition.
    pub led: BTreeMap<i32, u64>,
    /// Each leader of each leader epoch, where it was seen first.
    pub events: Vec<Event>,
    known: BTreeMap<(At, i32), Vec<i32>>,
}

/// A thread that looks.
#[derive(Debug)]
pub struct Watch {
    pace: Pace,
    thread: Option<JoinHandle<Sight>>,
}

impl Watch {
    pub fn start(addresses: Vec<SocketAddr>) -> Watch {
        let pace = Pace::default();
        let looking = pace.clone();
        let thread = thread::spawn(move || {
            let mut sight = Sight::default();
            while !looking.is_stopped() {
                for address in &addresses {
                    sight.look(*address);
                }
                looking.pause(PERIOD);
            }
            sight
        });
        Watch {
            pace,
            thread: Some(thread),
        }
    }

    /// Ends it, and tells what it has seen.
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
    /// A broker that does not answer has nothing to tell.
    fn look(&mut self, broker: SocketAddr) {
        let topic = |topic: &super::field::Loaded| MetadataRequestTopic {
            name: Some(Str::copy_from(topic.name)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(TOPICS.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let Ok(answer) = call_within(broker, &request, 12, PATIENCE) else {
            return;
        };
        for topic in &answer.topics {
            let Some(name) = &topic.name else { continue };
            for partition in topic.partitions.iter().filter(|p| p.leader_id >= 0) {
                let at = At::new(name, partition.partition_index);
                self.see(at, partition.leader_id, partition.leader_epoch);
            }
        }
    }

    fn see(&mut self, at: At, leader: i32, leader_epoch: i32) {
        *self.led.entry(leader).or_default() += 1;
        let known = self.known.entry((at.clone(), leader_epoch)).or_default();
        if !known.contains(&leader) {
            known.push(leader);
            self.events.push(Event {
                at_us: now_ns() / 1000,
                who: "watch".into(),
                what: What::Leader {
                    at,
                    broker: leader,
                    leader_epoch,
                },
            });
        }
    }
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
        let report = checker::check(&sight.events);
        assert_eq!(report.by_kind().len(), 1, "{:?}", report.anomalies);
    }
}
