//! All that a process shows at `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;

use super::family::Family;
use super::page::{Page, Source};
use super::points::{Counter, Gauge, Histogram, Point};
use super::series::Series;

/// Series of one open family, where the configuration says nothing else.
const DEFAULT_LIMIT: usize = 10_000;

static DROPPED: Family = Family::counter(
    "millrace_metrics_series_dropped_total",
    &["family"],
    "Series that were left out because their family had reached the limit of series; one that stays away counts at each scrape",
)
.unit("series");

/// The families of one process, passed in and never global. Cloning gives another handle to the same list.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    limit: usize,
    shown: Mutex<Shown>,
    dropped: Series<Counter>,
}

#[derive(Default)]
struct Shown {
    counted: BTreeMap<&'static str, Counted>,
    sources: BTreeMap<String, Arc<dyn Source>>,
}

#[derive(Clone)]
enum Counted {
    Counters(Series<Counter>),
    Gauges(Series<Gauge>),
    Histograms(Series<Histogram>),
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    pub const FAMILIES: &'static [&'static Family] = &[&DROPPED];

    /// With the usual limit of series.
    pub fn new() -> Registry {
        Registry::with_limit(DEFAULT_LIMIT)
    }

    /// With the limit that `METRICS_SERIES_MAX` sets, or the usual one.
    ///
    /// # Errors
    /// When the variable is not a whole number.
    pub fn from_env() -> anyhow::Result<Registry> {
        let Ok(limit) = std::env::var("METRICS_SERIES_MAX") else {
            return Ok(Registry::new());
        };
        let limit = limit
            .parse()
            .with_context(|| format!("METRICS_SERIES_MAX={limit:?} is not a whole number"))?;
        Ok(Registry::with_limit(limit))
    }

    /// With at most `limit` series in each family whose labels users decide on.
    pub fn with_limit(limit: usize) -> Registry {
        Registry(Arc::new(Inner {
            limit,
            shown: Mutex::default(),
            dropped: Series::new(&DROPPED, usize::MAX, Counter::default()),
        }))
    }

    /// The counters of a family. Asked for again, the same.
    pub fn counters(&self, family: &'static Family) -> Series<Counter> {
        let made = self.counted(family, |s| Counted::Counters(s.series(family)));
        match made {
            Counted::Counters(series) => series,
            _ => self.0.series(family),
        }
    }

    /// The gauges of a family. Asked for again, the same.
    pub fn gauges(&self, family: &'static Family) -> Series<Gauge> {
        let made = self.counted(family, |s| Counted::Gauges(s.series(family)));
        match made {
            Counted::Gauges(series) => series,
            _ => self.0.series(family),
        }
    }

    /// The histograms of a family. Asked for again, the same.
    pub fn histograms(&self, family: &'static Family) -> Series<Histogram> {
        let made = self.counted(family, |s| Counted::Histograms(s.series(family)));
        match made {
            Counted::Histograms(series) => series,
            _ => self.0.series(family),
        }
    }

    /// The counter of a family without labels.
    pub fn counter(&self, family: &'static Family) -> Counter {
        self.counters(family).with(&[])
    }

    /// The gauge of a family without labels.
    pub fn gauge(&self, family: &'static Family) -> Gauge {
        self.gauges(family).with(&[])
    }

    /// The histogram of a family without labels.
    pub fn histogram(&self, family: &'static Family) -> Histogram {
        self.histograms(family).with(&[])
    }

    /// Has `source` looked at from now on; one of the same name is replaced.
    pub fn source(&self, name: impl Into<String>, source: impl Source) {
        self.shown().sources.insert(name.into(), Arc::new(source));
    }

    /// Everything, as Prometheus' text format has it. No lock is held while sources are looked at.
    pub fn render(&self) -> String {
        let (counted, sources): (Vec<_>, Vec<_>) = {
            let shown = self.shown();
            let counted = shown.counted.values().cloned().collect();
            (counted, shown.sources.values().cloned().collect())
        };
        let mut page = Page::new(self.0.limit);
        for family in counted {
            match family {
                Counted::Counters(series) => series.show(&mut page),
                Counted::Gauges(series) => series.show(&mut page),
                Counted::Histograms(series) => series.show(&mut page),
            }
        }
        for source in sources {
            source.write(&mut page);
        }
        let dropped: Vec<_> = page.dropped().collect();
        for (family, series) in dropped {
            self.0.dropped.with(&[family]).inc_by(series);
        }
        self.0.dropped.show(&mut page);
        page.finish()
    }

    fn counted(&self, family: &'static Family, make: impl FnOnce(&Inner) -> Counted) -> Counted {
        let mut shown = self.shown();
        let made = shown.counted.entry(family.name);
        made.or_insert_with(|| make(&self.0)).clone()
    }

    // Both maps are whole after every statement, so a panic elsewhere while they were locked does not spoil them.
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn series<T: Point>(&self, family: &'static Family) -> Series<T> {
        let dropped = if family.is_open() {
            self.dropped.with(&[family.name])
        } else {
            Counter::default()
        };
        Series::new(family, self.limit, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static RECORDS: Family = Family::counter("test_records_total", &["topic"], "Records");
    static WAITS: Family = Family::histogram("test_wait_seconds", &[], &[0.1, 1.0], "Waits");
    static SIZES: Family = Family::gauge("test_size_bytes", &["topic", "partition"], "Sizes");

    #[test]
    fn a_page_has_each_family_once_with_help_and_type() {
        let registry = Registry::new();
        registry.counters(&RECORDS).with(&["a \"b\"\n"]).inc_by(3);
        registry.histogram(&WAITS).observe_seconds(0.5);
        registry.source("sizes", |page: &mut Page| {
            page.add(&SIZES, &["t", "0"], 1.5);
        });
        let text = registry.render();
        for line in [
            "# HELP test_records_total Records\n# TYPE test_records_total counter\n",
            "test_records_total{topic=\"a \\\"b\\\"\\n\"} 3\n",
            "# TYPE test_wait_seconds histogram\ntest_wait_seconds_bucket{le=\"0.1\"} 0\n\
             test_wait_seconds_bucket{le=\"1\"} 1\ntest_wait_seconds_bucket{le=\"+Inf\"} 1\n\
             test_wait_seconds_sum 0.5\ntest_wait_seconds_count 1\n",
            "test_size_bytes{topic=\"t\",partition=\"0\"} 1.5\n",
            "millrace_metrics_series_dropped_total{family=\"test_records_total\"} 0\n",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
    }

    #[test]
    fn the_same_family_asked_for_twice_is_one() {
        let registry = Registry::new();
        registry.counters(&RECORDS).with(&["a"]).inc();
        registry.counters(&RECORDS).with(&["a"]).inc();
        assert_eq!(registry.counters(&RECORDS).with(&["a"]).get(), 2);
    }

    #[test]
    fn series_beyond_the_limit_are_left_out_and_counted() {
        let registry = Registry::with_limit(2);
        let records = registry.counters(&RECORDS);
        for topic in ["a", "b", "c", "d"] {
            records.with(&[topic]).inc();
        }
        registry.source("sizes", |page: &mut Page| {
            (0..5).for_each(|i| page.add(&SIZES, &["t", &i.to_string()], 1.0));
        });
        let text = registry.render();
        assert_eq!(text.matches("\ntest_records_total{").count(), 2, "{text}");
        assert_eq!(text.matches("\ntest_size_bytes{").count(), 2, "{text}");
        for line in [
            "millrace_metrics_series_dropped_total{family=\"test_records_total\"} 2",
            "millrace_metrics_series_dropped_total{family=\"test_size_bytes\"} 3",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }

        records.forget(|labels| labels[0] == "a");
        records.with(&["e"]).inc();
        assert!(
            registry
                .render()
                .contains("test_records_total{topic=\"e\"} 1")
        );
    }
}
