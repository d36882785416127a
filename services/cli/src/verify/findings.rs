//! What verify found, gathered in bounded memory: neighbouring offsets make one range.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Ranges kept for one kind of finding in one partition; the count goes on beyond.
const MAX_RANGES: usize = 10_000;
/// Explanations kept for one kind of finding in one partition.
const MAX_EXAMPLES: usize = 20;

/// What can be wrong with one record in one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Neither stored nor dead-lettered.
    Missing,
    /// Stored more than once.
    Doubled,
    /// Stored, but not as the record says.
    Different,
    /// Stored and dead-lettered by the same sink.
    StoredAndDead,
    /// Stored or dead-lettered, though the log has no such record.
    NotInLog,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Doubled => "doubled",
            Kind::Different => "different",
            Kind::StoredAndDead => "stored and dead-lettered",
            Kind::NotInLog => "not in the log",
        }
    }
}

/// The findings of one kind in one partition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Offsets {
    pub count: u64,
    /// Inclusive.
    pub ranges: Vec<(i64, i64)>,
    pub examples: Vec<String>,
}

impl Offsets {
    pub fn add(&mut self, offset: i64, example: impl FnOnce() -> Option<String>) {
        self.count += 1;
        let has_room = self.ranges.len() < MAX_RANGES;
        match self.ranges.last_mut() {
            Some((first, last)) if *first <= offset && offset <= *last => {}
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ if has_room => self.ranges.push((offset, offset)),
            _ => {}
        }
        if self.examples.len() < MAX_EXAMPLES
            && let Some(example) = example()
        {
            self.examples.push(format!("offset {offset}: {example}"));
        }
    }

    /// `5, 7-9`.
    pub fn text(&self) -> String {
        let texts = self.ranges.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let mut text = texts.collect::<Vec<_>>().join(", ");
        if self.ranges.len() >= MAX_RANGES {
            text.push_str(", ...");
        }
        text
    }
}

/// A sink's findings in one topic.
#[derive(Debug, Default)]
pub struct Findings {
    of: BTreeMap<(Kind, i32), Offsets>,
    /// What is wrong with the store as a whole, such as a hole in the chain of objects.
    pub structural: Vec<String>,
}

impl Findings {
    pub fn add(
        &mut self,
        kind: Kind,
        partition: i32,
        offset: i64,
        example: impl FnOnce() -> Option<String>,
    ) {
        self.of
            .entry((kind, partition))
            .or_default()
            .add(offset, example);
    }

    pub fn add_structural(&mut self, problem: String) {
        if self.structural.len() < MAX_EXAMPLES {
            self.structural.push(problem);
        }
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.of
            .iter()
            .filter(|((of, _), _)| *of == kind)
            .map(|(_, offsets)| offsets.count)
            .sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Kind, i32, &Offsets)> {
        self.of
            .iter()
            .map(|((kind, partition), offsets)| (*kind, *partition, offsets))
    }

    pub fn as_json(&self) -> Value {
        let one = |(kind, partition, offsets): (Kind, i32, &Offsets)| {
            json!({
                "kind": kind.name(), "partition": partition, "count": offsets.count,
                "offsets": offsets.ranges, "examples": offsets.examples,
            })
        };
        json!({"offsets": self.iter().map(one).collect::<Vec<_>>(), "structural": self.structural})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_range_and_every_one_is_counted() {
        let mut findings = Findings::default();
        for offset in [3, 4, 5, 5, 9] {
            findings.add(Kind::Missing, 0, offset, || None);
        }
        findings.add(Kind::Different, 1, 7, || Some("ip".into()));
        assert_eq!(
            (
                findings.count(Kind::Missing),
                findings.count(Kind::Different)
            ),
            (5, 1)
        );
        let texts: Vec<String> = findings
            .iter()
            .map(|(_, _, offsets)| offsets.text())
            .collect();
        assert_eq!(texts, ["3-5, 9", "7"]);
    }

    #[test]
    fn a_store_that_is_wrong_everywhere_fills_no_memory() {
        let mut findings = Findings::default();
        (0..100_000).for_each(|n| findings.add(Kind::Missing, 0, 2 * n, || Some("x".into())));
        let (_, _, offsets) = findings.iter().next().expect("one kind");
        assert_eq!(
            (offsets.count, offsets.ranges.len(), offsets.examples.len()),
            (100_000, MAX_RANGES, MAX_EXAMPLES)
        );
    }
}
