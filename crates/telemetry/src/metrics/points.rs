//! The things that are counted: each is one or a few atomics behind a shared pointer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::family::{Family, Kind};
use super::page::Page;

/// Counts up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn inc(&self) {
        self.inc_by(1);
    }

    pub fn inc_by(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn add(&self, by: f64) {
        let add = |bits| Some((f64::from_bits(bits) + by).to_bits());
        // The closure never says no.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub fn inc(&self) {
        self.add(1.0);
    }

    pub fn dec(&self) {
        self.add(-1.0);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Counts durations by the buckets of its family.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One for each bound and one for what is beyond them.
    counts: Box<[AtomicU64]>,
    /// Whole nanoseconds, so that adding is one instruction: enough for five centuries.
    sum_ns: AtomicU64,
}

/// What a histogram has counted so far: by bucket, not added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub bounds: &'static [f64],
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl Histogram {
    /// With these upper bounds, seconds. It is shown once a family has adopted it.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram(Arc::new(Buckets {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
        }))
    }

    pub fn observe(&self, duration: Duration) {
        self.observe_seconds(duration.as_secs_f64());
    }

    /// What is not a number, or negative, counts as zero.
    pub fn observe_seconds(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let buckets = &*self.0;
        let at = buckets.bounds.partition_point(|bound| *bound < seconds);
        buckets.counts[at].fetch_add(1, Ordering::Relaxed);
        buckets
            .sum_ns
            .fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    pub fn observed(&self) -> Observed {
        let buckets = &*self.0;
        Observed {
            bounds: buckets.bounds,
            counts: buckets
                .counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect(),
            sum: buckets.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

impl Observed {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What has come since `before`, an earlier state of the same histogram.
    pub fn since(&self, before: &Observed) -> Observed {
        let counts = self.counts.iter().zip(&before.counts);
        Observed {
            bounds: self.bounds,
            counts: counts
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
            sum: self.sum - before.sum,
        }
    }

    /// The `q`-quantile, interpolated within its bucket as `histogram_quantile` does; 0 where nothing was observed.
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = q * self.count() as f64;
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let lower = if at == 0 { 0.0 } else { self.bounds[at - 1] };
                let Some(upper) = self.bounds.get(at) else {
                    return lower;
                };
                return lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0);
            }
            below += count;
        }
        0.0
    }
}

/// What a family can hold.
pub trait Point: Clone + Send + Sync + 'static {
    fn of(family: &'static Family) -> Self;
    fn show(&self, page: &mut Page, family: &'static Family, labels: &[&str]);
}

impl Point for Counter {
    fn of(_: &'static Family) -> Counter {
        Counter::default()
    }

    fn show(&self, page: &mut Page, family: &'static Family, labels: &[&str]) {
        page.add(family, labels, self.get() as f64);
    }
}

impl Point for Gauge {
    fn of(_: &'static Family) -> Gauge {
        Gauge::default()
    }

    fn show(&self, page: &mut Page, family: &'static Family, labels: &[&str]) {
        page.add(family, labels, self.get());
    }
}

impl Point for Histogram {
    fn of(family: &'static Family) -> Histogram {
        match family.kind {
            Kind::Histogram(bounds) => Histogram::new(bounds),
            _ => Histogram::new(&[]),
        }
    }

    fn show(&self, page: &mut Page, family: &'static Family, labels: &[&str]) {
        page.add_histogram(family, labels, &self.observed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let histogram = Histogram::new(&[1.0, 2.0, 4.0]);
        for seconds in [0.5, 1.5, 1.5, 3.0] {
            histogram.observe_seconds(seconds);
        }
        let observed = histogram.observed();
        assert_eq!((observed.count(), observed.sum), (4, 6.5));
        assert_eq!(observed.quantile(0.25), 1.0);
        assert_eq!(observed.quantile(0.75), 2.0);
        assert_eq!(observed.quantile(1.0), 4.0);
        histogram.observe_seconds(100.0);
        assert_eq!(histogram.observed().quantile(0.999), 4.0);
        assert_eq!(histogram.observed().since(&observed).count(), 1);
    }

    #[test]
    fn what_is_no_duration_counts_as_none() {
        let histogram = Histogram::new(&[1.0]);
        histogram.observe_seconds(-5.0);
        histogram.observe_seconds(f64::NAN);
        assert_eq!(histogram.observed().counts, [2, 0]);
    }

    #[test]
    fn a_gauge_goes_up_and_down() {
        let gauge = Gauge::default();
        gauge.inc();
        gauge.add(2.5);
        gauge.dec();
        assert_eq!(gauge.get(), 2.5);
    }
}
