//! What every process shows of itself.

use super::family::Family;
use super::page::Page;
use super::registry::Registry;
use crate::Readiness;
use crate::traces::SPANS;

static BUILD_INFO: Family = Family::gauge(
    "millrace_build_info",
    &["service", "version"],
    "1; which program this is",
);
static READY: Family = Family::gauge("millrace_ready", &[], "1 while /readyz answers 200, else 0");
static CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    &[],
    "User and system CPU time of the process",
)
.unit("seconds");
static RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    &[],
    "Resident memory of the process",
)
.unit("bytes");
static VIRTUAL: Family = Family::gauge(
    "process_virtual_memory_bytes",
    &[],
    "Virtual memory of the process",
)
.unit("bytes");
static OPEN_FDS: Family = Family::gauge("process_open_fds", &[], "Open file descriptors");
static MAX_FDS: Family = Family::gauge(
    "process_max_fds",
    &[],
    "The most file descriptors that the process may open",
);
static THREADS: Family = Family::gauge("process_threads", &[], "Threads of the process");
static STARTED: Family = Family::gauge(
    "process_start_time_seconds",
    &[],
    "When the process started, since the Unix epoch",
)
.unit("seconds");
static DISK_READ: Family = Family::counter(
    "kafka_server_kafkaserver_linux_disk_read_bytes",
    &[],
    "Bytes that the process had read from disks",
)
.unit("bytes");
static DISK_WRITE: Family = Family::counter(
    "kafka_server_kafkaserver_linux_disk_write_bytes",
    &[],
    "Bytes that the process had written to disks",
)
.unit("bytes");

/// The families of every process.
pub static PROCESS_FAMILIES: &[&Family] = &[
    &BUILD_INFO,
    &READY,
    &CPU,
    &RESIDENT,
    &VIRTUAL,
    &OPEN_FDS,
    &MAX_FDS,
    &THREADS,
    &STARTED,
    &SPANS,
];

/// What [`describe_disk_io`] shows.
pub static DISK_FAMILIES: &[&Family] = &[&DISK_READ, &DISK_WRITE];

/// The kernel counts CPU time in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Has `registry` show which program this is and what it takes of the machine. Only a `main` calls it: the numbers are
/// the whole process's.
pub fn describe_process(registry: &Registry, service: &'static str) {
    registry.source("process", move |page: &mut Page| {
        page.add(&BUILD_INFO, &[service, env!("CARGO_PKG_VERSION")], 1.0);
        // Where there is no /proc there are no numbers; that is all.
        let _ = show(page);
    });
}

/// Has `registry` show what the process reads and writes, under the names that a broker has for it. Only its `main` calls
/// it.
pub fn describe_disk_io(registry: &Registry) {
    registry.source("disk", |page: &mut Page| {
        // As above.
        let _ = show_disk_io(page);
    });
}

fn show(page: &mut Page) -> Option<()> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
    let fds = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself was one of them.
    page.add(&OPEN_FDS, &[], fds.saturating_sub(1) as f64);
    let limits = read("limits")?;
    if let Some(max) = soft_limit(&limits, "Max open files") {
        page.add(&MAX_FDS, &[], max);
    }
    let status = read("status")?;
    for (family, name, scale) in [
        (&RESIDENT, "VmRSS:", 1024.0),
        (&VIRTUAL, "VmSize:", 1024.0),
        (&THREADS, "Threads:", 1.0),
    ] {
        if let Some(value) = field(&status, name) {
            page.add(family, &[], value * scale);
        }
    }
    let stat = Stat::parse(&read("stat")?)?;
    page.add(&CPU, &[], stat.cpu_seconds);
    let boot = field(&std::fs::read_to_string("/proc/stat").ok()?, "btime")?;
    page.add(&STARTED, &[], boot + stat.started_seconds);
    Some(())
}

fn show_disk_io(page: &mut Page) -> Option<()> {
    let io = std::fs::read_to_string("/proc/self/io").ok()?;
    page.add(&DISK_READ, &[], field(&io, "read_bytes:")?);
    page.add(&DISK_WRITE, &[], field(&io, "write_bytes:")?);
    Some(())
}

/// The number behind `name` at the head of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    field(limits, name)
}

struct Stat {
    cpu_seconds: f64,
    started_seconds: f64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Stat> {
        // The second field is the program's name in brackets and may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            started_seconds: ticks(19)? / TICKS_PER_SECOND,
        })
    }
}

/// Shows what `/readyz` says.
pub(crate) struct ReadySource(pub(crate) Readiness);

impl super::Source for ReadySource {
    fn write(&self, page: &mut Page) {
        page.add(&READY, &[], f64::from(u8::from(self.0.is_ready())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_takes() {
        let registry = Registry::new();
        describe_process(&registry, "test");
        describe_disk_io(&registry);
        let text = registry.render();
        let families = [PROCESS_FAMILIES, DISK_FAMILIES].concat();
        for family in families
            .iter()
            .filter(|f| ![READY.name, SPANS.name].contains(&f.name))
        {
            let shown = text.lines().any(|line| line.starts_with(family.name));
            assert!(shown, "no {} in {text}", family.name);
        }
        let started = field(&text, "process_start_time_seconds ").expect("a number");
        assert!(started > 1.6e9, "{started}");
    }

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 150 0 0 20 0 9 0 4200 0";
        let stat = Stat::parse(stat).expect("fields");
        assert_eq!((stat.cpu_seconds, stat.started_seconds), (4.0, 42.0));
    }
}
