//! The OpenSearch sink against a store that is scripted to be busy: what is tried again, and what is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use etl::model::Topics;
use etl::opensearch::{NAME, OpenSearch};
use pipeline::cluster::TopicIdentity;
use pipeline::{
    Batch, DeadLetters, Error, KafkaOptions, LogRange, Partition, Record, Sink, Source, Stages,
    Writer,
};
use serde_json::{Value, json};
use telemetry::Registry;

/// How the store answers the next bulk requests: a status for the whole request, or one for each item.
enum Script {
    Whole(u16),
    Items(Vec<u16>),
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    script: Vec<Script>,
    /// The offsets in each bulk request that came.
    bulks: Vec<Vec<i64>>,
    positions: BTreeMap<String, (Value, i64)>,
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.0.lock().expect("no handler panics")
    }

    async fn serve(&self) -> String {
        let routes = Router::new()
            .route("/_bulk", post(bulk))
            .route("/_index_template/{name}", put(|| async { "{}" }))
            .route("/{index}", put(|| async { "{}" }))
            .route("/{index}/_create/{id}", put(put_position))
            .route("/{index}/_doc/{id}", get(position).put(put_position))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async { axum::serve(listener, routes).await });
        url
    }
}

async fn bulk(State(fake): State<Fake>, body: String) -> Response {
    let documents = body.lines().skip(1).step_by(2);
    let document = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let offsets: Vec<i64> = documents
        .map(|line| document(line)["offset"].as_i64().expect("an offset"))
        .collect();
    let mut state = fake.state();
    let count = offsets.len();
    state.bulks.push(offsets);
    let statuses = match state.script.pop() {
        Some(Script::Whole(status)) => {
            return StatusCode::from_u16(status)
                .expect("a status")
                .into_response();
        }
        Some(Script::Items(statuses)) => statuses,
        None => vec![201; count],
    };
    let item = |status: &u16| match status {
        201 => json!({ "create": { "status": 201 } }),
        409 => {
            json!({ "create": { "status": 409, "error": { "type": "version_conflict_engine_exception" } } })
        }
        status => {
            json!({ "create": { "status": status, "error": { "type": "rejected_execution_exception", "reason": "busy" } } })
        }
    };
    json!({ "items": statuses.iter().map(item).collect::<Vec<_>>() })
        .to_string()
        .into_response()
}

async fn position(State(fake): State<Fake>, Path((_, id)): Path<(String, String)>) -> Response {
    match fake.state().positions.get(&id) {
        Some((source, seq_no)) => {
            json!({ "found": true, "_source": source, "_seq_no": seq_no, "_primary_term": 1 })
                .to_string()
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, json!({ "found": false }).to_string()).into_response(),
    }
}

async fn put_position(
    State(fake): State<Fake>,
    Path((_, id)): Path<(String, String)>,
    body: String,
) -> String {
    let mut state = fake.state();
    let seq_no = state.positions.get(&id).map_or(0, |(_, seq_no)| seq_no + 1);
    state
        .positions
        .insert(id, (serde_json::from_str(&body).expect("JSON"), seq_no));
    json!({ "_seq_no": seq_no, "_primary_term": 1 }).to_string()
}

async fn writer(fake: &Fake) -> <OpenSearch as Sink>::Writer {
    let topics = Topics {
        web_logs: "web-logs".into(),
        orders: "bk-orders".into(),
    };
    // Nobody listens there: none of these records is poison.
    let kafka = KafkaOptions {
        bootstrap_servers: "127.0.0.1:1".into(),
        ..KafkaOptions::default()
    };
    let dead_letters = DeadLetters::new(NAME, &kafka, &Registry::new()).expect("dead letters");
    let sink = OpenSearch::new(&fake.serve().await, None, topics, dead_letters).expect("a sink");
    let source = Source {
        partition: Partition {
            topic: "web-logs".into(),
            index: 0,
        },
        identity: TopicIdentity {
            cluster_id: "c".into(),
            topic_id: "t".into(),
        },
        log: LogRange { start: 0, end: 100 },
        stages: Stages::detached(),
    };
    let (writer, position) = sink.open(&source).await.expect("opened");
    assert_eq!(position, 0);
    writer
}

fn batch(count: i64) -> Batch {
    let value = r#"{"ip":"203.0.113.7","timestamp":"2026-01-01T12:00:00.000Z","method":"GET","url":"/","status_code":200,"user_agent":"x"}"#;
    let record = |offset| Record {
        offset,
        timestamp_ms: Some(0),
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
    };
    Batch {
        begin: 0,
        records: (0..count).map(record).collect(),
        next_offset: count,
    }
}

#[tokio::test]
async fn only_the_failed_items_are_sent_again_and_the_position_waits_for_them() {
    let fake = Fake::default();
    let mut writer = writer(&fake).await;
    // The last comes first.
    fake.state().script = vec![
        Script::Items(vec![201, 503]),
        Script::Items(vec![201, 429, 409, 429]),
    ];

    for _ in 0..2 {
        assert!(matches!(
            writer.write(&batch(4)).await,
            Err(Error::Retry(_))
        ));
        assert_eq!(fake.state().positions["web-logs-0"].0["next_offset"], 0);
    }
    assert_eq!(writer.write(&batch(4)).await.expect("stored"), 4);
    assert_eq!(fake.state().bulks, [vec![0, 1, 2, 3], vec![1, 3], vec![3]]);
    assert_eq!(fake.state().positions["web-logs-0"].0["next_offset"], 4);
}

#[tokio::test]
async fn a_busy_store_is_tried_again_with_the_whole_request() {
    let fake = Fake::default();
    let mut writer = writer(&fake).await;
    fake.state().script = vec![Script::Whole(502), Script::Whole(429)];
    for _ in 0..2 {
        assert!(matches!(
            writer.write(&batch(3)).await,
            Err(Error::Retry(_))
        ));
    }
    assert_eq!(writer.write(&batch(3)).await.expect("stored"), 3);
    assert_eq!(fake.state().bulks, vec![vec![0, 1, 2]; 3]);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let fake = Fake::default();
    let mut writer = writer(&fake).await;
    fake.state().script = vec![Script::Whole(413)];
    assert_eq!(writer.write(&batch(4)).await.expect("stored"), 4);
    assert_eq!(
        fake.state().bulks,
        [vec![0, 1, 2, 3], vec![2, 3], vec![0, 1]]
    );
}
