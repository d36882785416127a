//! A connection for requests that librdkafka's Rust wrapper does not offer, or whose errors it keeps to itself. Plain
//! TCP only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use pipeline::KafkaOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest, MetadataResponse, RequestHeader,
    ResponseHeader,
};
use wire::{ErrorCode, Message, Reader, Request, Str, Writer};

const TIMEOUT: Duration = Duration::from_secs(10);
/// When to ask again where an error may pass.
pub const AGAIN: Duration = Duration::from_millis(100);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
    ranges: BTreeMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects to the first bootstrap server that answers.
    pub async fn bootstrap(options: &KafkaOptions) -> anyhow::Result<Connection> {
        if is_secured(options) {
            bail!(
                "this command speaks plain TCP only, not what security.protocol asks for: Kafka's own tools do it there"
            );
        }
        let mut last = anyhow!("no bootstrap server is given");
        for address in options
            .bootstrap_servers
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
        {
            match Connection::open(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last.context("no broker answers"))
    }

    async fn open(address: &str) -> anyhow::Result<Connection> {
        let connect = tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await;
        let stream = connect
            .map_err(anyhow::Error::from)
            .and_then(|stream| Ok(stream?));
        let stream = stream.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            correlation_id: 0,
            ranges: BTreeMap::new(),
        };
        let versions = connection
            .call_version(&ApiVersionsRequest::default(), 0)
            .await
            .with_context(|| address.to_owned())?;
        check(versions.error_code, None).context("ApiVersions")?;
        let ranges = versions
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)));
        connection.ranges = ranges.collect();
        Ok(connection)
    }

    /// A connection to the active controller, which alone changes topics in clusters that still have ZooKeeper.
    pub async fn controller(options: &KafkaOptions) -> anyhow::Result<Connection> {
        let mut any = Connection::bootstrap(options).await?;
        let metadata = any.metadata(Some(Vec::new())).await?;
        match address_of(&metadata, metadata.controller_id) {
            Some(address) => Connection::open(&address).await,
            None => bail!("the cluster has no controller at the moment"),
        }
    }

    /// A connection to one broker.
    pub async fn broker(options: &KafkaOptions, id: i32) -> anyhow::Result<Connection> {
        let mut any = Connection::bootstrap(options).await?;
        let metadata = any.metadata(Some(Vec::new())).await?;
        match address_of(&metadata, id) {
            Some(address) => Connection::open(&address).await,
            None => bail!("there is no broker {id}, or it is not there at the moment"),
        }
    }

    /// What the broker knows of the cluster and of these topics (`None`: of all), which it does not create.
    pub async fn metadata(
        &mut self,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> anyhow::Result<MetadataResponse> {
        let question = MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        self.call(&question, 12).await
    }

    /// A connection to the coordinator of a group. Until `deadline` it waits for one to be found.
    pub async fn coordinator(
        options: &KafkaOptions,
        group: &str,
        deadline: Instant,
    ) -> anyhow::Result<Connection> {
        let question = FindCoordinatorRequest {
            key: Str::copy_from(group),
            ..FindCoordinatorRequest::default()
        };
        loop {
            let mut any = Connection::bootstrap(options).await?;
            let found = any.call(&question, 3).await?;
            if may_pass(found.error_code) && Instant::now() < deadline {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            check(found.error_code, found.error_message.as_deref())
                .context("cannot find the group's coordinator")?;
            return Connection::open(&format!("{}:{}", &*found.host, found.port)).await;
        }
    }

    /// Sends the request at `newest` or the broker's own newest version, whichever is older.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        newest: i16,
    ) -> anyhow::Result<R::Response> {
        let key = R::KEY;
        let (oldest, theirs) = *self
            .ranges
            .get(&(key as i16))
            .ok_or_else(|| anyhow!("the broker does not offer {key:?}"))?;
        let version = newest.min(theirs);
        if version < oldest {
            bail!("the broker offers {key:?} only from version {oldest}");
        }
        self.call_version(request, version).await
    }

    async fn call_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let exchange = tokio::time::timeout(TIMEOUT, self.exchange(request, version)).await;
        exchange.map_err(|_| anyhow!("no answer to {:?} within {TIMEOUT:?}", R::KEY))?
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        self.correlation_id += 1;
        let header = RequestHeader {
            request_api_key: R::KEY as i16,
            request_api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("millrace-cli".into()),
        };
        let mut frame = Writer::new();
        header.encode(&mut frame, R::KEY.request_header_version(version))?;
        request.encode(&mut frame, version)?;
        for chunk in frame.finish_frame()? {
            self.stream.write_all(&chunk).await?;
        }
        let size = usize::try_from(self.stream.read_i32().await?).unwrap_or(usize::MAX);
        if size > MAX_ANSWER_BYTES {
            bail!("the answer to {:?} claims to have {size} bytes", R::KEY);
        }
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body).await?;
        let mut reader = Reader::new(Bytes::from(body));
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
        if header.correlation_id != self.correlation_id {
            bail!("the broker answered another request");
        }
        Ok(R::Response::decode(&mut reader, version)?)
    }
}

/// Whether the user asks for more than plain TCP.
pub fn is_secured(options: &KafkaOptions) -> bool {
    let config = options.client("millrace");
    let protocol = config.get("security.protocol");
    protocol.is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext"))
}

fn address_of(metadata: &MetadataResponse, id: i32) -> Option<String> {
    let broker = metadata.brokers.iter().find(|one| one.node_id == id)?;
    Some(format!("{}:{}", &*broker.host, broker.port))
}

/// Whether it may be otherwise soon, as while a coordinator moves.
pub fn may_pass(code: i16) -> bool {
    ErrorCode::from_code(code).is_some_and(ErrorCode::is_retriable)
}

/// Turns Kafka's error into ours.
pub fn check(code: i16, message: Option<&str>) -> anyhow::Result<()> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        known => {
            let name =
                known.map_or_else(|| format!("error {code}"), |error| error.name().to_owned());
            match message {
                Some(message) => bail!("{name}: {message}"),
                None => bail!("{name}"),
            }
        }
    }
}
