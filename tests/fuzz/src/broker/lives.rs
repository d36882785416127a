//! The life of a broker: it starts, a hostile peer comes, and afterwards it must serve as before.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use broker::config::Config;
use broker::server::Server;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ProduceRequest, RequestHeader,
    ResponseHeader,
};
use wire::record::BatchBuilder;
use wire::{EncodeError, Message, Reader, Records, Request, Writer};

use super::{Host, files};
use crate::panics;

/// The port of clients.
pub const PORT: u16 = 9092;
/// The port of the metadata quorum.
pub const QUORUM_PORT: u16 = 9093;
/// The port of /metrics, /healthz and /readyz.
pub const HTTP_PORT: u16 = 9404;
/// A topic that is there.
pub const TOPIC: &str = "t";
/// Nobody hostile knows its name.
const OWN_TOPIC: &str = "what-must-go-on";
/// An honest client has its answer within this (simulated) time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a hostile peer waits for answers after its last word, simulated.
const LINGER: Duration = Duration::from_millis(500);
/// Tries of a client that waits for a leader, and the time between them.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);
/// A start comes to an end within this, simulated.
const STARTING: Duration = Duration::from_secs(3600);

/// A broker that serves.
pub struct Life {
    runtime: Runtime,
    host: Host,
    server: Option<Server>,
    offset: i64,
    /// Of this thread, before it began.
    panics: usize,
}

impl Life {
    /// A single node on an empty disk, with a topic.
    pub fn begin() -> Life {
        Life::begin_on(Host::new(7))
    }

    /// The same on a host of the caller's.
    pub fn begin_on(host: Host) -> Life {
        let mut life = Life::start(host).expect("the broker starts");
        life.create(TOPIC);
        life.create(OWN_TOPIC);
        life
    }

    /// A single node on whatever is on the host's disk.
    ///
    /// # Panics
    /// If it neither starts nor says why not.
    pub fn start(host: Host) -> anyhow::Result<Life> {
        let panics = panics::seen();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let server = runtime.block_on(async {
            let (config, _) = Config::from_map(properties()).expect("a configuration");
            let server = timeout(STARTING, Server::start(host.env(), config)).await;
            server.expect("a start comes to an end")
        });
        assert_eq!(panics::seen(), panics, "something has panicked");
        Ok(Life {
            server: Some(server?),
            runtime,
            host,
            offset: 0,
            panics,
        })
    }

    /// It stops in order.
    pub fn end(mut self) {
        let server = self.server.take().expect("it runs until it ends");
        self.runtime.block_on(server.stop(std::future::pending()));
        self.must_be_whole();
    }

    /// A peer says all of `bytes`, `chunk` at a time, closes its half and listens for a while.
    pub fn hear(&mut self, port: u16, bytes: &[u8], chunk: usize) {
        let stream = self.host.network().connect(port);
        let stream = stream.expect("the broker accepts");
        self.runtime.block_on(talk(stream, bytes, chunk));
    }

    /// The broker serves whoever comes next, and its logs are whole.
    ///
    /// # Panics
    /// If not.
    pub fn must_go_on(&mut self) {
        self.must_answer();
        let batch = record();
        self.offset = self.produce(batch.clone());
        let read = self.fetch(self.offset);
        assert_eq!(read.slice(16..), batch.slice(16..), "it is what was sent");
        files::are_sound(self.host.disk(), Path::new("/data"));
        self.must_be_whole();
    }

    /// Whoever comes is told what is offered.
    pub fn must_answer(&mut self) {
        let offered = self.call(ApiVersionsRequest::default(), 0);
        assert!(offered.api_keys.len() > 20);
        self.must_be_whole();
    }

    /// An honest client adds a record as soon as that is possible, and gives its offset.
    pub fn add_one(&mut self) -> i64 {
        // A broker that has just come back leads again in a moment.
        for _ in 0..TRIES {
            if let Ok(offset) = self.try_produce(record()) {
                self.must_be_whole();
                return offset;
            }
            self.runtime.block_on(sleep(PAUSE));
        }
        panic!("nothing is acknowledged");
    }

    /// The metadata quorum answers whoever comes next.
    pub fn quorum_must_go_on(&mut self) {
        let stream = self.host.network().connect(QUORUM_PORT);
        stream.expect("the controller listener accepts");
        self.must_be_whole();
    }

    /// Whoever probes or scrapes is answered.
    pub fn http_must_go_on(&mut self) {
        assert_eq!(self.get("/healthz"), "ok\n");
        let metrics = self.get("/metrics");
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        for line in samples {
            let value = line
                .rsplit_once(' ')
                .and_then(|(_, value)| value.parse().ok());
            assert!(value.is_some_and(|value: f64| !value.is_nan()), "{line}");
        }
        assert!(metrics.contains("millrace_ready"), "{metrics}");
        self.must_be_whole();
    }

