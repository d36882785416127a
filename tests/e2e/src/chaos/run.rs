//! One run, from the start of the mesh to the verdict.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cluster::chaos::{Length, Next, Pace, Progress};
use cluster::command::Span;

use super::faults;
use super::field::{Field, GENERATORS, PARTITIONS};
use super::fleet::LEAST;
use super::kind::Kind;
use super::report::Summary;
use super::schedule::{Schedule, Step};
use super::verified::verify;
use super::watch::Watch;

/// How long the load may take to go on after a fault.
const GOES_ON: Duration = Duration::from_secs(180);
/// Records that show that it does.
const MORE: u64 = 100;
/// How much longer than asked a run may go on until each kind of fault has occurred: a machine may be busy, and a run short.
const EXTRA: Duration = Duration::from_secs(10 * 60);
/// How long the sinks may take in the end to have everything: the machine may be busy with other things.
const DRAIN: Duration = Duration::from_secs(15 * 60);
/// How long `verify` waits for what the sinks say that they have.
const VISIBLE: Duration = Duration::from_secs(60);

/// Runs until the time is over, or `pace` is stopped.
pub fn run(span: &Span, pace: Pace) -> Result<Summary> {
    let progress = Progress::start();
    progress.say("starting the mesh");
    let field = Field::start(pace.clone())?;
    let (generators, services) = field.addresses()?;
    let watch = Watch::start(generators, services, progress.clone());
    let mut run = Run {
        field,
        watch,
        progress,
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
        run.field.stack.keep();
        let place = run.field.stack.data().to_path_buf();
        eprintln!("kept: {}", place.display());
        run.summary.kept = Some(place);
    }
    outcome.with_context(|| format!("again: {}", run.summary.again()))?;
    Ok(run.summary)
}

struct Run {
    watch: Watch,
    field: Field,
    progress: Progress,
    summary: Summary,
}

impl Run {
    fn whole(&mut self, span: &Span) -> Result<()> {
        let hurt = self.hurt(span);
        self.summary.seconds = self.progress.elapsed().as_secs();
        self.field.ways.calm();
        if self.field.pace.is_stopped() {
            return hurt;
        }
        self.note(hurt);
        // Whatever is wrong by now, the sinks are compared.
        let ended = self.end();
        self.note(ended);
        match verify(&self.field, VISIBLE) {
            Ok(verified) => self.summary.verified = verified,
            Err(error) => self.note(Err(error)),
        }
        let stopped = self.stop_services();
        self.note(stopped);
        self.summary.others.extend(self.field.panics()?);
        self.summary.conclude();
        Ok(())
    }

    /// One fault after the other, until the time is over or something is wrong.
    fn hurt(&mut self, span: &Span) -> Result<()> {
        self.goes_on()?;
        let sinks = ["postgres", "opensearch", "s3"];
        self.wait(GOES_ON, "every sink reads", |sight| {
            sinks.iter().all(|sink| sight.behind.contains_key(*sink))
        })?;
        self.progress.begin();
        let length = Length {
            asked: span.duration,
            extra: EXTRA,
        };
        for step in Schedule::new(span.seed) {
            let elapsed = self.progress.elapsed();
            match length.next(elapsed, &self.summary.lacking_kinds(), &step.kinds()) {
                _ if self.field.pace.is_stopped() => break,
                Next::Strike => self.step(&step)?,
                Next::Skip => {}
                Next::End => break,
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let pace = self.field.pace.clone();
        let mut fault = faults::make(&step.blow);
        self.progress.announce(step.blow.kind, &fault.story());
        fault.strike(&mut self.field)?;
        self.look_at_fleets();
        pace.pause(step.lasting / 2);
        let mut amid = step
            .amid
            .as_ref()
            .map(|blow| (blow.kind, faults::make(blow)));
        if let Some((kind, amid)) = &mut amid {
            self.progress.say(&format!("  amid it: {}", amid.story()));
            amid.strike(&mut self.field)?;
            self.look_at_fleets();
            self.count(*kind, amid.has_bitten(&self.field));
        }
        pace.pause(step.lasting / 2);
        if let Some((_, amid)) = &mut amid {
            amid.heal(&mut self.field)?;
        }
        self.count(step.blow.kind, fault.has_bitten(&self.field));
        fault.heal(&mut self.field)?;
        self.look_at_fleets();
        let healed = Instant::now();
        self.goes_on()?;
        self.progress.say(&format!(
            "  records go on {:.1} s after that; {}",
            healed.elapsed().as_secs_f64(),
            self.watch.sight().text()
        ));
        pace.pause(step.calm);
        Ok(())
    }

    fn count(&mut self, kind: Kind, has_bitten: bool) {
        match has_bitten {
            true => *self.summary.faults.entry(kind).or_default() += 1,
            false => self.progress.say("  which nobody has felt"),
        }
    }

    /// Instances that nobody has ended must run; one that does not is started again, as a supervisor would.
    fn look_at_fleets(&mut self) {
        for fleet in self.field.fleets() {
            for (place, status) in fleet.ended() {
                let text = format!("{} ended by itself with {status}", fleet.name(place));
                self.progress.say(&format!("  {text}"));
                self.summary.others.push(text);
                if let Err(error) = fleet.start(place) {
                    self.summary.others.push(format!("{error:#}"));
                }
            }
            // Fewer are those that a kill has left.
            if fleet.size() >= LEAST {
                let sizes = self.summary.sizes.entry(fleet.service.name());
                sizes.or_default().insert(fleet.size());
            }
        }
    }

    /// Waits until more records are acknowledged.
    fn goes_on(&mut self) -> Result<()> {
        let aim = self.watch.sight().acknowledged + MORE;
        self.wait(GOES_ON, "more records are acknowledged", |sight| {
            sight.acknowledged >= aim
        })
    }

    /// Has the sinks take everything that there is.
    fn end(&mut self) -> Result<()> {
        let began = Instant::now();
        self.progress
            .say("the faults are over: the sinks take what is left");
        self.field
            .stack
            .run(&["down", "--only", &GENERATORS.join(",")])?;
        let drained = self.wait(DRAIN, "every sink has everything", |sight| {
            sight.is_drained(&["postgres", "opensearch", "s3"], PARTITIONS)
        });
        self.look_at_fleets();
        drained?;
        self.summary.drained = Some(began.elapsed());
        self.progress
            .say("everything is compared with what the sinks hold");
        Ok(())
    }

    /// The services end in order, when they are asked to.
    fn stop_services(&mut self) -> Result<()> {
        self.summary.sight = self.watch.sight();
        let ways = &self.field.ways;
        self.summary.felt = [
            ("postgres", ways.postgres.felt()),
            ("opensearch", ways.opensearch.felt()),
            ("s3", ways.s3.felt()),
        ]
        .into();
        for fleet in self.field.fleets() {
            for place in fleet.running() {
                fleet.stop(place)?;
            }
        }
        Ok(())
    }

    fn wait(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&super::watch::Sight) -> bool,
    ) -> Result<()> {
        let pace = &self.field.pace;
        let held = pace.until(limit, || condition(&self.watch.sight()));
        if !held && !pace.is_stopped() {
            let sight = self.watch.sight();
            bail!("{what}: not within {limit:?}: {}", sight.text());
        }
        Ok(())
    }

    /// An error that is an anomaly of the mesh as long as nothing else is known of it.
    fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.progress.say(&format!("{error:#}"));
            self.summary.others.push(format!("{error:#}"));
        }
    }
}
