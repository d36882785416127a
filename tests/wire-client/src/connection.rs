//! One connection to one broker.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use wire::messages::{RequestHeader, ResponseHeader};
use wire::{Message, Reader, Request, Writer};

use crate::Network;

/// A request that is not answered within this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that is not made within this time will not be.
const CONNECT: Duration = Duration::from_secs(1);

/// One connection to one broker.
pub struct Client<S> {
    stream: S,
    correlation_id: i32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Connects to a broker.
    pub async fn connect(network: &impl Network<Stream = S>, broker: i32) -> io::Result<Client<S>> {
        // A host without power answers nothing, not even with a refusal.
        let stream = timeout(CONNECT, network.connect(broker)).await??;
        Ok(Client {
            stream,
            correlation_id: 0,
        })
    }

    /// Sends a request and waits for its answer.
    pub async fn call<R: Request>(
        &mut self,
        request: R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let exchange = async {
            let correlation_id = self.send(request, version).await?;
            self.receive::<R>(correlation_id, version).await
        };
        timeout(PATIENCE, exchange)
            .await
            .context("no answer in time")?
    }

    /// Sends a request that has no answer, such as Produce with acks=0.
    pub async fn tell<R: Request>(&mut self, request: R, version: i16) -> anyhow::Result<()> {
        let sent = timeout(PATIENCE, self.send(request, version)).await;
        sent.context("not sent in time")?.map(|_| ())
    }

    /// Sends requests one behind the other and waits for their answers, which come in the same order. After one that
    /// does not come there is no further one.
    pub async fn burst<R: Request>(
        &mut self,
        requests: Vec<R>,
        version: i16,
    ) -> Vec<anyhow::Result<R::Response>> {
        let mut answers = Vec::new();
        let mut correlations = Vec::new();
        for request in requests {
            match timeout(PATIENCE, self.send(request, version)).await {
                Ok(Ok(correlation_id)) => correlations.push(correlation_id),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        for correlation_id in correlations {
            let answer = timeout(PATIENCE, self.receive::<R>(correlation_id, version)).await;
            let answer = answer.context("no answer in time").flatten();
            let is_last = answer.is_err();
            answers.push(answer);
            if is_last {
                break;
            }
        }
        answers
    }

    async fn send<R: Request>(&mut self, request: R, version: i16) -> anyhow::Result<i32> {
        self.correlation_id += 1;
        let flexible = R::FLEXIBLE_FROM.is_some_and(|from| version >= from);
        let header = RequestHeader {
            request_api_key: R::KEY as i16,
            request_api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("raw".into()),
        };
        let mut writer = Writer::new();
        header.encode(&mut writer, if flexible { 2 } else { 1 })?;
        request.encode(&mut writer, version)?;
        for chunk in writer.finish_frame()? {
            self.stream.write_all(&chunk).await?;
        }
        Ok(self.correlation_id)
    }

    async fn receive<R: Request>(
        &mut self,
        correlation_id: i32,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let flexible = R::FLEXIBLE_FROM.is_some_and(|from| version >= from);
        let mut reader = Reader::new(self.frame().await?);
        let header = ResponseHeader::decode(&mut reader, i16::from(flexible))?;
        let answered = header.correlation_id;
        if answered != correlation_id {
            bail!("answer {answered} to request {correlation_id}");
        }
        Ok(R::Response::decode(&mut reader, version)?)
    }

    async fn frame(&mut self) -> anyhow::Result<Bytes> {
        let size = usize::try_from(self.stream.read_i32().await?)?;
        let mut frame = BytesMut::zeroed(size);
        self.stream.read_exact(&mut frame).await?;
        Ok(frame.freeze())
    }
}
