//! `millrace verify` against stores that were corrupted on purpose, each in each way.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::mesh::{GENERATORS, Mesh};
use crate::stores::Stores;

/// One thing after the other is spoiled, and verify names it; and when it is mended, nothing.
pub async fn verify_names_whatever_was_corrupted(mesh: &Mesh) -> anyhow::Result<()> {
    // Given a mesh at rest that holds web logs and orders, all of them in every sink
    mesh.stop(GENERATORS)?;
    mesh.expect_clean(&mesh.verify(&["--wait", "90s"])?)?;
    // When and then
    let stores = Stores::connect(mesh.environment()).await?;
    rows(mesh, &stores).await?;
    documents(mesh, &stores).await?;
    objects(mesh, &stores).await?;
    mesh.expect_clean(&mesh.verify(&[])?)?;
    let usage = mesh.command(&["verify", "--wait", "soon"])?.output()?;
    ensure!(
        usage.status.code() == Some(2),
        "wrong usage ends with {}",
        usage.status
    );
    Ok(())
}

async fn rows(mesh: &Mesh, stores: &Stores) -> anyhow::Result<()> {
    let (partition, offset) = stores.some_row("web_logs", "web-logs").await?;
    let of = format!("topic = 'web-logs' AND partition = {partition} AND \"offset\" = {offset}");
    let expect = |kind| expect_offset(mesh, "web-logs", "postgres", kind, partition, offset);

    stores
        .sql(&format!(
            "CREATE TABLE kept AS SELECT * FROM web_logs WHERE {of}"
        ))
        .await?;
    stores
        .sql(&format!("DELETE FROM web_logs WHERE {of}"))
        .await?;
    expect("missing").context("a row deleted")?;
    stores
        .sql("INSERT INTO web_logs SELECT * FROM kept")
        .await?;

    stores
        .sql("ALTER TABLE web_logs DROP CONSTRAINT web_logs_pkey")
        .await?;
    stores
        .sql("INSERT INTO web_logs SELECT * FROM kept")
        .await?;
    expect("doubled").context("a row doubled")?;
    stores
        .sql(&format!(
            "DELETE FROM web_logs WHERE ctid = (SELECT max(ctid) FROM web_logs WHERE {of})"
        ))
        .await?;
    stores
        .sql("ALTER TABLE web_logs ADD PRIMARY KEY (topic, partition, \"offset\")")
        .await?;

    for change in [
        "url = url || 'x'",
        "status_code = status_code + 1",
        "timestamp = timestamp + '1 ms'",
        "ip = '192.0.2.1'",
    ] {
        stores
            .sql(&format!("UPDATE web_logs SET {change} WHERE {of}"))
            .await?;
        expect("different").with_context(|| format!("a row altered: {change}"))?;
        stores
            .sql(&format!("DELETE FROM web_logs WHERE {of}"))
            .await?;
        stores
            .sql("INSERT INTO web_logs SELECT * FROM kept")
            .await?;
    }

    let (partition, offset) = stores.some_row("order_items", "bk-orders").await?;
    let of = format!("partition = {partition} AND \"offset\" = {offset} AND line = 1");
    stores
        .sql(&format!(
            "UPDATE order_items SET unit_price = unit_price + 1 WHERE {of}"
        ))
        .await?;
    expect_offset(
        mesh,
        "bk-orders",
        "postgres",
        "different",
        partition,
        offset,
    )
    .context("an item altered")?;
    stores
        .sql(&format!(
            "UPDATE order_items SET unit_price = unit_price - 1 WHERE {of}"
        ))
        .await?;

    stores
        .sql("UPDATE ingest_offsets SET topic_id = topic_id || 'x' WHERE topic = 'web-logs'")
        .await?;
    expect_structural(mesh, "web-logs", "postgres", "ingest_offsets")
        .context("another topic's rows")?;
    stores
        .sql("UPDATE ingest_offsets SET topic_id = left(topic_id, -1) WHERE topic = 'web-logs'")
        .await
}

async fn documents(mesh: &Mesh, stores: &Stores) -> anyhow::Result<()> {
    let (partition, offset) = stores.some_row("web_logs", "web-logs").await?;
    let (index, document) = stores
        .document(&format!("web-logs-{partition}-{offset}"))
        .await?;
    let expect = |kind| expect_offset(mesh, "web-logs", "opensearch", kind, partition, offset);

    stores.delete_document(&index, &document).await?;
    expect("missing").context("a document deleted")?;

    let mut altered = document.clone();
    altered["_source"]["user_agent"] = json!("somebody else");
    stores.put_document(&index, &altered).await?;
    expect("different").context("a document altered")?;
    stores.put_document(&index, &document).await?;

    stores
        .put_document("web-logs-2001.01.01", &document)
        .await?;
    expect("doubled").context("a document doubled")?;
    stores
        .delete_document("web-logs-2001.01.01", &document)
        .await
}

