//! A connection for the few requests that librdkafka's Rust wrapper does not offer. Plain TCP only.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use pipeline::KafkaOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::messages::{ApiVersionsRequest, FindCoordinatorRequest, RequestHeader, ResponseHeader};
use wire::{ErrorCode, Message, Reader, Request, Str, Writer};

const TIMEOUT: Duration = Duration::from_secs(10);
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
        let secured = |(name, value): &(String, String)| {
            name == "security.protocol" && !value.eq_ignore_ascii_case("plaintext")
        };
        if options.properties.iter().any(secured) {
            bail!("this command speaks plain TCP only, not what security.protocol asks for");
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

    /// A connection to the coordinator of a group.
    pub async fn coordinator(options: &KafkaOptions, group: &str) -> anyhow::Result<Connection> {
        let mut any = Connection::bootstrap(options).await?;
        let question = FindCoordinatorRequest {
            key: Str::copy_from(group),
            ..FindCoordinatorRequest::default()
        };
        let found = any.call(&question, 3).await?;
        check(found.error_code, found.error_message.as_deref())
            .context("cannot find the group's coordinator")?;
        Connection::open(&format!("{}:{}", found.host, found.port)).await
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
