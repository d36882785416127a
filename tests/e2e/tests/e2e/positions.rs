//! A position beyond the end of its log stops that partition with an error; it is never reset.

use anyhow::{Result, ensure};
use cluster::until;
use serde_json::json;

use crate::mesh::{Mesh, PATIENCE};
use crate::stores::Stores;

/// How far beyond the end.
const BEYOND: i64 = 1_000_000;
const STOPPED: [(&str, &str); 3] = [
    ("etl", "postgres web-logs-0: stopped: "),
    ("etl", "opensearch web-logs-0: stopped: "),
    ("archiver", "s3 web-logs-0: stopped: "),
];

pub async fn beyond_the_log_they_stop_the_partition(mesh: &Mesh) -> Result<()> {
    // Given a mesh at rest, and positions of one partition that lie behind all records
    let stores = Stores::connect(mesh.environment()).await?;
    let of = "WHERE topic = 'web-logs' AND partition = 0";
    let moved =
        |by: i64| format!("UPDATE ingest_offsets SET next_offset = next_offset + {by} {of}");
    stores.sql(&moved(BEYOND)).await?;
    let position = stores.position("web-logs-0").await?;
    let mut beyond = position.clone();
    let next = position["_source"]["next_offset"].as_i64().unwrap_or(0);
    beyond["_source"]["next_offset"] = json!(next + BEYOND);
    stores
        .put_document("millrace-ingest-offsets", &beyond)
        .await?;
    let object = stores
        .forge_object("topics/web-logs/partition=0/", BEYOND)
        .await?;
    // When the sinks find them
    kill_sinks(mesh)?;
    // Then they stop this partition, say why and what to do, and serve the others
    for (part, stopped) in STOPPED {
        until(PATIENCE, &format!("{part} says {stopped:?}"), || {
            let ready = mesh.asked(part, "/readyz")?;
            let line = ready.lines().find(|line| line.starts_with(stopped));
            let told = |line: &str| line.contains("beyond the end") && line.contains("by hand");
            Ok(line.is_some_and(told)
                && ready.matches("stopped: ").count() == ready.lines().count())
        })?;
    }
    let metrics = mesh.asked("etl", "/metrics")?;
    let sample = "millrace_sink_stopped{sink=\"postgres\",topic=\"web-logs\",partition=\"0\"} 1";
    ensure!(metrics.contains(sample), "no {sample:?} in: {metrics}");

    // And when the positions are mended, all is well
    stores.sql(&moved(-BEYOND)).await?;
    stores
        .put_document("millrace-ingest-offsets", &position)
        .await?;
    stores.delete_object(&object).await?;
    kill_sinks(mesh)?;
    for part in ["etl", "archiver"] {
        until(PATIENCE, &format!("{part} is ready"), || {
            Ok(mesh.asked(part, "/readyz")? == "ready\n")
        })?;
    }
    mesh.expect_clean(&mesh.verify(&["--wait", "60s"])?)
}

fn kill_sinks(mesh: &Mesh) -> Result<()> {
    mesh.stack.kill("etl")?;
    mesh.stack.kill("archiver")
}
