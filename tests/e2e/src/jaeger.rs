//! Jaeger's query API over the spans that came out of the collector: as much of it as `millrace trace` asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::collector::Span;

/// Serves `spans` for as long as the test runs, and gives the address.
pub fn serve(spans: Vec<Span>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever asked sees that no answer came.
            let _ = answer(stream, &spans);
        }
    });
    Ok(format!("http://{address}"))
}

fn answer(mut stream: TcpStream, spans: &[Span]) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = first.clone();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let target = first.split(' ').nth(1).context("a request line")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<_, _> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let ids: Vec<&str> = match path.strip_prefix("/api/traces/") {
        Some(id) => vec![id],
        None => matching(spans, &query),
    };
    let traces: Vec<Value> = ids.into_iter().map(|id| trace(spans, id)).collect();
    let body = json!({ "data": traces }).to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// The traces with a span that fits every part of the question.
fn matching<'a>(spans: &'a [Span], query: &BTreeMap<String, String>) -> Vec<&'a str> {
    let word = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let tags: Value = serde_json::from_str(word("tags")).unwrap_or_default();
    let time = |name: &str| word(name).parse::<u64>().unwrap_or(0) * 1_000;
    let fits = |span: &&Span| {
        span.service == word("service")
            && span.name == word("operation")
            && (time("start")..=time("end")).contains(&span.start_ns)
            && tags.as_object().is_some_and(|tags| {
                tags.iter()
                    .all(|(key, value)| span.attributes.get(key) == Some(value))
            })
    };
    let mut ids: Vec<&str> = spans
        .iter()
        .filter(fits)
        .map(|span| span.trace.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn trace(spans: &[Span], id: &str) -> Value {
    let of: Vec<&Span> = spans.iter().filter(|span| span.trace == id).collect();
    let mut processes = serde_json::Map::new();
    for span in &of {
        let tags: Vec<_> = span.resource.iter().map(tag).collect();
        processes.insert(
            span.service.clone(),
            json!({"serviceName": span.service, "tags": tags}),
        );
    }
    let span = |span: &&Span| {
        let mut references = Vec::new();
        if !span.parent.is_empty() {
            references
                .push(json!({"refType": "CHILD_OF", "traceID": span.trace, "spanID": span.parent}));
        }
        json!({
            "traceID": span.trace,
            "spanID": span.id,
            "operationName": span.name,
            "references": references,
            "startTime": span.start_ns / 1_000,
            "duration": span.end_ns.saturating_sub(span.start_ns) / 1_000,
            "tags": span.attributes.iter().map(tag).collect::<Vec<_>>(),
            "processID": span.service,
        })
    };
    json!({"traceID": id, "spans": of.iter().map(span).collect::<Vec<_>>(), "processes": processes})
}

fn tag((key, value): (&String, &Value)) -> Value {
    let kind = if value.is_i64() { "int64" } else { "string" };
    json!({"key": key, "type": kind, "value": value})
}

/// Percent-encoding and plus signs undone.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let next = match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.map_or(' ', char::from));
                u8::from_str_radix(&String::from_iter(digits), 16).unwrap_or(b'?')
            }
            other => other,
        };
        bytes.push(next);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
