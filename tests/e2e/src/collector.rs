//! A real OpenTelemetry collector (`collector/`, built by `scripts/stack install collector`), and what comes out of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::until;
use serde_json::{Map, Value, json};

/// How long the collector may take to listen.
const START: Duration = Duration::from_secs(60);
/// Most spans that are kept.
const KEPT: usize = 200_000;

/// One span, as it came out of the collector.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    /// Of the process that made it.
    pub resource: Map<String, Value>,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty of a root span.
    pub parent: String,
    /// OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i64,
    pub attributes: Map<String, Value>,
    /// Trace and span ids.
    pub links: Vec<(String, String)>,
    pub start_ns: u64,
    pub end_ns: u64,
    pub is_error: bool,
}

impl Span {
    pub fn text(&self, key: &str) -> &str {
        self.attributes
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.attributes.get(key).and_then(Value::as_i64)
    }

    /// Whether it is about a stretch of this partition that holds this offset.
    pub fn covers(&self, topic: &str, partition: &str, offset: i64) -> bool {
        let range = self
            .number("millrace.offset.base")
            .zip(self.number("millrace.offset.last"));
        self.text("messaging.destination.name") == topic
            && self.text("messaging.destination.partition.id") == partition
            && range.is_some_and(|(base, last)| (base..=last).contains(&offset))
    }
}

/// Everything that the collector has passed on.
type Spans = Arc<Mutex<Vec<Span>>>;

/// A collector, and the receiver that it passes spans on to.
pub struct Collector {
    program: PathBuf,
    config: PathBuf,
    grpc: u16,
    http: u16,
    running: Option<Child>,
    spans: Spans,
}

impl Collector {
    /// Starts it with a configuration under `folder`.
    pub fn start(root: &Path, folder: &Path) -> Result<Collector> {
        let receiver = TcpListener::bind("127.0.0.1:0")?;
        let out = receiver.local_addr()?;
        let ports = cluster::ports::free(2)?;
        let (grpc, http) = (ports[0], ports[1]);
        fs::create_dir_all(folder)?;
        let config = folder.join(format!("collector-{}.yaml", std::process::id()));
        let text = format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}\n      http: {{endpoint: \"127.0.0.1:{http}\"}}\n\
             processors:\n  batch: {{timeout: 100ms}}\n\
             exporters:\n  otlp_http: {{traces_endpoint: \"http://{out}/v1/traces\", encoding: json, compression: none}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  pipelines:\n    traces: {{receivers: [otlp], processors: [batch], exporters: [otlp_http]}}\n"
        );
        fs::write(&config, text)?;
        let spans = Spans::default();
        let received = spans.clone();
        std::thread::spawn(move || {
            for stream in receiver.incoming().map_while(Result::ok) {
                let received = received.clone();
                // What the collector cannot deliver it offers again.
                std::thread::spawn(move || take(stream, &received));
            }
        });
        let mut collector = Collector {
            program: root.join(".cache/go/bin/otel-collector"),
            config,
            grpc,
            http,
            running: None,
            spans,
        };
        collector.up()?;
        Ok(collector)
    }

    /// Starts it on the ports that it had.
    pub fn up(&mut self) -> Result<()> {
        ensure!(
            self.program.exists(),
            "{} is missing: scripts/stack install collector",
            self.program.display()
        );
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .spawn()?;
        self.running = Some(child);
        let addresses = [self.grpc, self.http].map(|port| ("127.0.0.1", port));
        until(START, "the collector listens", || {
            Ok(addresses.iter().all(|at| TcpStream::connect(at).is_ok()))
        })
    }

    /// kill -9.
    pub fn down(&mut self) -> Result<()> {
        if let Some(mut child) = self.running.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets what has come so far.
    pub fn forget(&self) {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.down();
        let _ = fs::remove_file(&self.config);
    }
}

/// Takes the exports of one connection.
fn take(stream: TcpStream, spans: &Spans) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        while line.trim() != "" {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
            line.clear();
            reader.read_line(&mut line)?;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let batch = read(&serde_json::from_slice(&body)?)?;
        let mut all = spans.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(batch);
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        drop(all);
        answers.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        )?;
    }
}

/// The spans of an export in OTLP's JSON.
fn read(export: &Value) -> Result<Vec<Span>> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut spans = Vec::new();
    for of in list(export, "resourceSpans") {
        let resource = attributes(&of["resource"]["attributes"]);
        let service = resource["service.name"].as_str().context("service.name")?;
        for scope in list(&of, "scopeSpans") {
            for span in list(&scope, "spans") {
                let time = |name: &str| text(&span, name).parse().unwrap_or(0);
                let links = list(&span, "links");
                spans.push(Span {
                    service: service.to_owned(),
                    resource: resource.clone(),
                    name: text(&span, "name"),
                    trace: text(&span, "traceId"),
                    id: text(&span, "spanId"),
                    parent: text(&span, "parentSpanId"),
                    kind: span["kind"].as_i64().unwrap_or(0),
                    attributes: attributes(&span["attributes"]),
                    links: links
                        .iter()
                        .map(|link| (text(link, "traceId"), text(link, "spanId")))
                        .collect(),
                    start_ns: time("startTimeUnixNano"),
                    end_ns: time("endTimeUnixNano"),
                    is_error: span["status"]["code"] == 2,
                });
            }
        }
    }
    Ok(spans)
}

/// Attributes as plain JSON; OTLP writes whole numbers as text.
fn attributes(list: &Value) -> Map<String, Value> {
    let plain = |value: &Value| match (value["intValue"].as_str(), &value["stringValue"]) {
        (Some(number), _) => json!(number.parse::<i64>().unwrap_or(0)),
        (None, Value::String(text)) => json!(text),
        _ => value.clone(),
    };
    let pairs = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let pair = |pair: &Value| {
        (
            pair["key"].as_str().unwrap_or_default().to_owned(),
            plain(&pair["value"]),
        )
    };
    pairs.iter().map(pair).collect()
}
