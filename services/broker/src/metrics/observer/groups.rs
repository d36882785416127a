//! The groups coordinated here, with their offsets and lags.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::group::{GroupOverview, Shard, partition_for};
use engine::metadata::Image;
use telemetry::metrics::Page;
use wire::Str;

use super::leaders::Leaders;
use super::{Shared, whole};
use crate::coordinator::OFFSETS_TOPIC;
use crate::metrics::families::{exporter, own, strimzi};

/// How many looks at a log end are remembered per partition.
const HISTORY: usize = 240;

/// Topic and partition.
pub(super) type Name = (Str, i32);

/// A group as it was.
pub(super) struct GroupSeen {
    overview: GroupOverview,
    offsets: Vec<OffsetSeen>,
}

struct OffsetSeen {
    topic: Str,
    partition: i32,
    committed: i64,
    /// None where the log end is not known.
    lag: Option<Lag>,
}

#[derive(Clone, Copy)]
struct Lag {
    records: i64,
    seconds: f64,
}

/// The log ends of partitions that groups read, as they were seen.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<Name, History>);

/// Times and log ends, both growing.
#[derive(Default)]
struct History(VecDeque<(u64, i64)>);

impl History {
    fn push(&mut self, now_ms: u64, end: i64) {
        if self.0.back().is_some_and(|(_, last)| *last > end) {
            // Another log of the same name, or one that lost its end: what was before means nothing now.
            self.0.clear();
        }
        if self.0.len() == HISTORY {
            // Of the older half every second one goes: the further back, the coarser.
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index > HISTORY / 2 || index % 2 == 1
            });
        }
        self.0.push_back((now_ms, end));
    }

    /// Since when there has been something at `offset`, as far as anybody has looked.
    fn passed_ms(&self, offset: i64) -> Option<u64> {
        let at = self.0.partition_point(|(_, end)| *end <= offset);
        let (after_ms, after) = *self.0.get(at)?;
        let Some((before_ms, before)) = at.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return Some(after_ms);
        };
        let share = (offset - before) as f64 / (after - before).max(1) as f64;
        Some(before_ms + ((after_ms - before_ms) as f64 * share) as u64)
    }
}

impl Shared {
    pub(super) async fn look_at_groups(&self, leaders: &mut Leaders) -> Vec<GroupSeen> {
        let shards = self.broker.groups.look_at_loaded(copy);
        let mut groups: Vec<GroupSeen> = shards.into_iter().flatten().collect();
        let known = self.log_ends(&groups, leaders).await;
        let now_ms = self.broker.env.elapsed_ms();
        let mut ends = self.ends.lock();
        for (name, end) in &known {
            ends.0.entry(name.clone()).or_default().push(now_ms, *end);
        }
        let all = groups.iter_mut().flat_map(|group| &mut group.offsets);
        for offset in all {
            let name = (offset.topic.clone(), offset.partition);
            let (Some(end), Some(history)) = (known.get(&name), ends.0.get(&name)) else {
                continue;
            };
            let records = behind(*end, offset.committed);
            let passed = history.passed_ms(offset.committed).unwrap_or(now_ms);
            let seconds = match records {
                0 => 0.0,
                _ => now_ms.saturating_sub(passed) as f64 / 1e3,
            };
            offset.lag = Some(Lag { records, seconds });
        }
        ends.0.retain(|name, _| known.contains_key(name));
        groups
    }

    /// The high watermarks of all partitions that the groups have committed offsets of: this broker's own word where it
    /// has a replica, else the leader's.
    async fn log_ends(&self, groups: &[GroupSeen], leaders: &mut Leaders) -> BTreeMap<Name, i64> {
        let names: BTreeSet<Name> = groups
            .iter()
            .flat_map(|group| &group.offsets)
            .map(|offset| (offset.topic.clone(), offset.partition))
            .collect();
        let mut ends = BTreeMap::new();
        let mut elsewhere = Vec::new();
        for name in names {
            match self.broker.partitions.find(&name.0, name.1) {
                Some(partition) => drop(ends.insert(name, partition.high_watermark().0)),
                None => elsewhere.push(name),
            }
        }
        ends.extend(leaders.ends(&self.broker, &elsewhere).await);
        ends
    }