    /// The body of a page.
    fn get(&mut self, path: &str) -> String {
        let stream = self.host.network().connect(HTTP_PORT);
        let mut stream = stream.expect("the HTTP port accepts");
        let question = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let talk = async {
            stream.write_all(question.as_bytes()).await?;
            stream.read_to_string(&mut answer).await
        };
        let asked = async { timeout(PATIENCE, talk).await };
        let read = self.runtime.block_on(asked);
        read.expect("an answer in time").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        body.to_owned()
    }

    /// No task has panicked, which would be caught where it was started.
    fn must_be_whole(&self) {
        assert_eq!(panics::seen(), self.panics, "something has panicked");
    }

    fn create(&mut self, name: &'static str) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        let answer = self.call(request, 5);
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    }

    fn produce(&mut self, batch: Bytes) -> i64 {
        let acknowledged = self.try_produce(batch);
        acknowledged.unwrap_or_else(|code| panic!("produce: error {code}"))
    }

    /// The offset, or the error code.
    fn try_produce(&mut self, batch: Bytes) -> Result<i64, i16> {
        let partition = PartitionProduceData {
            index: 0,
            records: Some(Records::from(batch)),
        };
        let topic = TopicProduceData {
            name: OWN_TOPIC.into(),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let answer = self.call(request, 9);
        let partition = &answer.responses[0].partition_responses[0];
        match partition.error_code {
            0 => Ok(partition.base_offset),
            code => Err(code),
        }
    }

    fn fetch(&mut self, offset: i64) -> Bytes {
        let partition = FetchPartition {
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: OWN_TOPIC.into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: 1_000,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let mut answer = self.call(request, 12);
        let partition = &mut answer.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0, "{partition:?}");
        let records = partition.records.take().unwrap_or_default();
        records.to_bytes()
    }

    fn call<R: Request>(&mut self, request: R, version: i16) -> R::Response {
        let stream = self.host.network().connect(PORT);
        let stream = stream.expect("the broker accepts");
        let asked = async { timeout(PATIENCE, exchange(stream, &request, version)).await };
        let answer = self.runtime.block_on(asked);
        answer.expect("the broker answers in time")
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        drop(self.server.take());
    }
}

fn record() -> Bytes {
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    builder.append(Some(b"key"), Some(b"what an honest client sends"));
    builder.build().bytes
}

/// Writes and reads side by side, as the other end may wait for either.
async fn talk(stream: DuplexStream, bytes: &[u8], chunk: usize) {
    let (mut read, mut write) = tokio::io::split(stream);
    let say = async {
        for part in bytes.chunks(chunk.max(1)) {
            if write.write_all(part).await.is_err() {
                return;
            }
        }
        // The broker may have closed the connection.
        let _ = write.shutdown().await;
    };
    let listen = async {
        let mut buffer = [0; 4096];
        while read.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    };
    let _ = timeout(LINGER, async { tokio::join!(say, listen) }).await;
}

/// A request as it stands on the wire, with its size.
pub fn frame<R: Request>(request: &R, version: i16) -> Result<Bytes, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.code(),
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("honest".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    Ok(writer.finish_frame()?.concat().into())
}

async fn exchange<R: Request>(mut stream: DuplexStream, request: &R, version: i16) -> R::Response {
    let question = frame(request, version).expect("a small request");
    let asked = stream.write_all(&question).await;
    asked.expect("the broker reads");
    let size = stream.read_i32().await.expect("the broker answers");
    let mut answer = BytesMut::zeroed(usize::try_from(size).expect("a size"));
    let read = stream.read_exact(&mut answer).await;
    read.expect("the broker answers");
    let mut reader = Reader::new(answer.freeze());
    ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).expect("a header");
    R::Response::decode(&mut reader, version).expect("the answer to the request")
}

fn properties() -> BTreeMap<String, String> {
    [
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:9093"),
        (
            "listeners",
            "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
        ),
        ("advertised.listeners", "PLAINTEXT://localhost:9092"),
        ("log.dirs", "/data"),
        ("http.listen", "0.0.0.0:9404"),
        ("probe.interval.ms", "0"),
        ("log.min.free.bytes", "0"),
        ("metadata.log.reserve.bytes", "0"),
        ("offsets.topic.num.partitions", "2"),
        ("log.index.size.max.bytes", "4096"),
        ("group.initial.rebalance.delay.ms", "0"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
