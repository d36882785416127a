//! What happened, in the order in which it happened: every log line with its simulated time and its host.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Collects log lines of the thread that it is installed on.
#[derive(Clone, Default)]
pub struct Trace {
    /// What brokers log at DEBUG, too.
    tells_all: bool,
    lines: Arc<Mutex<Vec<String>>>,
    /// The host whose turn it is.
    host: Arc<Mutex<String>>,
}

impl Trace {
    /// One that has what is logged at DEBUG, too.
    pub fn of_all() -> Trace {
        Trace {
            tells_all: true,
            ..Trace::default()
        }
    }

    /// Runs `work`, a whole life, with this trace as the thread's subscriber.
    ///
    /// One life at a time, each with task ids from the same remainder on: tokio counts the tasks of the whole
    /// process, and when a host crashes it drops them in an order that depends on their ids' last bits.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock();
        align_task_ids();
        tracing::subscriber::with_default(self.clone(), work)
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// The last lines, for the report of a failure.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines.lock();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Adds a line of the test's own.
    pub fn note(&self, line: String) {
        self.lines.lock().push(line);
    }
}

impl Subscriber for Trace {
    /// Events, and the span that turmoil enters for a host at each of its steps.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return is_host(metadata);
        }
        // openraft prints instants of the machine's own clock, and turmoil the order in which a crashed host's
        // tasks are dropped: no two runs share them.
        let target = metadata.target();
        let is_foreign = target.starts_with("openraft") || target.starts_with("turmoil");
        let level = match target {
            // They have marks of their own.
            "broker::partition::append" | "broker::quorum::machine" => Level::DEBUG,
            _ if self.tells_all => Level::DEBUG,
            _ => Level::INFO,
        };
        *metadata.level() <= level && !is_foreign
    }

    fn event(&self, event: &Event<'_>) {
        let at = turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_micros());
        let host = self.host.lock().clone();
        let mut line = format!("{at:>10} {host:<9} {}", event.metadata().target());
        event.record(&mut Fields(&mut line));
        self.lines.lock().push(line);
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut host = String::new();
        attributes.record(&mut Name(&mut host));
        *self.host.lock() = host;
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {
        self.host.lock().clear();
    }
}

/// Spawns empty tasks until the last one's id ends in enough zero bits.
fn align_task_ids() {
    const SHARDS: u64 = 64;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers can always be built");
    let id = || runtime.spawn(async {}).id().to_string().parse::<u64>();
    while id().is_ok_and(|id| id % SHARDS != 0) {}
}

fn is_host(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("turmoil") && metadata.name() == "node"
}

/// The field of that name.
struct Name<'a>(&'a mut String);

impl Visit for Name<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            *self.0 = value.to_string();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into a string does not fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
