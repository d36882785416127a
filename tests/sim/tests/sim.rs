//! Simulated lives of a three-broker cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use sim::workload::{Producer, create_topic, partition, read_all};
use sim::{Cluster, Trace, seed_or};

const ALL: [i32; 3] = [1, 2, 3];
const RECORDS: usize = 60;

/// What the client asks the test to do to the brokers; 0 is nothing.
#[derive(Clone, Default)]
struct Wish {
    crash: Arc<AtomicI32>,
    restart: Arc<AtomicI32>,
}

/// Produces while the leader loses power in the middle and comes back; returns what was read.
fn life(seed: u64, trace: &Trace) -> Vec<String> {
    let mut cluster = Cluster::new(seed);
    let wish = Wish::default();
    let (asked, story) = (wish.clone(), trace.clone());
    let read = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let result = read.clone();
    cluster.sim.client("client", async move {
        let values = client(asked, story).await.map_err(|e| format!("{e:#}"))?;
        *result.lock() = values;
        Ok(())
    });
    while !cluster
        .sim
        .step()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", trace.tail(60)))
    {
        let id = wish.crash.swap(0, Ordering::Relaxed);
        if id != 0 {
            trace.note(format!("crash of broker {id}"));
            cluster.crash(id);
        }
        let id = wish.restart.swap(0, Ordering::Relaxed);
        if id != 0 {
            trace.note(format!("restart of broker {id}"));
            cluster.restart(id);
        }
    }
    Arc::into_inner(read)
        .expect("the client has ended")
        .into_inner()
}

async fn client(wish: Wish, trace: Trace) -> anyhow::Result<Vec<String>> {
    create_topic(&ALL).await?;
    let mut producer = Producer::new(&ALL).await?;
    let mut crashed = 0;
    for n in 0..RECORDS {
        if n == RECORDS / 3 {
            crashed = partition(&ALL).await?.leader_id;
            wish.crash.store(crashed, Ordering::Relaxed);
        }
        if n == 2 * RECORDS / 3 {
            wish.restart.store(crashed, Ordering::Relaxed);
        }
        let offset = producer.send(&format!("value {n}")).await?;
        trace.note(format!("value {n} acknowledged at {offset}"));
    }
    while partition(&ALL).await?.isr_nodes.len() < ALL.len() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    read_all(&ALL, RECORDS).await
}

#[test]
fn acknowledged_records_survive_the_loss_of_their_leader() {
    let seed = seed_or(1);
    let trace = Trace::default();
    let values = trace.record(|| life(seed, &trace));
    let want: Vec<String> = (0..RECORDS).map(|n| format!("value {n}")).collect();
    assert_eq!(
        values, want,
        "seed {seed}: each acknowledged record once and in order"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    let seed = seed_or(2);
    let runs = [(); 2].map(|()| {
        let trace = Trace::default();
        trace.record(|| life(seed, &trace));
        trace.lines()
    });
    let differs = runs[0].iter().zip(&runs[1]).position(|(a, b)| a != b);
    if let Some(at) = differs {
        panic!(
            "seed {seed}, line {at}:\n  {}\n  {}",
            runs[0][at], runs[1][at]
        );
    }
    assert_eq!(
        runs[0].len(),
        runs[1].len(),
        "seed {seed}: one trace is longer"
    );
    assert!(
        runs[0].iter().any(|line| line.contains("crash of broker")),
        "nothing happened"
    );
}
