//! One sink's store while it is verified: asking it, waiting for it where it only lags, and keeping what was found.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::compare::{Expected, compare, is_complete};
use super::dead_letters::DeadLetters;
use super::findings::{Findings, Kind};
use super::report::SinkReport;
use super::source::{Chunk, Range, Topic};
use super::store::{Fields, Loaded, Store};

/// How often a sink that lags is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long sinks are waited for, all waits together. Reading takes nothing of it.
pub struct Patience {
    left: Duration,
}

impl Patience {
    pub fn new(left: Duration) -> Patience {
        Patience { left }
    }

    /// Waits a little, or says that there is no time left.
    async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let begin = Instant::now();
        tokio::time::sleep(ASK_AGAIN.min(self.left)).await;
        self.left = self.left.saturating_sub(begin.elapsed());
        true
    }
}

/// A sink's store, and what was found in it.
pub struct Checked {
    store: Box<dyn Store>,
    pub report: SinkReport,
}

impl Checked {
    pub fn new(store: Box<dyn Store>) -> Checked {
        Checked {
            report: SinkReport::new(store.name()),
            store,
        }
    }

    pub async fn begin(&mut self, topic: &Topic, patience: &mut Patience) {
        loop {
            match self.store.begin(topic).await {
                Ok(problems) => return self.add_structural(problems),
                Err(error) if !patience.wait().await => return self.fail(&error),
                Err(_) => {}
            }
        }
    }

    pub async fn below(&mut self, topic: &Topic, range: Range, patience: &mut Patience) {
        while self.report.unreadable.is_none() {
            match self.store.below(topic, range).await {
                Ok(below) => {
                    let findings = &mut self.report.findings;
                    for offset in below.doubled {
                        findings.add(Kind::Doubled, range.partition, offset, || None);
                    }
                    return self.report.gaps.extend(below.gaps);
                }
                Err(error) if !patience.wait().await => self.fail(&error),
                Err(_) => {}
            }
        }
    }

    /// Compares a chunk with what the store holds, waiting while records are missing and there is time.
    pub async fn check(
        &mut self,
        topic: &Topic,
        partition: i32,
        chunk: &Chunk,
        verified_from: i64,
        letters: &mut DeadLetters,
        patience: &mut Patience,
    ) -> anyhow::Result<()> {
        if self.report.unreadable.is_some() {
            return Ok(());
        }
        let one = |record: &pipeline::Record| {
            (record.offset, self.store.expect(topic, partition, record))
        };
        let expected: Expected = chunk.records.iter().map(one).collect();
        let mut again = false;
        let (stored, dead) = loop {
            let loaded = self
                .store
                .load(topic, partition, chunk.from, chunk.below, again)
                .await;
            let dead = letters.between(self.store.name(), partition, chunk.from, chunk.below);
            match loaded {
                Ok(Loaded { stored, problems }) => {
                    self.add_structural(problems);
                    if is_complete(&expected, &stored, &dead) || !patience.wait().await {
                        break (stored, dead);
                    }
                }
                Err(error) if !patience.wait().await => {
                    self.fail(&error);
                    return Ok(());
                }
                Err(_) => {}
            }
            tokio::task::block_in_place(|| letters.read_on())?;
            again = true;
        };
        self.compare(partition, chunk, verified_from, &expected, stored, &dead);
        Ok(())
    }

    fn compare(
        &mut self,
        partition: i32,
        chunk: &Chunk,
        verified_from: i64,
        expected: &Expected,
        stored: Vec<(i64, Fields)>,
        dead: &BTreeSet<i64>,
    ) {
        // What comes for offsets that were looked at before is a second copy of them.
        let is_late = |stored: &(i64, Fields)| stored.0 < chunk.from;
        let (late, stored): (Vec<_>, Vec<_>) = stored.into_iter().partition(is_late);
        let findings: &mut Findings = &mut self.report.findings;
        for (offset, _) in late.iter().filter(|(offset, _)| *offset >= verified_from) {
            findings.add(Kind::Doubled, partition, *offset, || None);
        }
        let tally = compare(findings, partition, expected, stored, dead);
        self.report.stored += tally.stored;
        self.report.dead += tally.dead;
    }

    fn add_structural(&mut self, problems: Vec<String>) {
        problems
            .into_iter()
            .for_each(|problem| self.report.findings.add_structural(problem));
    }

    /// The store cannot be read: that is a finding, and the other sinks are still verified.
    fn fail(&mut self, error: &anyhow::Error) {
        self.report.unreadable = Some(format!("{error:#}"));
    }
}
