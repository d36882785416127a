//! One run, from the start of the brokers to the verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use checker::Kind as Broken;
use serde_json::json;

use super::clock::{between, now_ns};
use super::faults;
use super::field::{BROKERS, Field};
use super::histories::Histories;
use super::history::Place;
use super::java::Java;
use super::kind::Kind;
use super::pace::Pace;
use super::schedule::{Churn, Schedule, Step};
use super::verdict::{Evidence, judge};
use super::watch::Watch;
use super::workload::{CONSUMERS, GROUPS, Workload};
use crate::topics::LATEST;

/// Records acknowledged in each second of a run, below which it does not count: a tenth of what is sent.
pub const LEAST_PER_SECOND: u64 = 30;
/// How long the load may take to go on after a fault, and groups to read to the end.
const GOES_ON: Duration = Duration::from_secs(120);

/// What is chosen about a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub duration: Duration,
    pub seed: u64,
}

/// A broker was hurt so that it cannot lead on: when, and what it led.
#[derive(Debug)]
struct Loss {
    at_ns: u64,
    places: Vec<Place>,
}

/// What a run has come to.
#[derive(Debug, Default)]
pub struct Summary {
    seed: u64,
    /// How long faults were to go on, and how long they did.
    asked_s: u64,
    seconds: u64,
    faults: BTreeMap<Kind, usize>,
    acked: u64,
    polled: u64,
    committed: u64,
    lost: usize,
    duplicated: usize,
    reordered: usize,
    others: Vec<String>,
    /// Consumers that their client library has given up on.
    anew: usize,
    first_acks: Vec<Duration>,
    led: BTreeMap<i32, u64>,
    /// Why the run does not count.
    lacking: Vec<String>,
    story: String,
    kept: Option<PathBuf>,
}

/// Runs until the time is over, or `pace` is stopped.
pub fn run(options: &Options, pace: Pace) -> Result<Summary> {
    if let Some(lacking) = Field::lacking() {
        bail!("this system lacks {lacking}");
    }
    let mut run = Run {
        field: Field::prepare(pace.clone())?,
        began: Instant::now(),
        losses: Vec::new(),
        summary: Summary {
            seed: options.seed,
            asked_s: options.duration.as_secs(),
            ..Summary::default()
        },
    };
    let outcome = run.whole(options);
    if outcome.is_err() || !run.summary.is_clean() {
        let place = run.field.keep()?;
        eprintln!("kept: {}", place.display());
        run.summary.kept = Some(place);
    }
    outcome.with_context(|| format!("seed {}", options.seed))?;
    Ok(run.summary)
}

struct Run {
    field: Field,
    began: Instant,
    losses: Vec<Loss>,
    summary: Summary,
}

impl Run {
    fn whole(&mut self, options: &Options) -> Result<()> {
        self.field.start()?;
        let place = self.field.cluster.directory().join("clients");
        let java = self.java()?;
        let mut load = Workload::start(&place, &self.field.cluster.bootstrap(), java.as_ref())?;
        let addresses = self.field.cluster.nodes.iter().map(|node| node.address);
        let watch = Watch::start(addresses.collect());
        self.goes_on(&mut load)?;
        let kinds = Kind::wanted_in(options.duration);
        self.began = Instant::now();
        for step in Schedule::new(options.seed, kinds, BROKERS, CONSUMERS) {
            if self.began.elapsed() >= options.duration || self.field.pace.is_stopped() {
                break;
            }
            self.step(&step, &mut load)?;
        }
        self.summary.seconds = self.began.elapsed().as_secs();
        if self.field.pace.is_stopped() {
            self.summary.lacking.push("it was interrupted".into());
            return Ok(());
        }
        self.say(
            "the faults are over: the last records, a full read, a comparison of the replicas",
        );
        load.end_producers(&self.field.pace)?;
        self.field.wait_whole()?;
        self.read_to_the_end(&mut load)?;
        load.end_consumers(&self.field.pace)?;
        load.histories.read()?;
        let sight = watch.finish();
        self.summary.led = sight.led;
        let evidence = judge(&mut self.field, &load.histories, sight.events)?;
        self.conclude(&load.histories, &evidence, kinds);
        Ok(())
    }

    /// The Java producer; a run without it does not count.
    fn java(&mut self) -> Result<Option<Java>> {
        let place = self.field.cluster.directory().join("java");
        std::fs::create_dir_all(&place)?;
        match Java::compile(&place) {
            Ok(java) => Ok(Some(java)),
            Err(error) => {
                self.say(&format!("no Java producer: {error:#}"));
                let text = format!("there was no Java producer: {error:#}");
                self.summary.lacking.push(text);
                Ok(None)
            }
        }
    }

