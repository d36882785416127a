//! What verify prints: a table with each finding named below it, or JSON; and its progress meanwhile.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::counters::{Counters, Problem};
use super::findings::{Findings, Kind};
use super::source::{Range, Topic};
use super::store::Gap;
use crate::output::Table;

/// What was found in one sink about one topic.
#[derive(Debug)]
pub struct SinkReport {
    pub name: &'static str,
    pub stored: u64,
    pub dead: u64,
    pub findings: Findings,
    pub gaps: Vec<Gap>,
    /// Why the store could not be read.
    pub unreadable: Option<String>,
}

impl SinkReport {
    pub fn new(name: &'static str) -> SinkReport {
        SinkReport {
            name,
            stored: 0,
            dead: 0,
            findings: Findings::default(),
            gaps: Vec::new(),
            unreadable: None,
        }
    }

    fn lost_to_retention(&self) -> i64 {
        self.gaps.iter().map(|gap| gap.last - gap.first + 1).sum()
    }

    fn as_json(&self) -> Value {
        let gap =
            |gap: &Gap| json!({"partition": gap.partition, "first": gap.first, "last": gap.last});
        json!({
            "sink": self.name, "stored": self.stored, "dead_letters": self.dead,
            "missing": self.findings.count(Kind::Missing), "doubled": self.findings.count(Kind::Doubled),
            "different": self.findings.count(Kind::Different),
            "stored_and_dead_lettered": self.findings.count(Kind::StoredAndDead),
            "not_in_log": self.findings.count(Kind::NotInLog),
            "findings": self.findings.as_json(), "unreadable": self.unreadable,
            "retention_gaps": self.gaps.iter().map(gap).collect::<Vec<_>>(),
        })
    }
}

/// One topic: its log, and every sink.
#[derive(Debug)]
pub struct TopicReport {
    name: String,
    topic_id: String,
    ranges: Vec<Range>,
    pub records: u64,
    /// Offsets that retention took while they were being read.
    pub expired: u64,
    counted: u64,
    counter_problems: Vec<Problem>,
    counter_problem_count: u64,
    pub unreadable_letters: u64,
    pub sinks: Vec<SinkReport>,
}

impl TopicReport {
    pub fn new(topic: &Topic) -> TopicReport {
        TopicReport {
            name: topic.name.clone(),
            topic_id: topic.identity.topic_id.clone(),
            ranges: topic.ranges.clone(),
            records: 0,
            expired: 0,
            counted: 0,
            counter_problems: Vec::new(),
            counter_problem_count: 0,
            unreadable_letters: 0,
            sinks: Vec::new(),
        }
    }

    pub fn add_counters(&mut self, counters: Counters) {
        self.counted += counters.counted;
        self.counter_problem_count += counters.problem_count;
        self.counter_problems.extend(counters.problems);
    }

    fn as_json(&self) -> Value {
        let range = |range: &Range| json!({"partition": range.partition, "start": range.start, "end": range.end});
        json!({
            "topic": self.name, "topic_id": self.topic_id, "records": self.records, "expired_while_reading": self.expired,
            "partitions": self.ranges.iter().map(range).collect::<Vec<_>>(),
            "counters": {
                "checked": self.counted, "problem_count": self.counter_problem_count,
                "problems": self.counter_problems.iter().map(Problem::as_json).collect::<Vec<_>>(),
            },
            "unreadable_dead_letters": self.unreadable_letters,
            "sinks": self.sinks.iter().map(SinkReport::as_json).collect::<Vec<_>>(),
        })
    }
}

#[derive(Debug, Default)]
pub struct Report {
    pub topics: Vec<TopicReport>,
    /// What is wrong beyond single records.
    pub failures: Vec<String>,
}

impl Report {
    /// Adds what follows from the numbers: an empty topic, a sink that holds nothing or cannot be read.
    pub fn judge(&mut self) {
        for topic in &self.topics {
            let name = &topic.name;
            if topic.records == 0 {
                self.failures
                    .push(format!("topic {name} is empty: nothing was proven"));
            }
            for sink in &topic.sinks {
                match &sink.unreadable {
                    Some(reason) => self.failures.push(format!(
                        "{name} -> {}: the store cannot be read: {reason}",
                        sink.name
                    )),
                    None if sink.stored == 0 && topic.records > 0 => {
                        self.failures.push(format!(
                            "{name} -> {}: the sink was never reached, it holds nothing",
                            sink.name
                        ));
                    }
                    None => {}
                }
            }
        }
    }

    /// How many things are wrong: offsets, counters, and failures.
    pub fn problems(&self) -> u64 {
        let of_sink = |sink: &SinkReport| -> u64 {
            let offsets: u64 = sink
                .findings
                .iter()
                .map(|(_, _, offsets)| offsets.count)
                .sum();
            offsets + sink.findings.structural.len() as u64
        };
        let of_topic = |topic: &TopicReport| {
            topic.counter_problem_count + topic.sinks.iter().map(of_sink).sum::<u64>()
        };
        self.topics.iter().map(of_topic).sum::<u64>() + self.failures.len() as u64
    }

