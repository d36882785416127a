//! The PostgreSQL sink.

use std::collections::BTreeSet;
use std::time::Duration;

use etl::postgres::{NAME, Postgres};
use pipeline::{Error, Gap, Sink, Writer};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::cut::{Cut, Proxy};
use crate::scene::{Scene, batch, line, record, variable};

async fn sink(scene: &Scene) -> Postgres {
    sink_of(scene, &variable("DATABASE_URL"), 2).await
}

async fn sink_of(scene: &Scene, url: &str, connections: u32) -> Postgres {
    let dead_letters = scene.dead_letters(NAME).await;
    Postgres::new(url, connections, scene.topics.clone(), dead_letters).expect("a sink")
}

/// A writer of the scene's partition, which is at offset 0.
async fn writer(scene: &Scene) -> impl Writer {
    let (writer, position) = sink(scene).await.open(&scene.source).await.expect("opened");
    assert_eq!(position, 0);
    writer
}

/// A sink that reaches PostgreSQL by way of a proxy.
async fn proxied(scene: &Scene, connections: u32) -> (Proxy, Postgres) {
    let direct: PgConnectOptions = variable("DATABASE_URL").parse().expect("a URL");
    let proxy = Proxy::to(format!("{}:{}", direct.get_host(), direct.get_port())).await;
    let url = direct.host("127.0.0.1").port(proxy.port).to_url_lossy();
    let sink = sink_of(scene, url.as_str(), connections).await;
    (proxy, sink)
}