    fn step(&mut self, step: &Step, load: &mut Workload) -> Result<()> {
        let mut fault = faults::make(&step.blow);
        self.say(&format!("{:<10} {}", step.blow.kind, fault.story()));
        let leaders = self.field.leaders()?;
        let churned = self.churn(step.churn, load)?;
        let at_ns = now_ns();
        fault.strike(&mut self.field)?;
        if fault.takes_leadership() {
            let led = leaders.iter().filter(|(_, id)| **id == step.blow.victim);
            let places = led.map(|(place, _)| *place).collect();
            self.losses.push(Loss { at_ns, places });
        }
        let mut amid = step.amid.as_ref().map(faults::make);
        self.field.pace.pause(step.lasting / 2);
        if let (Some(amid), Some(blow)) = (&mut amid, &step.amid) {
            self.say(&format!("  amid it: {}", amid.story()));
            amid.strike(&mut self.field)?;
            *self.summary.faults.entry(blow.kind).or_default() += 1;
        }
        self.field.pace.pause(step.lasting / 2);
        if let Some(amid) = &mut amid {
            amid.heal(&mut self.field)?;
        }
        match fault.has_bitten(&self.field)? {
            true => *self.summary.faults.entry(step.blow.kind).or_default() += 1,
            false => self.say("  which nobody has felt"),
        }
        fault.heal(&mut self.field)?;
        if let Some(who) = churned {
            load.restart_consumer(who, &self.field.pace)?;
        }
        let healed = Instant::now();
        self.field.wait_whole()?;
        let expected = fault.may_end_the_process();
        for (id, status) in std::mem::take(&mut self.field.ended) {
            self.say(&format!("  broker {id} has ended by itself: {status}"));
            if !expected {
                let text = format!("broker {id} ended by itself with {status}");
                self.summary.others.push(text);
            }
        }
        self.goes_on(load)?;
        let histories = &load.histories;
        self.say(&format!(
            "  whole again {:.1} s after that; {} acknowledged, {} read, {} commits",
            healed.elapsed().as_secs_f64(),
            histories.acked,
            histories.polled,
            histories.committed
        ));
        self.field.pace.pause(step.calm);
        Ok(())
    }

    fn churn(&mut self, churn: Option<Churn>, load: &mut Workload) -> Result<Option<usize>> {
        let (who, how) = match churn {
            Some(Churn::Kill(who)) => (who, "kill -9"),
            Some(Churn::Leave(who)) => (who, "it leaves"),
            None => return Ok(None),
        };
        match churn {
            Some(Churn::Kill(_)) => load.kill_consumer(who)?,
            _ => load.ask_consumer(who),
        }
        self.say(&format!(
            "  meanwhile consumer {}: {how}",
            load.consumer(who)
        ));
        Ok(Some(who))
    }

    /// Waits until more records are acknowledged.
    fn goes_on(&mut self, load: &mut Workload) -> Result<()> {
        load.histories.read()?;
        let aim = load.histories.acked + 100;
        let pace = self.field.pace.clone();
        let went = pace.until(GOES_ON, || {
            load.histories.read().is_ok() && load.histories.acked >= aim
        });
        for why in load.check()? {
            self.say(&format!("  started anew: {why}"));
            self.summary.anew += 1;
        }
        if !went && !pace.is_stopped() {
            bail!("nothing is acknowledged {GOES_ON:?} after the cluster was whole again");
        }
        Ok(())
    }

    /// Waits until each group has read all that there is.
    fn read_to_the_end(&mut self, load: &mut Workload) -> Result<()> {
        for place in super::field::places() {
            let end = self
                .field
                .cluster
                .offset(place.topic, place.partition, LATEST)?;
            for group in GROUPS {
                let read = self.field.pace.clone().until(GOES_ON, || {
                    load.histories.read().is_ok() && load.histories.reached(group, place) >= end
                });
                let reached = load.histories.reached(group, place);
                if !read && !self.field.pace.is_stopped() {
                    bail!("group {group} has read {place} to {reached} of {end} only");
                }
            }
        }
        Ok(())
    }