async fn objects(mesh: &Mesh, stores: &Stores) -> anyhow::Result<()> {
    let object = stores.some_object("topics/web-logs/").await?;
    let (partition, start) = (object.partition, object.start);
    let expect = |kind| expect_offset(mesh, "web-logs", "s3", kind, partition, start);

    stores.delete_object(&object.key).await?;
    expect("missing").context("an object deleted")?;
    expect_structural(mesh, "web-logs", "s3", "are missing").context("an object deleted")?;

    stores
        .put_object(&object.key, object.altered(), &object.metadata)
        .await?;
    expect("different").context("a line altered")?;

    stores
        .put_object(&object.key, object.without_first_line(), &object.metadata)
        .await?;
    expect_structural(mesh, "web-logs", "s3", "lines, its metadata says")
        .context("a line deleted")?;
    stores
        .put_object(&object.key, object.body.clone(), &object.metadata)
        .await?;

    let second = object
        .key
        .replace(&format!("{start:010}"), &format!("{:010}", start + 1));
    stores
        .put_object(&second, object.body.clone(), &object.metadata)
        .await?;
    expect("doubled").context("an object doubled")?;
    stores.delete_object(&second).await
}

/// Records whose counter is too high, too low, or no number; the sinks store all of them.
pub fn counters(mesh: &Mesh) -> anyhow::Result<()> {
    let last = mesh.millrace(&["consume", "bk-orders", "--offset", "-1", "--exit", "--json"])?;
    let last: Value = serde_json::from_str(last.lines().next().context("an order")?)?;
    let (partition, value) = (
        last["partition"].to_string(),
        last["value"].as_str().context("a value")?,
    );
    let run = last["headers"]["millrace.run.id"]
        .as_str()
        .context("a run id")?;
    let counter: u64 = last["headers"]["millrace.counter"]
        .as_str()
        .context("a counter")?
        .parse()?;
    let run = format!("millrace.run.id={run}");
    for counter in [
        (counter + 3).to_string(),
        counter.to_string(),
        "many".to_owned(),
    ] {
        let counter = format!("millrace.counter={counter}");
        mesh.millrace(&[
            "produce",
            "bk-orders",
            "-p",
            &partition,
            "--value",
            value,
            "-H",
            &run,
            "-H",
            &counter,
        ])?;
    }
    let verified = mesh.verify(&["--wait", "60s", "--topic", "bk-orders"])?;
    ensure!(verified.status.code() == Some(1), "{}", verified.report);
    let problems = &verified.report["topics"][0]["counters"]["problems"];
    let found: Vec<Value> = problems
        .as_array()
        .context("problems")?
        .iter()
        .map(|one| json!([one["kind"], one["first"], one["last"]]))
        .collect();
    let expected = [
        json!(["missing", counter + 1, counter + 2]),
        json!(["repeated", counter, counter]),
        json!(["unreadable", "many", "many"]),
    ];
    ensure!(found == expected, "{problems}");
    ensure!(verified.report["problems"] == 3, "{}", verified.report);
    Ok(())
}

/// An empty topic, a topic that is not there, a sink that was never reached, and one that is away.
pub fn nothing_to_verify(mesh: &Mesh) -> anyhow::Result<()> {
    mesh.millrace(&["topics", "create", "more-orders", "--partitions", "1"])?;
    expect_failure(mesh, &["--topic", "more-orders"], "is empty")?;
    mesh.millrace(&["produce", "more-orders", "--value", "{}"])?;
    expect_failure(
        mesh,
        &["--topic", "more-orders", "--sink", "s3"],
        "never reached",
    )?;
    expect_failure(mesh, &["--topic", "nowhere"], "there is no topic")?;
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    expect_failure(
        mesh,
        &["--topic", "bk-orders", "--database-url", nowhere],
        "cannot be read",
    )
}

fn expect_failure(mesh: &Mesh, arguments: &[&str], text: &str) -> anyhow::Result<()> {
    let verified = mesh.verify(arguments)?;
    let failures = verified.report["failures"].to_string();
    ensure!(
        verified.status.code() == Some(1) && failures.contains(text),
        "{arguments:?}: {failures}"
    );
    Ok(())
}

/// What verify says of one sink of one topic, after it has failed as it must.
fn sink_report(mesh: &Mesh, topic: &str, sink: &str) -> anyhow::Result<Value> {
    let mut verified = mesh.verify(&["--topic", topic, "--sink", sink])?;
    ensure!(
        verified.status.code() == Some(1),
        "verify found nothing: {}",
        verified.report
    );
    Ok(verified.report["topics"][0]["sinks"][0].take())
}

fn expect_offset(
    mesh: &Mesh,
    topic: &str,
    sink: &str,
    kind: &str,
    partition: i32,
    offset: i64,
) -> anyhow::Result<()> {
    let report = sink_report(mesh, topic, sink)?;
    let findings = report["findings"]["offsets"]
        .as_array()
        .context("findings")?;
    let names =
        |range: &Value| range[0].as_i64() <= Some(offset) && Some(offset) <= range[1].as_i64();
    let named = findings.iter().any(|finding| {
        let ranges = finding["offsets"].as_array().map_or(&[][..], Vec::as_slice);
        finding["kind"] == kind && finding["partition"] == partition && ranges.iter().any(names)
    });
    ensure!(
        named,
        "expected {kind} at {topic}-{partition} offset {offset}, but: {report:#}"
    );
    Ok(())
}

fn expect_structural(mesh: &Mesh, topic: &str, sink: &str, text: &str) -> anyhow::Result<()> {
    let report = sink_report(mesh, topic, sink)?;
    let problems = report["findings"]["structural"].to_string();
    ensure!(
        problems.contains(text),
        "expected {text:?}, but: {report:#}"
    );
    Ok(())
}
