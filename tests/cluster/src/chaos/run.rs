//! One run, from the start of the brokers to the verdict.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::clock::now_ns;
use super::faults;
use super::field::{BROKERS, Field};
use super::java::Java;
use super::kind::Kind;
use super::length::{Length, Next};
use super::pace::Pace;
use super::progress::Progress;
use super::raw::Raw;
use super::report::{Loss, Summary};
use super::schedule::{Churn, Schedule, Step, Tempo};
use super::verdict::judge;
use super::watch::{Broker, Watch};
use super::workload::{CONSUMERS, GROUPS, Workload};
use crate::Node;
use crate::command::Span;
use crate::topics::LATEST;

/// How long the load may take to go on after a fault, and groups to read to the end.
const GOES_ON: Duration = Duration::from_secs(120);
/// How much longer than asked a run may go on until each kind of fault has occurred: a slow machine has them all within
/// two minutes, too.
const EXTRA: Duration = Duration::from_secs(60);

/// Runs until the time is over, or `pace` is stopped.
pub fn run(span: &Span, pace: Pace) -> Result<Summary> {
    if let Some(lacking) = Field::lacking() {
        bail!("this system lacks {lacking}");
    }
    let mut run = Run {
        field: Field::prepare(pace.clone())?,
        progress: Progress::start(),
        losses: Vec::new(),
        summary: Summary {
            seed: span.seed,
            asked_s: span.duration.as_secs(),
            ..Summary::default()
        },
    };
    let mut outcome = run.whole(span);
    if pace.is_stopped() {
        // What fails because nobody waits any more is no news.
        run.summary.lacking.push("it was interrupted".into());
        outcome = Ok(());
    }
    let is_news = match pace.is_stopped() {
        true => !run.summary.is_clean(),
        false => outcome.is_err() || !run.summary.is_good(),
    };
    if is_news {
        let place = run.field.keep()?;
        eprintln!("kept: {}", place.display());
        run.summary.kept = Some(place);
    }
    outcome.with_context(|| format!("again: {}", run.summary.again()))?;
    Ok(run.summary)
}

struct Run {
    field: Field,
    progress: Progress,
    losses: Vec<Loss>,
    summary: Summary,
}

impl Run {
    fn whole(&mut self, span: &Span) -> Result<()> {
        self.field.start()?;
        let place = self.field.cluster.directory().join("clients");
        let java = self.java()?;
        let mut load = Workload::start(&place, &self.field.cluster.bootstrap(), java.as_ref())?;
        let nodes = || self.field.cluster.nodes.iter();
        let broker = |node: &Node| Broker {
            id: node.id,
            address: node.address,
            http: node.http,
        };
        let watch = Watch::start(nodes().map(broker).collect());
        let addresses = nodes().map(|node| (node.id, node.address));
        let raw = Raw::start(addresses.collect(), span.seed);
        let hurt = self.hurt(span, &mut load);
        self.summary.seconds = self.progress.elapsed().as_secs();
        self.summary.count(&load.histories);
        if self.field.pace.is_stopped() {
            return hurt;
        }
        self.note(hurt);
        self.progress.say(
            "the faults are over: the last records, a full read, a comparison of the replicas",
        );
        // Whatever is wrong by now, the checker hears what the clients have to say.
        let ended = self.end(&mut load);
        self.note(ended);
        load.histories.read()?;
        let mut seen = raw.finish()?;
        // Behind all others: it has to know the last leaders that they had.
        let sight = watch.finish();
        self.summary.led = sight.led;
        seen.extend(sight.events);
        let evidence = judge(&mut self.field, &load.histories, seen)?;
        self.summary
            .conclude(&load.histories, &evidence, &self.losses);
        Ok(())
    }

    /// One fault after the other, until the time is over or something is wrong.
    fn hurt(&mut self, span: &Span, load: &mut Workload) -> Result<()> {
        self.goes_on(load)?;
        self.progress.begin();
        let length = Length {
            asked: span.duration,
            extra: EXTRA,
        };
        for step in Schedule::new(span.seed, Tempo::of(span.duration), BROKERS, CONSUMERS) {
            let elapsed = self.progress.elapsed();
            match length.next(elapsed, &self.summary.lacking_kinds(), &step.kinds()) {
                _ if self.field.pace.is_stopped() => break,
                Next::Strike => self.step(&step, load)?,
                Next::Skip => {}
                Next::End => break,
            }
        }
        Ok(())
    }

    /// Has all clients end, with everything acknowledged and read.
    fn end(&mut self, load: &mut Workload) -> Result<()> {
        self.field.wait_whole()?;
        let produced = load.end_producers(&self.field.pace);
        self.note(produced);
        self.read_to_the_end(load)?;
        load.end_consumers(&self.field.pace)
    }

    /// An error that is an anomaly of the cluster as long as nothing else is known of it.
    fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.progress.say(&format!("{error:#}"));
            self.summary.others.push(format!("{error:#}"));
        }
    }

    /// The Java producer; a run without it does not count.
    fn java(&mut self) -> Result<Option<Java>> {
        let place = self.field.cluster.directory().join("java");
        std::fs::create_dir_all(&place)?;
        match Java::compile(&place) {
            Ok(java) => Ok(Some(java)),
            Err(error) => {
                self.progress.say(&format!("no Java producer: {error:#}"));
                let text = format!("there was no Java producer: {error:#}");
                self.summary.lacking.push(text);
                Ok(None)
            }
        }
    }

    fn step(&mut self, step: &Step, load: &mut Workload) -> Result<()> {
        let mut fault = faults::make(&step.blow);
        self.progress.announce(step.blow.kind, &fault.story());
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
        self.field.pace.pause(step.lead);
        if let Some(amid) = &mut amid {
            self.progress.say(&format!("  amid it: {}", amid.story()));
            amid.strike(&mut self.field)?;
        }
        self.field.pace.pause(step.lasting);
        if let (Some(amid), Some(blow)) = (&mut amid, &step.amid) {
            self.count(blow.kind, amid.has_bitten(&self.field)?);
            amid.heal(&mut self.field)?;
        }
        self.count(step.blow.kind, fault.has_bitten(&self.field)?);
        fault.heal(&mut self.field)?;
        if let Some(who) = churned {
            load.restart_consumer(who, &self.field.pace)?;
        }
        let healed = Instant::now();
        self.field.wait_whole()?;
        let expected = fault.may_end_the_process();
        for (id, status) in std::mem::take(&mut self.field.ended) {
            self.progress
                .say(&format!("  broker {id} has ended by itself: {status}"));
            if !expected {
                let text = format!("broker {id} ended by itself with {status}");
                self.summary.others.push(text);
            }
        }
        self.goes_on(load)?;
        let histories = &load.histories;
        self.progress.say(&format!(
            "  whole again {:.1} s after that; {} acknowledged, {} read, {} commits",
            healed.elapsed().as_secs_f64(),
            histories.acked,
            histories.polled,
            histories.committed
        ));
        self.field.pace.pause(step.calm);
        Ok(())
    }

    fn count(&mut self, kind: Kind, has_bitten: bool) {
        match has_bitten {
            true => *self.summary.faults.entry(kind).or_default() += 1,
            false => self.progress.say(&format!("  {kind}: nobody has felt it")),
        }
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
        self.progress.say(&format!(
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
            self.progress.say(&format!("  started anew: {why}"));
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
}