    fn conclude(&mut self, histories: &Histories, evidence: &Evidence, kinds: &[Kind]) {
        let summary = &mut self.summary;
        let by_kind = evidence.report.by_kind();
        let count = |kind| by_kind.get(&kind).copied().unwrap_or(0);
        (summary.acked, summary.polled) = (histories.acked, histories.polled);
        summary.committed = histories.committed;
        summary.lost = count(Broken::LostWrite);
        summary.duplicated = count(Broken::Duplicate);
        summary.reordered = count(Broken::Reordered);
        let counted = [Broken::LostWrite, Broken::Duplicate, Broken::Reordered];
        let others = evidence.anomalies().iter();
        let others = others.filter(|anomaly| !counted.contains(&anomaly.kind));
        summary
            .others
            .extend(others.map(|anomaly| anomaly.to_string()));
        summary.others.extend(evidence.others.iter().cloned());
        if histories.given_up > 0 {
            let text = format!("{} records were given up", histories.given_up);
            summary.others.push(text);
        }
        summary.story = evidence.report.story(&evidence.events, 10);
        summary.first_acks = first_acks(&self.losses, histories);
        summary.first_acks.sort();
        let least = LEAST_PER_SECOND * summary.seconds;
        if summary.acked < least {
            let text = format!("only {} records acknowledged, of {least}", summary.acked);
            summary.lacking.push(text);
        }
        for kind in kinds
            .iter()
            .filter(|kind| !summary.faults.contains_key(kind))
        {
            summary.lacking.push(format!("no {kind}"));
        }
        for id in (1..=BROKERS).filter(|id| !summary.led.contains_key(id)) {
            summary.lacking.push(format!("broker {id} never led"));
        }
    }

    fn say(&self, text: &str) {
        eprintln!("{:>7.1} s  {text}", self.began.elapsed().as_secs_f64());
    }
}

/// Of each partition that lost its leader, how long it took until a record that was sent afterwards was acknowledged.
fn first_acks(losses: &[Loss], histories: &Histories) -> Vec<Duration> {
    let acknowledged = histories.acknowledged();
    let mut found = Vec::new();
    for loss in losses {
        for place in &loss.places {
            let after = acknowledged
                .iter()
                .filter(|ack| ack.place == *place && ack.sent_ns > loss.at_ns);
            let first = after.map(|ack| ack.acked_ns).min();
            found.extend(first.map(|first| between(loss.at_ns, first)));
        }
    }
    found
}

impl Summary {
    /// No promise was broken.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.others.len() == 0
    }

    /// No promise was broken, and enough was tried.
    pub fn is_good(&self) -> bool {
        self.is_clean() && self.lacking.is_empty()
    }

    fn percentile(&self, of: usize) -> f64 {
        let last = self.first_acks.len().saturating_sub(1);
        let found = self.first_acks.get(last * of / 100);
        found.map_or(0.0, Duration::as_secs_f64)
    }

    fn shares(&self) -> BTreeMap<i32, u64> {
        let all: u64 = self.led.values().sum::<u64>().max(1);
        let share = |(id, led): (&i32, &u64)| (*id, led * 100 / all);
        self.led.iter().map(share).collect()
    }

    /// The same for a program.
    pub fn json(&self) -> serde_json::Value {
        let faults: BTreeMap<&str, usize> =
            self.faults.iter().map(|(k, n)| (k.name(), *n)).collect();
        json!({
            "seed": self.seed,
            "seconds": self.seconds,
            "faults": faults,
            "acknowledged": self.acked,
            "polled": self.polled,
            "committed": self.committed,
            "consumers_started_anew": self.anew,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "other_anomalies": self.others,
            "first_acknowledgement_s": {
                "n": self.first_acks.len(),
                "p50": self.percentile(50),
                "p99": self.percentile(99),
                "max": self.percentile(100),
            },
            "leadership_percent": self.shares(),
            "lacking": self.lacking,
            "good": self.is_good(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story)?;
        for other in &self.others {
            writeln!(f, "anomaly: {other}")?;
        }
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(k, n)| format!("{k} {n}"))
            .collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        writeln!(
            f,
            "acknowledged {}, lost {}, duplicated {}, reordered {}, other anomalies {}; read by groups {}, commits {}, consumers started anew {}",
            self.acked,
            self.lost,
            self.duplicated,
            self.reordered,
            self.others.len(),
            self.polled,
            self.committed,
            self.anew
        )?;
        writeln!(
            f,
            "first acknowledgement after the loss of a leader: p50 {:.2} s, p99 {:.2} s, max {:.2} s, n {}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.first_acks.len()
        )?;
        let shares: Vec<String> = self
            .shares()
            .iter()
            .map(|(id, share)| format!("broker {id} {share} %"))
            .collect();
        writeln!(f, "leadership: {}", shares.join(", "))?;
        for lacking in &self.lacking {
            writeln!(f, "this run does not count: {lacking}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept: {}", kept.display())?;
        }
        let again = format!("make chaos DURATION={}s SEED={}", self.asked_s, self.seed);
        write!(f, "again: {again}")
    }
}