    pub(super) fn write_groups(&self, page: &mut Page, image: &Image, seen: &[GroupSeen]) {
        let me = Some(self.me());
        let topic = image.topic(OFFSETS_TOPIC);
        let is_here = |group: &str| {
            topic.is_some_and(|topic| {
                let index = partition_for(group, topic.partitions.len() as i32);
                topic.partition(index).is_some_and(|p| p.leader == me)
            })
        };
        let (mut groups, mut offsets) = (0, 0);
        for group in seen.iter().filter(|group| is_here(&group.overview.id)) {
            groups += 1;
            offsets += group.offsets.len();
            group.write(page);
        }
        page.add(&strimzi::GROUPS, &[], whole(groups));
        page.add(&strimzi::GROUP_OFFSETS, &[], whole(offsets));
    }
}

/// How many records a group has before it. A client may commit whatever number it likes.
fn behind(end: i64, committed: i64) -> i64 {
    end.saturating_sub(committed).max(0)
}

fn copy(shard: &Shard) -> Vec<GroupSeen> {
    let groups = shard.overview().map(|overview| {
        let offsets = shard.durable().offsets_of(&overview.id);
        let offsets = offsets.map(|(topic, partition, committed)| OffsetSeen {
            topic: topic.clone(),
            partition,
            committed: committed.offset,
            lag: None,
        });
        GroupSeen {
            offsets: offsets.collect(),
            overview,
        }
    });
    groups.collect()
}

impl GroupSeen {
    fn write(&self, page: &mut Page) {
        let GroupOverview { id, state, members } = &self.overview;
        page.add(&exporter::GROUP_MEMBERS, &[id], whole(*members));
        page.add(&own::GROUP_STATE, &[id, state], 1.0);
        // By topic: what is committed, and the lag where it is known of every partition.
        let mut sums: BTreeMap<&str, (i64, Option<i64>)> = BTreeMap::new();
        for offset in &self.offsets {
            let index = offset.partition.to_string();
            let labels = [id.as_str(), offset.topic.as_str(), index.as_str()];
            page.add(&exporter::GROUP_OFFSET, &labels, offset.committed as f64);
            let sum = sums.entry(&offset.topic).or_insert((0, Some(0)));
            sum.0 = sum.0.saturating_add(offset.committed);
            let both = sum.1.zip(offset.lag);
            sum.1 = both.map(|(sum, lag)| sum.saturating_add(lag.records));
            if let Some(lag) = offset.lag {
                page.add(&exporter::GROUP_LAG, &labels, lag.records as f64);
                page.add(&own::GROUP_LAG_SECONDS, &labels, lag.seconds);
            }
        }
        for (topic, (committed, lag)) in sums {
            page.add(&exporter::GROUP_OFFSET_SUM, &[id, topic], committed as f64);
            if let Some(lag) = lag {
                page.add(&exporter::GROUP_LAG_SUM, &[id, topic], lag as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_an_offset_lies_between_the_looks_that_saw_it_passed() {
        let mut history = History::default();
        history.push(1_000, 100);
        history.push(2_000, 100);
        history.push(3_000, 200);
        assert_eq!(history.passed_ms(50), Some(1_000), "before anybody looked");
        assert_eq!(history.passed_ms(150), Some(2_500));
        assert_eq!(history.passed_ms(200), None, "nothing there yet");
    }

    #[test]
    fn offsets_that_no_log_has_are_shown_too() {
        assert_eq!(behind(10, i64::MIN), i64::MAX);
        assert_eq!(behind(10, i64::MAX), 0);
        let offset = |partition| OffsetSeen {
            topic: "t".into(),
            partition,
            committed: i64::MAX,
            lag: Some(Lag {
                records: i64::MAX,
                seconds: 0.0,
            }),
        };
        let seen = GroupSeen {
            overview: GroupOverview {
                id: "g".into(),
                state: "Empty",
                members: 0,
            },
            offsets: vec![offset(0), offset(1)],
        };
        let registry = telemetry::Registry::new();
        registry.source("groups", move |page: &mut Page| seen.write(page));
        assert!(registry.render().contains("kafka_consumergroup_lag_sum{"));
    }

    #[test]
    fn a_log_that_begins_anew_has_no_past() {
        let mut history = History::default();
        history.push(1_000, 500);
        history.push(2_000, 10);
        assert_eq!(history.passed_ms(5), Some(2_000));
    }

    #[test]
    fn the_past_is_kept_ever_coarser() {
        let mut history = History::default();
        (0..10_000).for_each(|i| history.push(i * 1_000, i as i64));
        assert!(history.0.len() <= HISTORY);
        assert!(history.passed_ms(5_000).is_some_and(|ms| ms < 6_000_000));
    }
}
