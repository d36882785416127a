//! One connection to another broker's listener, with one request on it at a time.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use wire::messages::{RequestHeader, ResponseHeader};
use wire::{Message, Reader, Request, Str, Writer};

use crate::env::{Env, Stream};

/// Versions of the headers: every request here is of a flexible version.
const REQUEST_HEADER: i16 = 2;
const RESPONSE_HEADER: i16 = 1;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is malformed: {0}")]
    Decode(#[from] wire::DecodeError),
    #[error("the request cannot be written: {0}")]
    Encode(#[from] wire::EncodeError),
    #[error("an answer of {0} bytes")]
    TooLarge(i32),
    #[error("the answer belongs to another request")]
    Correlation,
}

pub struct Connection {
    stream: Stream,
    client_id: Str,
    correlation_id: i32,
    max_bytes: usize,
}

impl Connection {
    pub async fn open(
        env: &Env,
        host: &str,
        port: u16,
        client_id: Str,
        max_bytes: usize,
        patience: Duration,
    ) -> Result<Connection, Error> {
        let stream = timeout(patience, env.connect(host, port))
            .await
            .map_err(|_| Error::Timeout)??;
        Ok(Connection {
            stream,
            client_id,
            correlation_id: 0,
            max_bytes,
        })
    }

    /// Sends a request and waits for its answer. After an error, or if it is dropped before its end, the connection is
    /// of no use any more.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        patience: Duration,
    ) -> Result<R::Response, Error> {
        timeout(patience, self.exchange(request, version))
            .await
            .map_err(|_| Error::Timeout)?
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Error> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let mut writer = Writer::new();
        let header = RequestHeader {
            request_api_key: R::KEY as i16,
            request_api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(self.client_id.clone()),
        };
        header.encode(&mut writer, REQUEST_HEADER)?;
        request.encode(&mut writer, version)?;
        for chunk in writer.finish_frame()? {
            self.stream.write_all(&chunk).await?;
        }
        self.stream.flush().await?;
        let mut reader = Reader::new(self.frame().await?);
        let header = ResponseHeader::decode(&mut reader, RESPONSE_HEADER)?;
        if header.correlation_id != self.correlation_id {
            return Err(Error::Correlation);
        }
        Ok(R::Response::decode(&mut reader, version)?)
    }

    async fn frame(&mut self) -> Result<Bytes, Error> {
        let size = self.stream.read_i32().await?;
        let len = usize::try_from(size)
            .ok()
            .filter(|len| *len <= self.max_bytes);
        let len = len.ok_or(Error::TooLarge(size))?;
        // Memory is taken as the bytes arrive, not as the size says.
        let mut frame = BytesMut::with_capacity(len.min(64 << 10));
        while frame.len() < len {
            let mut rest = (&mut self.stream).take((len - frame.len()) as u64);
            if rest.read_buf(&mut frame).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(frame.freeze())
    }
}
