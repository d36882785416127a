//! The OpenSearch sink.

use std::collections::BTreeSet;

use etl::opensearch::{NAME, OpenSearch};
use opensearch::OpenSearch as Client;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::transport::Transport;
use pipeline::{Error, Gap, Sink, Writer};
use serde_json::Value;

use crate::scene::{Scene, batch, line, record, variable};

async fn sink(scene: &Scene) -> OpenSearch {
    let dead_letters = scene.dead_letters(NAME).await;
    OpenSearch::new(
        &variable("OPENSEARCH_URL"),
        None,
        scene.topics.clone(),
        dead_letters,
    )
    .expect("a sink")
}

async fn call(method: Method, path: &str) -> Value {
    let transport = Transport::single_node(&variable("OPENSEARCH_URL")).expect("an address");
    let client = Client::new(transport);
    let sent = client
        .send(
            method,
            path,
            HeaderMap::new(),
            None::<&()>,
            None::<String>,
            None,
        )
        .await;
    sent.expect("OpenSearch").json().await.expect("JSON")
}

/// A writer of the scene's partition, which is at offset 0.
async fn writer(scene: &Scene) -> impl Writer {
    let (writer, position) = sink(scene).await.open(&scene.source).await.expect("opened");
    assert_eq!(position, 0);
    writer
}

async fn stored(scene: &Scene) -> BTreeSet<i64> {
    let index = format!("{}-2026.01.01", scene.topics.web_logs);
    call(Method::Post, &format!("/{index}/_refresh")).await;
    let found = call(Method::Get, &format!("/{index}/_search?size=1000")).await;
    let hits = found["hits"]["hits"].as_array().expect("hits").clone();
    let offset = |hit: &Value| hit["_source"]["offset"].as_i64().expect("an offset");
    let offsets: BTreeSet<i64> = hits.iter().map(offset).collect();
    assert_eq!(offsets.len(), hits.len());
    offsets
}

#[tokio::test]
#[ignore = "needs brokers and OpenSearch"]
async fn a_repeated_batch_changes_nothing_and_an_old_owner_follows_the_new_one() {
    let scene = Scene::new().await;
    let sink = sink(&scene).await;
    let (mut old, position) = sink.open(&scene.source).await.expect("opened");
    assert_eq!(position, 0);
    assert_eq!(old.write(&batch(0..10)).await.expect("stored"), 10);

    let (mut new, position) = sink.open(&scene.source).await.expect("opened");
    assert_eq!(position, 10);
    assert_eq!(new.write(&batch(10..20)).await.expect("stored"), 20);
    assert_eq!(
        old.write(&batch(10..15))
            .await
            .expect("told where the position is"),
        20
    );
    assert_eq!(stored(&scene).await, (0..20).collect());
}

#[tokio::test]
#[ignore = "needs brokers and OpenSearch"]
async fn poison_goes_to_the_dead_letters_and_its_neighbours_are_kept() {
    let scene = Scene::new().await;
    let mut writer = writer(&scene).await;
    let mut batch = batch(0..50);
    batch.records[7] = record(7, "no JSON");
    batch.records[8] = record(8, &line(99_999, "/no-short"));
    assert_eq!(writer.write(&batch).await.expect("stored"), 50);
    let poison = BTreeSet::from([7, 8]);
    assert_eq!(scene.refused(NAME, 2).await, poison);
    assert_eq!(
        stored(&scene).await,
        (0..50).filter(|offset| !poison.contains(offset)).collect()
    );
}

#[tokio::test]
#[ignore = "needs brokers and OpenSearch"]
async fn a_recreated_topic_is_stopped_and_a_gap_moves_the_position() {
    let scene = Scene::new().await;
    let sink = sink(&scene).await;
    let (mut writer, _) = sink.open(&scene.source).await.expect("opened");
    assert_eq!(
        writer
            .skip(Gap { from: 0, to: 40 })
            .await
            .expect("recorded"),
        40
    );
    assert_eq!(sink.open(&scene.source).await.expect("opened").1, 40);
    assert!(matches!(
        sink.open(&scene.recreated()).await,
        Err(Error::Stop(_))
    ));
}

#[tokio::test]
#[ignore = "needs brokers and OpenSearch"]
async fn a_store_that_lost_its_documents_is_filled_from_the_start() {
    let scene = Scene::new().await;
    let sink = sink(&scene).await;
    let (mut writer, _) = sink.open(&scene.source).await.expect("opened");
    writer.write(&batch(0..10)).await.expect("stored");
    let position = format!("{}-{}", scene.topics.web_logs, scene.source.partition.index);
    call(
        Method::Delete,
        &format!("/{}-2026.01.01", scene.topics.web_logs),
    )
    .await;
    call(
        Method::Delete,
        &format!("/{}/_doc/{position}", etl::opensearch::OFFSETS_INDEX),
    )
    .await;

    assert_eq!(
        writer
            .write(&batch(10..20))
            .await
            .expect("told to begin again"),
        0
    );
    let (mut again, position) = sink.open(&scene.source).await.expect("opened");
    assert_eq!(position, 0);
    assert_eq!(again.write(&batch(0..20)).await.expect("stored"), 20);
    assert_eq!(stored(&scene).await, (0..20).collect());
}
