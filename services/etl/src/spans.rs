//! The spans of writing to the stores, by OpenTelemetry's conventions for databases. Each is a part of its batch's span.

use pipeline::Error;
use sqlx::postgres::PgConnectOptions;
use telemetry::traces::{self, KeyValue, Span, SpanKind};

use crate::model::Kind;

/// What `error.type` is where no better word is known.
const OTHER: &str = "_OTHER";

/// One transaction: the position and all rows of a batch.
pub(crate) fn transaction(server: &PgConnectOptions, kind: Kind, rows: usize) -> Span {
    let table = match kind {
        Kind::WebLogs => "web_logs",
        Kind::Orders => "orders",
    };
    traces::child(
        SpanKind::Client,
        || format!("INSERT {table}").into(),
        || {
            let database = server
                .get_database()
                .unwrap_or_else(|| server.get_username());
            vec![
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.namespace", database.to_owned()),
                KeyValue::new("db.operation.name", "INSERT"),
                KeyValue::new("db.collection.name", table),
                KeyValue::new("db.operation.batch.size", rows as i64),
                KeyValue::new("server.address", server.get_host().to_owned()),
                KeyValue::new("server.port", i64::from(server.get_port())),
            ]
        },
    )
}

/// One bulk request.
pub(crate) fn bulk(server: &str, documents: usize) -> Span {
    traces::child(
        SpanKind::Client,
        || "bulk".into(),
        || {
            vec![
                KeyValue::new("db.system.name", "opensearch"),
                KeyValue::new("db.operation.name", "bulk"),
                KeyValue::new("db.operation.batch.size", documents as i64),
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("url.full", format!("{server}_bulk")),
            ]
        },
    )
}

/// Notes on the span how the work ended.
pub(crate) fn ended<T>(span: &Span, result: &Result<T, Error>) {
    if let Err(error) = result {
        span.fail(OTHER, || error.to_string());
    }
}