async fn stored(scene: &Scene) -> Vec<i64> {
    let pool = PgPool::connect(&variable("DATABASE_URL"))
        .await
        .expect("PostgreSQL");
    let query = r#"SELECT "offset" FROM web_logs WHERE topic = $1 ORDER BY 1"#;
    let rows: Vec<(i64,)> = sqlx::query_as(query)
        .bind(&scene.topics.web_logs)
        .fetch_all(&pool)
        .await
        .expect("rows");
    rows.into_iter().map(|(offset,)| offset).collect()
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn an_owner_that_lost_the_partition_stores_nothing() {
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
    assert_eq!(
        old.write(&batch(0..10))
            .await
            .expect("told where the position is"),
        20
    );
    assert_eq!(stored(&scene).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn poison_is_found_among_its_neighbours_and_they_are_kept() {
    let scene = Scene::new().await;
    let mut writer = writer(&scene).await;
    let mut batch = batch(0..100);
    batch.records[7] = record(7, "no JSON");
    batch.records[31] = record(31, &line(999, "/refused-by-a-constraint"));
    batch.records[32] = record(32, &line(200, "/refused-by-the-encoding/\\u0000"));
    batch.records[99].value = None;

    assert_eq!(writer.write(&batch).await.expect("stored"), 100);
    let poison = BTreeSet::from([7, 31, 32, 99]);
    assert_eq!(scene.refused(NAME, 4).await, poison);
    let kept: Vec<i64> = (0..100).filter(|offset| !poison.contains(offset)).collect();
    assert_eq!(stored(&scene).await, kept);
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_gap_is_recorded_with_the_position() {
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
    // A second owner that saw the same gap does not record it again.
    assert_eq!(
        writer
            .skip(Gap { from: 0, to: 41 })
            .await
            .expect("told the position"),
        40
    );

    let pool = PgPool::connect(&variable("DATABASE_URL"))
        .await
        .expect("PostgreSQL");
    let query = "SELECT from_offset, to_offset FROM ingest_gaps WHERE topic = $1";
    let gaps: Vec<(i64, i64)> = sqlx::query_as(query)
        .bind(&scene.topics.web_logs)
        .fetch_all(&pool)
        .await
        .expect("gaps");
    assert_eq!(gaps, [(0, 40)]);
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_recreated_topic_is_stopped_with_the_ways_out() {
    let scene = Scene::new().await;
    let sink = sink(&scene).await;
    let (mut writer, _) = sink.open(&scene.source).await.expect("opened");
    writer.write(&batch(0..10)).await.expect("stored");
    match sink.open(&scene.recreated()).await {
        Err(Error::Stop(error)) => assert!(error.to_string().contains("Ways out"), "{error}"),
        Err(Error::Retry(error)) => panic!("not worth another try: {error}"),
        Ok(_) => panic!("another topic's records must not mix with these"),
    }
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn rows_that_are_there_already_stop_the_partition_instead_of_being_lost() {
    let scene = Scene::new().await;
    let mut writer = writer(&scene).await;
    writer.write(&batch(0..10)).await.expect("stored");
    let pool = PgPool::connect(&variable("DATABASE_URL"))
        .await
        .expect("PostgreSQL");
    let reset = sqlx::query("UPDATE ingest_offsets SET next_offset = 5 WHERE topic = $1");
    reset
        .bind(&scene.topics.web_logs)
        .execute(&pool)
        .await
        .expect("reset by hand");
    assert!(matches!(
        writer.write(&batch(5..15)).await,
        Err(Error::Stop(_))
    ));
    assert_eq!(stored(&scene).await.len(), 10);
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_commit_of_unknown_outcome_is_resolved_by_the_table() {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let scene = Scene::new().await;
        let (proxy, sink) = proxied(&scene, 2).await;
        let (mut writer, _) = sink.open(&scene.source).await.expect("opened");
        assert_eq!(writer.write(&batch(0..10)).await.expect("stored"), 10);

        proxy.cut_next(cut);
        let unknown = writer.write(&batch(10..20)).await;
        assert!(
            matches!(unknown, Err(Error::Retry(_))),
            "{cut:?}: {unknown:?}"
        );
        assert_eq!(
            writer.write(&batch(10..20)).await.expect("stored"),
            20,
            "{cut:?}"
        );
        assert_eq!(stored(&scene).await, (0..20).collect::<Vec<_>>(), "{cut:?}");
    }
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_server_that_falls_silent_costs_no_place_in_the_pool() {
    let scene = Scene::new().await;
    let (proxy, sink) = proxied(&scene, 1).await;
    let sink = sink.with_answer_timeout(Duration::from_secs(5));
    let (mut writer, _) = sink.open(&scene.source).await.expect("opened");
    proxy.cut_next(Cut::Silence);
    let unknown = writer.write(&batch(0..10)).await;
    assert!(matches!(unknown, Err(Error::Retry(_))), "{unknown:?}");
    assert_eq!(writer.write(&batch(0..10)).await.expect("stored"), 10);
    assert_eq!(stored(&scene).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_batch_that_is_almost_all_poison_is_told_apart_too() {
    let scene = Scene::new().await;
    let mut writer = writer(&scene).await;
    let mut batch = batch(0..150);
    let good = [0, 77, 149];
    for offset in (0..150).filter(|offset| !good.contains(offset)) {
        batch.records[offset as usize] = record(offset, &line(999, "/refused-by-a-constraint"));
    }
    assert_eq!(writer.write(&batch).await.expect("stored"), 150);
    assert_eq!(scene.refused(NAME, 147).await.len(), 147);
    assert_eq!(stored(&scene).await, good);
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn a_record_that_no_dead_letter_can_hold_is_still_reported() {
    let scene = Scene::new().await;
    let mut writer = writer(&scene).await;
    let mut batch = batch(0..3);
    let large = || Some(vec![b'x'; 1_100_000].into());
    batch.records[1].value = large();
    batch.records[2] = record(2, "no JSON");
    batch.records[2].key = large();
    assert_eq!(writer.write(&batch).await.expect("stored"), 3);
    assert_eq!(scene.refused(NAME, 2).await, BTreeSet::from([1, 2]));
    assert_eq!(stored(&scene).await, [0]);
}

#[tokio::test]
#[ignore = "needs brokers and PostgreSQL"]
async fn sinks_that_start_at_once_make_the_schema_once() {
    // Given a database with nothing in it
    let scene = Scene::new().await;
    let server = PgPool::connect(&variable("DATABASE_URL"))
        .await
        .expect("PostgreSQL");
    let name = format!("fresh_{:016x}", pipeline::random_u64());
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&server).await.expect("created");
    let options: PgConnectOptions = variable("DATABASE_URL").parse().expect("a URL");
    let options = options.database(&name);
    let url = options.to_url_lossy();
    // When several sinks open it at once
    let opening = (0..4).map(|_| async {
        let sink = sink_of(&scene, url.as_str(), 2).await;
        let opened = sink.open(&scene.source).await;
        opened.expect("the schema is there")
    });
    let mut opened = futures::future::join_all(opening).await;
    // Then each can store, and the views answer
    assert!(opened.iter().all(|(_, position)| *position == 0));
    let (writer, _) = &mut opened[0];
    assert_eq!(writer.write(&batch(0..10)).await.expect("stored"), 10);
    let pool = PgPool::connect_with(options).await.expect("PostgreSQL");
    let query = "SELECT sum(requests)::bigint, max(error_rate)::text FROM web_requests_per_minute";
    let answer: (i64, String) = sqlx::query_as(query).fetch_one(&pool).await.expect("a row");
    assert_eq!(answer, (10, "0.0000".to_owned()));

    drop(opened);
    pool.close().await;
    let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::query(drop).execute(&server).await.expect("dropped");
}
