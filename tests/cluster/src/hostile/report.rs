//! What a run has come to, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::honest::{Seen, Waits};
use super::latency::{Comparison, FLOOR_MS, LIMITS, Stage, breaches, compare};

const MIB: f64 = 1048576.0;

/// One phase: what the crowds did, and what the brokers and the client that behaves had of it.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub stage: Stage,
    pub seconds: f64,
    pub seen: Seen,
    /// The most memory of any broker, and the connections of the one that is attacked, at the end.
    pub peak_bytes: u64,
    pub rss_bytes: u64,
    pub connections: u64,
    pub terms: usize,
    pub fencings: usize,
    /// Of /healthz, with an answer in time and without.
    pub probes: (usize, usize),
}

/// All phases, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Summary {
    pub(super) at_rest_bytes: u64,
    pub(super) bound_bytes: u64,
    pub(super) per_idle_bytes: i64,
    pub(super) phases: Vec<Phase>,
    pub(super) crowds: Vec<(String, Value)>,
    pub(super) sent: u64,
    pub(super) consumed: u64,
    pub(super) latency: Vec<Comparison>,
    pub(super) breaches: Vec<String>,
}

/// p50 and p99, and how many times those of the first, quiet phase.
fn quantiles(waits: &Waits, quiet: &Waits) -> Value {
    let of = |part| (waits.quantile_ms(part), quiet.quantile_ms(part));
    let (p50, p99) = (of(0.5), of(0.99));
    let ratio = |(now, quiet): (f64, f64)| now / quiet.max(0.001);
    json!({
        "n": waits.count(),
        "p50_ms": p50.0, "p99_ms": p99.0,
        "p50_ratio": ratio(p50), "p99_ratio": ratio(p99),
    })
}

impl Summary {
    pub fn is_good(&self) -> bool {
        self.breaches.is_empty()
    }

    /// After the last phase: how long the client that behaves has waited under attack, beside how long in the calm.
    pub(super) fn judge_latency(&mut self) {
        let phases = self.phases.iter();
        let observed: Vec<_> = phases.map(|p| (p.name, p.stage, &p.seen)).collect();
        self.latency = compare(&observed);
        self.breaches.extend(breaches(&self.latency));
    }

    fn quiet(&self) -> Seen {
        self.phases
            .first()
            .map(|phase| phase.seen.clone())
            .unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        let quiet = self.quiet();
        let phase = |phase: &Phase| {
            json!({
                "name": phase.name,
                "seconds": phase.seconds,
                "rss_bytes": phase.rss_bytes,
                "peak_bytes": phase.peak_bytes,
                "connections": phase.connections,
                "acks": quantiles(&phase.seen.acks, &quiet.acks),
                "end_to_end": quantiles(&phase.seen.ends, &quiet.ends),
                "connects": quantiles(&phase.seen.connects, &quiet.connects),
                "errors": phase.seen.errors,
                "new_terms": phase.terms,
                "fencings": phase.fencings,
                "probes_answered": phase.probes.0,
                "probes_failed": phase.probes.1,
            })
        };
        json!({
            "at_rest_bytes": self.at_rest_bytes,
            "bound_bytes": self.bound_bytes,
            "bytes_per_idle_connection": self.per_idle_bytes,
            "phases": self.phases.iter().map(phase).collect::<Vec<_>>(),
            "crowds": self.crowds.iter().map(|(name, counts)| json!({"name": name, "counts": counts})).collect::<Vec<_>>(),
            "latency": {
                "floor_ms": FLOOR_MS,
                "comparisons": self.latency.iter().map(Comparison::json).collect::<Vec<_>>(),
            },
            "sent": self.sent,
            "consumed": self.consumed,
            "breaches": self.breaches,
        })
    }
}

impl Summary {
    fn show_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = LIMITS.map(|(part, limit)| format!("p{:.0} x{limit}", part * 100.0));
        writeln!(
            f,
            "under attack, beside the calm before and after it (at most {} of the calm one, or of {FLOOR_MS} ms where that is less):",
            limits.join(", ")
        )?;
        // Both quantiles of a kind of wait are one line.
        for pair in self.latency.chunks(LIMITS.len()) {
            let Some(first) = pair.first() else { continue };
            let text: Vec<String> = pair
                .iter()
                .map(|one| {
                    let (percent, calm, attack) = (one.percent(), one.calm.1, one.attack.1);
                    let ratio = one.ratio();
                    format!("p{percent} {calm:.1} -> {attack:.1} ms x{ratio:.1}")
                })
                .collect();
            let (phase, what) = (first.phase, first.what);
            writeln!(f, "  {phase:<20}{what:<12}{}", text.join(";  "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / MIB;
        writeln!(
            f,
            "memory at rest {:.0} MiB, bound {:.0} MiB; {:.1} KiB for an idle connection",
            mib(self.at_rest_bytes),
            mib(self.bound_bytes),
            self.per_idle_bytes as f64 / 1024.0
        )?;
        writeln!(
            f,
            "{:<22}{:>6}{:>7}{:>7}  {:>21}  {:>21}  {:>21}{:>7}{:>6}{:>7}{:>8}",
            "phase",
            "conns",
            "RSS",
            "peak",
            "ack p50/p99 ms",
            "end-to-end",
            "connect",
            "errors",
            "terms",
            "fenced",
            "probes"
        )?;
        let quiet = self.quiet();
        for phase in &self.phases {
            let pair = |now: &Waits, quiet: &Waits| {
                let ratio = |part| now.quantile_ms(part) / quiet.quantile_ms(part).max(0.001);
                let (p50, p99) = (now.quantile_ms(0.5), now.quantile_ms(0.99));
                let text = format!("{p50:.1}/{p99:.1}");
                format!("{text} x{:.1}/{:.1}", ratio(0.5), ratio(0.99))
            };
            let seen = &phase.seen;
            writeln!(
                f,
                "{:<22}{:>6}{:>7.0}{:>7.0}  {:>21}  {:>21}  {:>21}{:>7}{:>6}{:>7}{:>8}",
                phase.name,
                phase.connections,
                mib(phase.rss_bytes),
                mib(phase.peak_bytes),
                pair(&seen.acks, &quiet.acks),
                pair(&seen.ends, &quiet.ends),
                pair(&seen.connects, &quiet.connects),
                seen.errors.len(),
                phase.terms,
                phase.fencings,
                format!("{}/{}", phase.probes.0, phase.probes.0 + phase.probes.1)
            )?;
        }
        self.show_latency(f)?;
        for (name, counts) in &self.crowds {
            writeln!(f, "{name}: {counts}")?;
        }
        writeln!(
            f,
            "the client that behaves: {} acknowledged, {} consumed, in order, each once",
            self.sent, self.consumed
        )?;
        for breach in &self.breaches {
            writeln!(f, "BREACH: {breach}")?;
        }
        let verdict = if self.is_good() { "held" } else { "BROKEN" };
        write!(f, "bounds {verdict}")
    }
}
