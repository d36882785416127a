//! The smallest Kafka client: one request and its response on a connection of its own.
//!
//! Unlike librdkafka it caches nothing and retries nothing: it shows what one broker says now.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
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
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    let header = RequestHeader {
        request_api_key: R::KEY as i16,
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("cluster-test".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    for chunk in writer.finish_frame()? {
        stream.write_all(&chunk)?;
    }
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size))?];
    stream.read_exact(&mut frame)?;
    let mut reader = Reader::new(frame.into());
    let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
    ensure!(header.correlation_id == 1, "an answer to another request");
    Ok(R::Response::decode(&mut reader, version)?)
}
