//! Histograms shown as Kafka shows its own: as quantiles of what was lately observed, in milliseconds.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use telemetry::metrics::{Family, Histogram, Observed, Page};

/// Kafka's percentiles, with the labels that Strimzi's JMX rules make of them.
const QUANTILES: &[(f64, &str)] = &[
    (0.5, "0.50"),
    (0.75, "0.75"),
    (0.95, "0.95"),
    (0.98, "0.98"),
    (0.99, "0.99"),
    (0.999, "0.999"),
];

/// Every histogram that is shown as quantiles.
#[derive(Default)]
pub struct Windows {
    windows: Mutex<BTreeMap<(&'static str, &'static str), Window>>,
}

struct Window {
    histogram: Histogram,
    quantiles: &'static Family,
    count: &'static Family,
    /// What it had counted when the last window and the one before began.
    began: Observed,
    began_before: Observed,
}

impl Windows {
    /// Shows `histogram` under these families, for `request` where they have that label.
    pub fn show(
        &self,
        histogram: &Histogram,
        request: &'static str,
        quantiles: &'static Family,
        count: &'static Family,
    ) {
        let now = histogram.observed();
        let window = Window {
            histogram: histogram.clone(),
            quantiles,
            count,
            began: now.clone(),
            began_before: now,
        };
        let mut windows = self.windows.lock();
        windows.entry((quantiles.name, request)).or_insert(window);
    }

    /// Begins new windows. What is shown covers one to two of the intervals between calls.
    pub fn turn(&self) {
        for window in self.windows.lock().values_mut() {
            let now = window.histogram.observed();
            window.began_before = std::mem::replace(&mut window.began, now);
        }
    }

    pub fn write(&self, page: &mut Page) {
        for ((_, request), window) in self.windows.lock().iter() {
            let now = window.histogram.observed();
            let lately = now.since(&window.began_before);
            let has_request = !window.count.labels.is_empty();
            for (q, label) in QUANTILES {
                let millis = lately.quantile(*q) * 1e3;
                match has_request {
                    true => page.add(window.quantiles, &[*request, *label], millis),
                    false => page.add(window.quantiles, &[*label], millis),
                }
            }
            match has_request {
                true => page.add(window.count, &[*request], now.count() as f64),
                false => page.add(window.count, &[], now.count() as f64),
            }
        }
    }
}
