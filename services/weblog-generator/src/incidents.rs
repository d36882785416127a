//! What goes wrong now and then: the server answers with errors for a while, or a crawler comes by.

use chrono::{DateTime, TimeDelta, Utc};
use fake::rand::{Rng, RngExt};

/// Between incidents, in seconds.
const QUIET_SECONDS: std::ops::Range<i64> = 240..900;
const OUTAGE_SECONDS: std::ops::Range<i64> = 15..75;
const CRAWL_SECONDS: std::ops::Range<i64> = 30..120;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A part of all answers is this server error.
    Outage { status_code: u16, percent: u32 },
    /// One address asks for one product after the other.
    Crawl { next_product: usize, percent: u32 },
}

/// The incidents of a run, from the run's randomness and virtual time.
#[derive(Debug, Default)]
pub struct Incidents {
    current: Option<(Incident, DateTime<Utc>)>,
    next: Option<DateTime<Utc>>,
}

impl Incidents {
    /// The incident that is on at this moment.
    pub fn at(&mut self, now: DateTime<Utc>, rng: &mut impl Rng) -> Option<&mut Incident> {
        let next = *self
            .next
            .get_or_insert_with(|| now + seconds(QUIET_SECONDS, rng));
        if self
            .current
            .as_ref()
            .is_some_and(|(_, until)| now >= *until)
        {
            self.current = None;
        }
        if now >= next {
            let (incident, lasting) = draw(rng);
            self.current = Some((incident, now + lasting));
            self.next = Some(now + lasting + seconds(QUIET_SECONDS, rng));
        }
        self.current.as_mut().map(|(incident, _)| incident)
    }
}

fn draw(rng: &mut impl Rng) -> (Incident, TimeDelta) {
    if rng.random_bool(0.6) {
        let status_code = [500, 502, 503, 504][rng.random_range(0..4)];
        (
            Incident::Outage {
                status_code,
                percent: rng.random_range(30..90),
            },
            seconds(OUTAGE_SECONDS, rng),
        )
    } else {
        (
            Incident::Crawl {
                next_product: 0,
                percent: rng.random_range(30..70),
            },
            seconds(CRAWL_SECONDS, rng),
        )
    }
}

fn seconds(range: std::ops::Range<i64>, rng: &mut impl Rng) -> TimeDelta {
    TimeDelta::seconds(rng.random_range(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake::rand::SeedableRng;
    use fake::rand::rngs::ChaCha12Rng;

    #[test]
    fn incidents_come_pass_and_leave_quiet_between() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut incidents = Incidents::default();
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let on = |incidents: &mut Incidents, rng: &mut ChaCha12Rng, second| {
            incidents
                .at(start + TimeDelta::seconds(second), rng)
                .cloned()
        };
        let day: Vec<_> = (0..86_400)
            .map(|second| on(&mut incidents, &mut rng, second))
            .collect();
        let busy = day.iter().flatten().count();
        assert!(day[..240].iter().all(Option::is_none));
        assert!(
            (1_000..30_000).contains(&busy),
            "{busy} seconds of incidents in a day"
        );
        assert!(
            day.iter()
                .flatten()
                .any(|incident| matches!(incident, Incident::Outage { .. }))
        );
        assert!(
            day.iter()
                .flatten()
                .any(|incident| matches!(incident, Incident::Crawl { .. }))
        );
    }
}
