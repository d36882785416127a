//! The bytes of the requests that both kinds of clients send, and a connection of one that behaves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{
    FetchRequest, MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader,
};
use wire::record::BatchBuilder;
use wire::{Message, Reader, Records, Request, Str, Writer};

/// The versions used here: topics by name, answers of the flexible kind.
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;
pub const METADATA: i16 = 9;
pub const API_VERSIONS: i16 = 3;

/// A request with its size in front.
pub fn frame<R: Request>(request: &R, version: i16) -> Result<Vec<u8>> {
    let header = RequestHeader {
        request_api_key: R::KEY as i16,
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("hostile-test".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    Ok(writer.finish_frame()?.concat())
}

/// One record of so many bytes.
pub fn produce(topic: &str, value: &[u8], acks: i16) -> ProduceRequest {
    // -1 is no timestamp.
    let mut batch = BatchBuilder::new(-1);
    batch.append(None, Some(value));
    let data = PartitionProduceData {
        index: 0,
        records: Some(Records::from(batch.build().bytes)),
    };
    let topic = TopicProduceData {
        name: Str::copy_from(topic),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    }
}

pub fn fetch(topic: &str, offset: i64, max_bytes: i32, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: max_bytes,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::copy_from(topic),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

/// Asks for so many topics that are not there: the answer is longer than the question.
pub fn metadata(names: usize) -> MetadataRequest {
    let names = (0..names).map(|number| MetadataRequestTopic {
        name: Some(format!("unknown-{number}").into()),
        ..MetadataRequestTopic::default()
    });
    MetadataRequest {
        topics: Some(names.collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

/// A connection of a client that behaves.
pub struct Connection(TcpStream);

impl Connection {
    pub fn open(broker: SocketAddr, patience: Duration) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&broker, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection(stream))
    }

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
