//! The generators' counters: per run and partition they rise by one from 0, so that a record which the broker lost or
//! doubled shows.

use std::collections::BTreeMap;

use pipeline::{COUNTER_HEADER, RUN_ID_HEADER, Record};
use serde_json::{Value, json};

/// Runs of one partition that are told apart; a run beyond is counted as unknown.
const MAX_RUNS: usize = 100_000;
/// Findings named one by one.
const MAX_NAMED: usize = 1_000;

/// Checks one partition's counters in offset order.
pub struct Counters {
    partition: i32,
    /// Whether the log's beginning is still there, so that every run must begin at 0.
    is_whole: bool,
    next: BTreeMap<String, u64>,
    pub counted: u64,
    pub problems: Vec<Problem>,
    pub problem_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub partition: i32,
    pub run_id: String,
    pub offset: i64,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Counters that never came, inclusive.
    Missing(u64, u64),
    Repeated(u64),
    Unreadable(String),
}

impl Problem {
    pub fn text(&self) -> String {
        let Problem {
            partition,
            run_id,
            offset,
            what,
        } = self;
        let what = match what {
            What::Missing(first, last) if first == last => format!("counter {first} is missing"),
            What::Missing(first, last) => format!("counters {first}-{last} are missing"),
            What::Repeated(counter) => format!("counter {counter} is repeated"),
            What::Unreadable(text) => format!("counter {text:?} is not a number"),
        };
        format!("partition {partition}, run {run_id}: {what} (at offset {offset})")
    }

    pub fn as_json(&self) -> Value {
        let (kind, first, last) = match &self.what {
            What::Missing(first, last) => ("missing", json!(first), json!(last)),
            What::Repeated(counter) => ("repeated", json!(counter), json!(counter)),
            What::Unreadable(text) => ("unreadable", json!(text), json!(text)),
        };
        json!({
            "partition": self.partition, "run_id": self.run_id, "offset": self.offset,
            "kind": kind, "first": first, "last": last,
        })
    }
}

impl Counters {
    pub fn new(partition: i32, is_whole: bool) -> Counters {
        Counters {
            partition,
            is_whole,
            next: BTreeMap::new(),
            counted: 0,
            problems: Vec::new(),
            problem_count: 0,
        }
    }

    /// Retention took records while they were being read: from here on a run may go on anywhere.
    pub fn forget(&mut self) {
        self.is_whole = false;
        self.next.clear();
    }

    /// Looks at the next record; one that no generator wrote carries no counter.
    pub fn check(&mut self, record: &Record) {
        let (Some(run_id), Some(text)) = (
            record.header_text(RUN_ID_HEADER),
            record.header_text(COUNTER_HEADER),
        ) else {
            return;
        };
        self.counted += 1;
        let Ok(counter) = text.parse::<u64>() else {
            return self.report(run_id, record.offset, What::Unreadable(text.to_owned()));
        };
        let expected = match self.next.get(run_id) {
            Some(next) => *next,
            None if self.is_whole => 0,
            None => counter,
        };
        if counter > expected {
            self.report(run_id, record.offset, What::Missing(expected, counter - 1));
        } else if counter < expected {
            self.report(run_id, record.offset, What::Repeated(counter));
        }
        if self.next.len() < MAX_RUNS || self.next.contains_key(run_id) {
            self.next
                .insert(run_id.to_owned(), expected.max(counter.saturating_add(1)));
        }
    }

    fn report(&mut self, run_id: &str, offset: i64, what: What) {
        self.problem_count += 1;
        if self.problems.len() < MAX_NAMED {
            self.problems.push(Problem {
                partition: self.partition,
                run_id: run_id.to_owned(),
                offset,
                what,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::Header;

    use super::*;

    fn record(offset: i64, run_id: &str, counter: &str) -> Record {
        let header = |name: &str, value: &str| Header {
            name: name.into(),
            value: Some(value.to_owned().into()),
        };
        let headers = vec![
            header(RUN_ID_HEADER, run_id),
            header(COUNTER_HEADER, counter),
        ];
        Record {
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
            headers,
        }
    }

    fn problems(is_whole: bool, records: &[(&str, &str)]) -> Vec<What> {
        let mut counters = Counters::new(0, is_whole);
        for (offset, (run_id, counter)) in records.iter().enumerate() {
            counters.check(&record(offset as i64, run_id, counter));
        }
        counters
            .problems
            .into_iter()
            .map(|problem| problem.what)
            .collect()
    }

    #[test]
    fn runs_may_interleave_but_each_rises_by_one() {
        assert_eq!(
            problems(
                true,
                &[("a", "0"), ("b", "0"), ("a", "1"), ("b", "1"), ("b", "2")]
            ),
            []
        );
        assert_eq!(
            problems(true, &[("a", "0"), ("a", "3"), ("a", "4")]),
            [What::Missing(1, 2)]
        );
        assert_eq!(
            problems(true, &[("a", "0"), ("a", "1"), ("a", "1"), ("a", "2")]),
            [What::Repeated(1)]
        );
        assert_eq!(problems(true, &[("a", "2")]), [What::Missing(0, 1)]);
        assert_eq!(
            problems(true, &[("a", "x")]),
            [What::Unreadable("x".into())]
        );
    }

    #[test]
    fn after_retention_a_run_may_begin_anywhere() {
        assert_eq!(problems(false, &[("a", "17"), ("a", "18")]), []);
        assert_eq!(
            problems(false, &[("a", "17"), ("a", "19")]),
            [What::Missing(18, 18)]
        );
    }

    #[test]
    fn records_without_a_counter_are_left_alone() {
        let mut counters = Counters::new(0, true);
        counters.check(&Record {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        });
        assert_eq!((counters.counted, counters.problem_count), (0, 0));
    }
}
