//! When records happen: a mean rate, bursts, and the rhythm of the day.

use std::f64::consts::TAU;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::GeneratorOptions;

/// How far the rate swings over the day, as a part of its mean.
const SWING: f64 = 0.4;
/// The hour (UTC) of the lowest rate.
const QUIETEST_HOUR: f64 = 4.0;
/// Virtual time between records where the pace is unlimited.
const UNLIMITED_STEP: TimeDelta = TimeDelta::milliseconds(1);
/// Records between looks at the stop signal where the pace is unlimited.
const UNLIMITED_BURST: u32 = 100;
/// After a stall (the brokers were away) the pace goes on from now instead of catching up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// Hands out the moments of the records, and waits for their turn.
pub(super) struct Pace {
    rate: f64,
    burst: u32,
    steady: bool,
    /// Virtual time, where it is not the clock's.
    virtual_now: Option<DateTime<Utc>>,
    due: Instant,
}

impl Pace {
    pub(super) fn new(options: &GeneratorOptions, start: Option<DateTime<Utc>>) -> Pace {
        let burst = if options.rate == 0.0 {
            options.burst.max(UNLIMITED_BURST)
        } else {
            options.burst
        };
        Pace {
            rate: options.rate,
            burst,
            steady: options.steady,
            virtual_now: start,
            due: Instant::now(),
        }
    }

    /// Waits until the next burst is due, or `stop`, and gives the moments of its records.
    pub(super) async fn next_burst(&mut self, stop: &CancellationToken) -> Vec<DateTime<Utc>> {
        if self.rate > 0.0 {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Vec::new(),
                () = sleep_until(self.due) => {}
            }
        } else {
            tokio::task::yield_now().await;
        }
        let mut moments = Vec::with_capacity(self.burst as usize);
        let mut taken = Duration::ZERO;
        for _ in 0..self.burst {
            let now = self.virtual_now.unwrap_or_else(Utc::now);
            moments.push(now);
            let step = self.step(now);
            taken += step.to_std().unwrap_or_default();
            self.virtual_now = self.virtual_now.map(|now| now + step);
        }
        let now = Instant::now();
        self.due += taken;
        if self.due + CATCH_UP_LIMIT < now {
            self.due = now;
        }
        moments
    }

    fn step(&self, now: DateTime<Utc>) -> TimeDelta {
        if self.rate == 0.0 {
            return UNLIMITED_STEP;
        }
        let factor = if self.steady { 1.0 } else { rhythm(now) };
        TimeDelta::nanoseconds((1e9 / (self.rate * factor)) as i64)
    }
}

/// The rate at this time of day as a multiple of the mean: a cosine, lowest before dawn.
fn rhythm(now: DateTime<Utc>) -> f64 {
    let hour = f64::from(now.num_seconds_from_midnight()) / 3_600.0;
    1.0 - SWING * (TAU * (hour - QUIETEST_HOUR) / 24.0).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: GeneratorOptions,
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn the_day_has_its_rhythm_around_the_mean() {
        assert!((rhythm(at("2026-01-01T04:00:00Z")) - 0.6).abs() < 1e-9);
        assert!((rhythm(at("2026-01-01T16:00:00Z")) - 1.4).abs() < 1e-9);
        let hours = (0..24).map(|hour| rhythm(at(&format!("2026-01-01T{hour:02}:30:00Z"))));
        assert!((hours.sum::<f64>() / 24.0 - 1.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn a_burst_comes_at_once_and_the_mean_rate_stays() {
        let command = Command::parse_from(["x", "--rate", "1000", "--burst", "5", "--steady"]);
        let mut pace = Pace::new(&command.options, Some(at("2026-01-01T00:00:00Z")));
        let (began, stop) = (Instant::now(), CancellationToken::new());
        let mut moments = Vec::new();
        for _ in 0..5 {
            moments.extend(pace.next_burst(&stop).await);
        }
        assert_eq!(moments.len(), 25);
        assert_eq!(moments[24] - moments[0], TimeDelta::milliseconds(24));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
