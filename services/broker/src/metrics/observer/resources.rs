//! What this broker has of memory, disks, connections and time.

use std::time::Duration;

use telemetry::metrics::Page;
use tokio::time::Instant;

use super::{Seen, Shared, flag, whole};
use crate::env::Env;
use crate::metrics::families::{own, strimzi};
use crate::net::Usage;

/// The busy time of the data plane's workers at the last look.
#[derive(Default)]
pub(super) struct Busy {
    last: Option<(Instant, Duration)>,
}

impl Busy {
    /// The share of time since the last call in which the workers had nothing to do.
    pub fn idle(&mut self, env: &Env) -> f64 {
        let (now, (workers, busy)) = (env.now(), env.data_plane_busy());
        let (began, before) = self.last.replace((now, busy)).unwrap_or((now, busy));
        let had = now.duration_since(began).as_secs_f64() * whole(workers);
        if had <= 0.0 {
            return 1.0;
        }
        (1.0 - busy.saturating_sub(before).as_secs_f64() / had).clamp(0.0, 1.0)
    }
}

impl Shared {
    pub(super) fn write_resources(&self, page: &mut Page, seen: &Seen) {
        self.write_directories(page, seen);
        self.write_memory(page);
        self.write_connections(page);
        page.add(&strimzi::NETWORK_IDLE, &[], seen.idle);
        page.add(&strimzi::HANDLER_IDLE, &[], seen.idle);
        let sessions = &self.broker.fetch_sessions;
        let (count, partitions) = sessions.counts();
        page.add(&strimzi::FETCH_SESSIONS, &[], whole(count));
        page.add(&strimzi::FETCH_SESSION_PARTITIONS, &[], whole(partitions));
        let evictions = sessions.evictions() as f64;
        page.add(&strimzi::FETCH_SESSION_EVICTIONS, &[], evictions);
    }

    fn write_directories(&self, page: &mut Page, seen: &Seen) {
        let directories = self.logs.directories();
        let sums = seen.directories.iter().zip(&seen.damaged);
        for (directory, (size, damaged)) in directories.iter().zip(sums) {
            let path = directory.path.display().to_string();
            let labels = [path.as_str()];
            if let Some(free) = directory.free_bytes {
                page.add(&own::DISK_FREE, &labels, free as f64);
            }
            page.add(&own::DIR_BYTES, &labels, *size as f64);
            page.add(&own::DAMAGED_OFFSETS, &labels, *damaged as f64);
            page.add(&own::DIR_ONLINE, &labels, flag(directory.online));
        }
        let offline = directories.iter().filter(|d| !d.online).count();
        page.add(&strimzi::OFFLINE_DIRECTORIES, &[], whole(offline));
    }

    fn write_memory(&self, page: &mut Page) {
        let cache = self.logs.cache();
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let [small, large] = self.broker.requests.shares();
        for (name, usage) in [
            small,
            large,
            ("answers", self.broker.answers.usage()),
            (
                "record_cache",
                Usage {
                    limit_bytes: bytes(cache.limit_bytes()),
                    used_bytes: bytes(cache.used_bytes()),
                },
            ),
        ] {
            page.add(&own::BUDGET_LIMIT, &[name], whole(usage.limit_bytes));
            page.add(&own::BUDGET_USED, &[name], whole(usage.used_bytes));
        }
        let (hits, misses) = cache.reads();
        page.add(&own::CACHE_READS, &["hit"], hits as f64);
        page.add(&own::CACHE_READS, &["miss"], misses as f64);
    }

    fn write_connections(&self, page: &mut Page) {
        let registry = self.broker.metrics.registry();
        let created = registry.counters(&strimzi::CONNECTIONS_CREATED);
        let closed = registry.counters(&strimzi::CONNECTIONS_CLOSED);
        created.each(|labels, created| {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let open = created.get().saturating_sub(closed.with(&labels).get());
            page.add(&strimzi::CONNECTIONS, &labels, open as f64);
        });
    }
}
