//! What generators and services count, looked at once a second by a thread of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::chaos::{Pace, Progress};
use cluster::http;

const PERIOD: Duration = Duration::from_secs(1);

/// What is known of all processes together.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Records that the generators have had acknowledged.
    pub acknowledged: u64,
    /// Of each sink: how many partitions the instances have between them, and how many records they are behind.
    pub behind: BTreeMap<String, Behind>,
    /// Of each sink: rebalances, as each instance counts them.
    pub rebalances: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    pub partitions: usize,
    pub records: u64,
}

/// The thread, and what it has seen last.
#[derive(Debug)]
pub struct Watch {
    pace: Pace,
    seen: Arc<Mutex<Sight>>,
    _thread: JoinHandle<()>,
}

impl Watch {
    pub fn start(
        generators: Vec<SocketAddr>,
        services: Vec<SocketAddr>,
        progress: Progress,
    ) -> Watch {
        let pace = Pace::default();
        let seen = Arc::<Mutex<Sight>>::default();
        let (looking, shared) = (pace.clone(), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            let mut counters = Counters::default();
            while !looking.is_stopped() {
                let sight = counters.look(&generators, &services);
                progress.show(&sight.text());
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = sight;
                looking.pause(PERIOD);
            }
        });
        Watch {
            pace,
            seen,
            _thread: thread,
        }
    }

    pub fn sight(&self) -> Sight {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pace.stop();
    }
}

impl Sight {
    /// In a few words, for who waits.
    pub fn text(&self) -> String {
        let behind = self.behind.iter();
        let behind: Vec<String> = behind
            .map(|(sink, behind)| format!("{sink} {}", behind.records))
            .collect();
        let lag = match behind.is_empty() {
            true => "nobody reads".to_owned(),
            false => format!("behind: {}", behind.join(", ")),
        };
        format!("{} acknowledged; {lag}", self.acknowledged)
    }

    /// Whether these sinks have all of `partitions`, and everything of them.
    pub fn is_drained(&self, sinks: &[&str], partitions: usize) -> bool {
        let all = Behind {
            partitions,
            records: 0,
        };
        sinks
            .iter()
            .all(|sink| self.behind.get(*sink) == Some(&all))
    }
}

/// What has been counted so far, by processes that begin at nothing when they are started again.
#[derive(Debug, Default)]
struct Counters {
    acknowledged: u64,
    last: BTreeMap<(SocketAddr, String), u64>,
    rebalances: BTreeMap<String, u64>,
}

impl Counters {
    fn look(&mut self, generators: &[SocketAddr], services: &[SocketAddr]) -> Sight {
        let mut sum = 0;
        for address in generators {
            let text = http::get(*address, "/metrics").unwrap_or_default();
            let samples = samples(&text, "millrace_generator_acked_counter");
            sum += samples.iter().map(|(_, value)| value).sum::<u64>();
        }
        // A generator that does not answer is no step back.
        self.acknowledged = self.acknowledged.max(sum);
        let mut sight = Sight {
            acknowledged: self.acknowledged,
            ..Sight::default()
        };
        for address in services {
            // A place that is empty refuses.
            let text = http::get(*address, "/metrics").unwrap_or_default();
            for (sink, records) in samples(&text, "millrace_sink_lag_records") {
                let behind = sight.behind.entry(sink).or_default();
                behind.partitions += 1;
                behind.records += records;
            }
            for (sink, count) in samples(&text, "millrace_sink_rebalances_total") {
                self.count(*address, sink, count);
            }
        }
        sight.rebalances.clone_from(&self.rebalances);
        sight
    }

    fn count(&mut self, address: SocketAddr, sink: String, count: u64) {
        let last = self.last.insert((address, sink.clone()), count);
        let before = last.filter(|before| *before <= count).unwrap_or(0);
        *self.rebalances.entry(sink).or_default() += count - before;
    }
}

/// The samples of a family: the label `sink`, which is empty where there is none, and the value.
fn samples(text: &str, family: &str) -> Vec<(String, u64)> {
    let sample = |line: &str| {
        let labels = line.strip_prefix(family)?.strip_prefix('{')?;
        let sink = labels.split("sink=\"").nth(1).unwrap_or_default();
        let sink = sink.split('"').next().unwrap_or_default();
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        Some((sink.to_owned(), value.max(0.0) as u64))
    };
    text.lines().filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_their_family_and_told_by_their_sink() {
        let text = "# HELP a_total x\na_total{sink=\"s3\",topic=\"t\"} 7\nab_total{sink=\"s3\"} 9\na_total{sink=\"postgres\"} 1.0\n";
        let expected = vec![("s3".to_owned(), 7), ("postgres".to_owned(), 1)];
        assert_eq!(samples(text, "a_total"), expected);
    }

    #[test]
    fn a_process_that_was_started_again_counts_on() {
        let mut counters = Counters::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for count in [2, 5, 1, 1, 3] {
            counters.count(address, "s3".into(), count);
        }
        assert_eq!(counters.rebalances["s3"], 5 + 3);
    }

    #[test]
    fn drained_is_who_has_every_partition_and_nothing_left_of_them() {
        let sight = |partitions, records| Sight {
            behind: BTreeMap::from([(
                "s3".to_owned(),
                Behind {
                    partitions,
                    records,
                },
            )]),
            ..Sight::default()
        };
        assert!(sight(12, 0).is_drained(&["s3"], 12));
        assert!(!sight(12, 1).is_drained(&["s3"], 12));
        assert!(!sight(6, 0).is_drained(&["s3"], 12));
        assert!(!sight(12, 0).is_drained(&["s3", "postgres"], 12));
    }
}
