//! The text of one scrape.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::family::Family;
use super::points::Observed;

/// Something that is looked up at each scrape. It must not wait: it runs where `/metrics` is answered.
pub trait Source: Send + Sync + 'static {
    fn write(&self, page: &mut Page);
}

impl<F: Fn(&mut Page) + Send + Sync + 'static> Source for F {
    fn write(&self, page: &mut Page) {
        self(page);
    }
}

/// Gathers series by family, as the format wants them, within the limit of each.
pub struct Page {
    limit: usize,
    families: BTreeMap<&'static str, Rows>,
}

struct Rows {
    family: &'static Family,
    text: String,
    series: usize,
    dropped: u64,
}

impl Page {
    pub(super) fn new(limit: usize) -> Page {
        Page {
            limit,
            families: BTreeMap::new(),
        }
    }

    /// Adds a series, the values of its labels in the order in which the family names them.
    pub fn add(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        if let Some(text) = self.room(family) {
            line(text, family, "", labels, None, value);
        }
    }

    pub(super) fn add_histogram(
        &mut self,
        family: &'static Family,
        labels: &[&str],
        observed: &Observed,
    ) {
        let Some(text) = self.room(family) else {
            return;
        };
        let mut so_far = 0;
        for (bound, count) in observed.bounds.iter().zip(&observed.counts) {
            so_far += count;
            line(text, family, "_bucket", labels, Some(*bound), so_far as f64);
        }
        let all = observed.count() as f64;
        line(text, family, "_bucket", labels, Some(f64::INFINITY), all);
        line(text, family, "_sum", labels, None, observed.sum);
        line(text, family, "_count", labels, None, all);
    }

    fn room(&mut self, family: &'static Family) -> Option<&mut String> {
        let limit = self.limit;
        let rows = self.families.entry(family.name).or_insert_with(|| Rows {
            family,
            text: String::new(),
            series: 0,
            dropped: 0,
        });
        if rows.series >= limit && family.is_open() {
            rows.dropped += 1;
            return None;
        }
        rows.series += 1;
        Some(&mut rows.text)
    }

    /// How many series of each open family did not fit.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let open = self.families.values().filter(|rows| rows.family.is_open());
        open.map(|rows| (rows.family.name, rows.dropped))
    }

    pub(super) fn finish(self) -> String {
        let size = self.families.values().map(|rows| rows.text.len() + 200);
        let mut text = String::with_capacity(size.sum());
        for rows in self.families.into_values() {
            let (name, kind) = (rows.family.name, rows.family.type_name());
            let _ = writeln!(text, "# HELP {name} {}", rows.family.help);
            let _ = writeln!(text, "# TYPE {name} {kind}");
            text.push_str(&rows.text);
        }
        text
    }
}

/// One sample. Writing to a string cannot fail.
fn line(
    text: &mut String,
    family: &Family,
    suffix: &str,
    labels: &[&str],
    le: Option<f64>,
    value: f64,
) {
    debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
    text.push_str(family.name);
    text.push_str(suffix);
    let mut open = '{';
    for (name, label) in family.labels.iter().zip(labels) {
        text.push(open);
        text.push_str(name);
        text.push_str("=\"");
        escape(text, label);
        text.push('"');
        open = ',';
    }
    if let Some(le) = le {
        text.push(open);
        text.push_str("le=\"");
        number(text, le);
        text.push('"');
        open = ',';
    }
    if open == ',' {
        text.push('}');
    }
    text.push(' ');
    number(text, value);
    text.push('\n');
}

fn number(text: &mut String, value: f64) {
    let _ = if value == f64::INFINITY {
        write!(text, "+Inf")
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        // Far faster than the shortest form of a float, and most values are whole.
        write!(text, "{}", value as i64)
    } else {
        write!(text, "{value}")
    };
}

fn escape(text: &mut String, label: &str) {
    if !label.contains(['\\', '"', '\n']) {
        return text.push_str(label);
    }
    for c in label.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}
