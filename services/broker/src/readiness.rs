//! When a broker that has started is back: in the ISR of each of its partitions that has a live leader.
//!
//! Whoever restarts brokers one after the other waits for this, so it must not come early. It comes once and stays:
//! a partition that falls behind later is a matter for an alert, and must not take all brokers out of a load balancer.
//! What this broker cannot mend by going on (a log that it cannot open, a directory out of service) counts for a while
//! only: for ever, and one bad disk would keep a broker away from everything else that it holds.

use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionId, PartitionState};
use telemetry::Readiness;
use tokio::time::{Instant, timeout};

use crate::env::Env;
use crate::partition::Partitions;
use crate::quorum::Quorum;

/// The part of `/readyz`.
pub const REPLICAS: &str = "replicas";
/// How long a partition counts whose log is not in service here.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks, should nothing happen.
const LOOK: Duration = Duration::from_secs(1);

/// Watches until the broker is back.
pub async fn run(
    env: Env,
    me: BrokerId,
    quorum: Arc<Quorum>,
    partitions: Arc<Partitions>,
    readiness: Readiness,
) {
    let begun: Instant = env.now();
    let mut images = quorum.watch();
    loop {
        let image = images.latest();
        let is_patient = env.now().saturating_duration_since(begun) < PATIENCE;
        let counts = |id: PartitionId| is_patient || partitions.is_in_service(id);
        let missing = missing(&image, me, counts);
        match describe(&image, me, &missing) {
            None => {
                tracing::info!("every replica that has a leader is in sync");
                return readiness.ready(REPLICAS);
            }
            Some(why) => readiness.not_ready(REPLICAS, why),
        }
        if let Ok(Err(_)) = timeout(LOOK, images.changed()).await {
            return;
        }
    }
}

/// The partitions whose ISR this broker should be in and is not.
fn missing(image: &Image, me: BrokerId, counts: impl Fn(PartitionId) -> bool) -> Vec<PartitionId> {
    let lags = |p: &PartitionState| p.leader.is_some() && !p.is_in_sync(me);
    // A replica that is only being added takes its time, and nothing depends on it yet.
    let is_mine = |p: &PartitionState| p.has_replica(me) && !p.adding.contains(&me);
    image
        .partitions()
        .filter(|(id, p)| is_mine(p) && lags(p) && counts(*id))
        .map(|(id, _)| id)
        .collect()
}

fn describe(image: &Image, me: BrokerId, missing: &[PartitionId]) -> Option<String> {
    let first = missing.first()?;
    let topic = image.topic_by_id(first.topic).map_or("", |t| &t.name);
    let all = image.partitions().filter(|(_, p)| p.has_replica(me));
    Some(format!(
        "{} of {} are not in sync, {topic}-{} among them",
        missing.len(),
        all.count(),
        first.index
    ))
}
