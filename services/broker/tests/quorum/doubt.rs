//! What a failed disk has lost is remembered in the cluster's metadata, should no disk take it.

use std::sync::Arc;

use broker::logs::Logs;
use broker::metrics::Metrics;
use broker::partition::Partitions;
use engine::replica::Acks;
use storage::memory::{Fault, MemoryDisk, Operation};
use tokio::time::timeout;
use wire::record::BatchBuilder;

use crate::harness::{Cluster, LIMIT};

#[test]
fn a_broker_whose_logs_cannot_be_flushed_may_end_once_the_cluster_knows() {
    let cluster = Cluster::up(&[1, 2, 3], &[]);
    cluster.create(1, "t", &[1]);
    let disk = Arc::new(MemoryDisk::new());
    let (env, config) = (cluster.env_on(1, disk.clone()), Arc::new(cluster.config(1)));
    let quorum = cluster.live[&1].quorum.clone();
    cluster.run(1, async {
        let logs = Logs::open(env.clone(), config.clone()).await;
        let logs = logs.expect("an empty directory");
        let metrics = Arc::new(Metrics::new(telemetry::Registry::new()));
        let partitions = Partitions::new(env.clone(), config, metrics, logs.clone());
        partitions.apply(quorum.image()).await;
        let partition = partitions.find("t", 0).expect("it is led here");
        let mut batch = BatchBuilder::new(0);
        batch.append(None, Some(b"value"));
        let appended = partition.append(batch.build(), Acks::Leader);
        appended.expect("nothing speaks against it");

        disk.inject(Fault::always(Operation::Sync, "t-0"));
        partition
            .flush(&env)
            .await
            .expect_err("the disk refuses it");
        // No disk is asked: what keeps this broker's directories does not run here.
        let confession = tokio::spawn(logs.clone().confess(quorum.clone()));
        let remembered = timeout(LIMIT, logs.remembered()).await;
        remembered.expect("the cluster has been told");
        confession.await.expect("it does not panic");
    });
}