    pub fn as_json(&self) -> Value {
        json!({
            "ok": self.problems() == 0, "problems": self.problems(), "failures": self.failures,
            "topics": self.topics.iter().map(TopicReport::as_json).collect::<Vec<_>>(),
        })
    }

    pub fn print(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let header = [
            "TOPIC",
            "SINK",
            "RECORDS",
            "STORED",
            "DEAD LETTERS",
            "MISSING",
            "DOUBLED",
            "DIFFERENT",
            "OTHER",
            "LOST TO RETENTION",
        ];
        let mut table = Table::new(header);
        for topic in &self.topics {
            for sink in &topic.sinks {
                let count = |kind| sink.findings.count(kind);
                let other = count(Kind::StoredAndDead)
                    + count(Kind::NotInLog)
                    + sink.findings.structural.len() as u64;
                table.row([
                    topic.name.clone(),
                    sink.name.to_owned(),
                    topic.records.to_string(),
                    sink.stored.to_string(),
                    sink.dead.to_string(),
                    count(Kind::Missing).to_string(),
                    count(Kind::Doubled).to_string(),
                    count(Kind::Different).to_string(),
                    other.to_string(),
                    sink.lost_to_retention().to_string(),
                ]);
            }
        }
        table.print(out)?;
        self.topics
            .iter()
            .try_for_each(|topic| print_topic(out, topic))?;
        for failure in &self.failures {
            writeln!(out, "FAILED  {failure}")?;
        }
        match self.problems() {
            0 => writeln!(
                out,
                "verified: every record is in every sink, once and as it was"
            )?,
            problems => writeln!(out, "NOT verified: {problems} problems")?,
        }
        Ok(out.flush()?)
    }
}

fn print_topic(out: &mut impl Write, topic: &TopicReport) -> std::io::Result<()> {
    let name = &topic.name;
    writeln!(
        out,
        "{name}: {} counters checked, {} wrong",
        topic.counted, topic.counter_problem_count
    )?;
    for problem in &topic.counter_problems {
        writeln!(out, "{name}: {}", problem.text())?;
    }
    if topic.counter_problem_count > topic.counter_problems.len() as u64 {
        writeln!(out, "{name}: ... and more counters")?;
    }
    if topic.expired > 0 {
        writeln!(
            out,
            "{name}: retention took {} offsets while they were being read; they were not compared",
            topic.expired
        )?;
    }
    if topic.unreadable_letters > 0 {
        writeln!(
            out,
            "{name}: {} dead letters do not say which record of which sink they are",
            topic.unreadable_letters
        )?;
    }
    for sink in &topic.sinks {
        print_sink(out, name, sink)?;
    }
    Ok(())
}

fn print_sink(out: &mut impl Write, topic: &str, sink: &SinkReport) -> std::io::Result<()> {
    let name = sink.name;
    for gap in &sink.gaps {
        let Gap {
            partition,
            first,
            last,
        } = gap;
        writeln!(
            out,
            "{topic} -> {name}: partition {partition}: retention took offsets {first}-{last} before the sink read them"
        )?;
    }
    for (kind, partition, offsets) in sink.findings.iter() {
        writeln!(
            out,
            "{topic} -> {name}: partition {partition}: {}: {}",
            kind.name(),
            offsets.text()
        )?;
        for example in &offsets.examples {
            writeln!(out, "    {example}")?;
        }
    }
    for problem in &sink.findings.structural {
        writeln!(out, "{topic} -> {name}: {problem}")?;
    }
    Ok(())
}

/// Shows on standard error how far verify is: in one line on a terminal, else now and then.
pub struct Progress {
    total: i64,
    done: i64,
    shown: Instant,
    every: Duration,
    is_terminal: bool,
}

impl Progress {
    pub fn start(total: i64) -> Progress {
        let is_terminal = stderr().is_terminal();
        let every = if is_terminal {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(5)
        };
        Progress {
            total,
            done: 0,
            shown: Instant::now(),
            every,
            is_terminal,
        }
    }

    pub fn advance(&mut self, topic: &str, partition: i32, offsets: i64) {
        self.done += offsets;
        if self.shown.elapsed() < self.every {
            return;
        }
        self.shown = Instant::now();
        let percent = self.done.saturating_mul(100) / self.total.max(1);
        let line = format!(
            "verify: {percent:>3}% of {} offsets, at {topic}-{partition}",
            self.total
        );
        match self.is_terminal {
            true => eprint!("\r{line}\x1b[K"),
            false => eprintln!("{line}"),
        }
    }

    pub fn finish(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
