//! The smallest Kafka client: one request and its response at a time, most often on a connection of its own.
//!
//! Unlike librdkafka it caches nothing and retries nothing: it shows what one broker says now.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use wire::messages::{RequestHeader, ResponseHeader};
use wire::{Message, Reader, Request, Writer};

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `request` at `version` and reads its response.
pub fn call<R: Request>(address: SocketAddr, request: &R, version: i16) -> Result<R::Response> {
    call_within(address, request, version, PATIENCE)
}

/// The same, with less or more patience.
pub fn call_within<R: Request>(
    address: SocketAddr,
    request: &R,
    version: i16,
    patience: Duration,
) -> Result<R::Response> {
    Connection::open(address, patience)?.ask(request, version)
}

/// A request with its size in front.
pub fn frame<R: Request>(request: &R, version: i16) -> Result<Vec<u8>> {
    let header = RequestHeader {
        request_api_key: R::KEY as i16,
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("cluster-test".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    Ok(writer.finish_frame()?.concat())
}

/// A connection that asks one thing after the other.
pub struct Connection(TcpStream);

impl Connection {
    /// With so much patience for each read and write.
    pub fn open(broker: SocketAddr, patience: Duration) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&broker, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection(stream))
    }

    /// Sends `request` at `version` and reads its response.
    pub fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        self.0.write_all(&frame(request, version)?)?;
        let mut size = [0; 4];
        self.0.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.0.read_exact(&mut answer)?;
        let mut reader = Reader::new(Bytes::from(answer));
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
        ensure!(header.correlation_id == 1, "an answer to another request");
        Ok(R::Response::decode(&mut reader, version)?)
    }
}
