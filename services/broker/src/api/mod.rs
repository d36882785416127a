//! Kafka's APIs: from a frame to a handler and back to a frame.
//!
//! One file per API, headed with its versions and behaviour. [`dispatch`] is the one place where a
//! request meets its handler; authorisation and quotas belong here and nowhere else.

pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
mod config_changes;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
mod errors;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
mod known;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
mod operations;
mod partition_lookup;
pub mod produce;
mod proposal;
mod resources;
mod settings;
pub mod sync_group;
#[cfg(test)]
mod tests;
mod topics;
pub mod unregister_broker;
mod versions;

pub use versions::OFFERED;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wire::messages::{FetchRequest, ProduceRequest, RequestHeader, ResponseHeader};
use wire::{ApiKey, DecodeError, EncodeError, ErrorCode, Message, Reader, Request, Str, Writer};

use crate::env::BoxFuture;
use crate::metrics::requests::{FETCH_CONSUMER, FETCH_FOLLOWER, Measure};
use crate::metrics::waits;
use crate::net::{Answers, Held};
use crate::server::Broker;
use errors::ErrorCodes;

/// Who is asking, fixed for the life of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it connected from.
    pub address: SocketAddr,
    /// The name of the listener it came in by.
    pub listener: Arc<str>,
}

/// What a handler knows of its request besides the body.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The version of the API that the request is written in.
    pub version: i16,
    /// The client's own name.
    pub client_id: Option<Str>,
    /// Who is asking.
    pub peer: Peer,
}

impl RequestContext {
    /// The name of the listener it came in by.
    pub fn listener(&self) -> &str {
        &self.peer.listener
    }

    /// The client's own name, empty if it gave none.
    pub fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }
}

/// A whole answer, ready to be written.
pub struct Answer {
    pub chunks: Vec<Bytes>,
    pub bytes: usize,
    /// For all of it but records, which have their own.
    pub room: Held,
}

impl Answer {
    /// Of these chunks, `records_bytes` of which have their room.
    fn new(answers: &Answers, chunks: Vec<Bytes>, records_bytes: usize) -> Answer {
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let room = answers.take(bytes.saturating_sub(records_bytes));
        Answer {
            chunks,
            bytes,
            room,
        }
    }
}

/// A request that has been handed to its handler. With the answer comes what has been measured, to be completed when the
/// answer is written.
pub struct Dispatched {
    /// Resolves to the answer; `None` where the API has none (Produce with acks=0).
    pub answer: BoxFuture<'static, (Result<Option<Answer>, Refused>, Measure)>,
    /// Whether the next request of the connection may start before this one is answered.
    pub overlaps: bool,
}

/// Why a request gets no answer but a closed connection, as in Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The header or the body is malformed.
    #[error("malformed request (api key {key}, version {version}): {error}")]
    Malformed {
        /// The API key as sent.
        key: i16,
        /// The version as sent.
        version: i16,
        /// What is wrong.
        error: DecodeError,
    },
    /// The API or its version is not offered.
    #[error("api key {key} version {version} is not offered; ApiVersions lists what is")]
    NotOffered {
        /// The API key as sent.
        key: i16,
        /// The version as sent.
        version: i16,
    },
    /// A Produce with acks=0 failed: the closed connection is how its client learns of it.
    #[error("Produce without acknowledgement failed: {}", .0.name())]
    Unanswered(ErrorCode),
    /// The answer cannot be written in the version that was asked for.
    #[error("the answer of {api:?} version {version} cannot be written: {error}")]
    Unwritable {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        error: EncodeError,
    },
}

/// One decoded request on its way to its handler.
struct Call<R> {
    broker: Arc<Broker>,
    request: R,
    context: RequestContext,
    correlation_id: i32,
}

/// Decodes a frame, which was there as a whole at `arrived`, and starts its handler.
pub fn dispatch(
    broker: &Arc<Broker>,
    frame: Bytes,
    peer: &Peer,
    arrived: Instant,
) -> Result<Dispatched, Refused> {
    let incoming = Incoming::parse(broker, frame, peer, arrived)?;
    // Hands the call to the handler of its file.
    macro_rules! handler {
        ($api:ident) => {
            incoming.serve(|call| async move {
                $api::handle(&call.broker, call.request, &call.context).await
            })
        };
    }
    match incoming.api {
        ApiKey::Produce => incoming.produce(),
        ApiKey::Fetch => incoming.fetch(),
        ApiKey::ListOffsets => handler!(list_offsets),
        ApiKey::OffsetForLeaderEpoch => handler!(offset_for_leader_epoch),
        ApiKey::Metadata => handler!(metadata),
        ApiKey::FindCoordinator => handler!(find_coordinator),
        ApiKey::JoinGroup => handler!(join_group),
        ApiKey::SyncGroup => handler!(sync_group),
        ApiKey::Heartbeat => handler!(heartbeat),
        ApiKey::LeaveGroup => handler!(leave_group),
        ApiKey::OffsetCommit => handler!(offset_commit),
        ApiKey::OffsetFetch => handler!(offset_fetch),
        ApiKey::OffsetDelete => handler!(offset_delete),
        ApiKey::DescribeGroups => handler!(describe_groups),
        ApiKey::ListGroups => handler!(list_groups),
        ApiKey::DeleteGroups => handler!(delete_groups),
        ApiKey::ApiVersions => incoming.api_versions(),
        ApiKey::CreateTopics => handler!(create_topics),
        ApiKey::DeleteTopics => handler!(delete_topics),
        ApiKey::InitProducerId => handler!(init_producer_id),
        ApiKey::DescribeConfigs => handler!(describe_configs),
        ApiKey::AlterConfigs => handler!(alter_configs),
        ApiKey::CreatePartitions => handler!(create_partitions),
        ApiKey::IncrementalAlterConfigs => handler!(incremental_alter_configs),
        ApiKey::ElectLeaders => handler!(elect_leaders),
        ApiKey::AlterPartitionReassignments => handler!(alter_partition_reassignments),
        ApiKey::ListPartitionReassignments => handler!(list_partition_reassignments),
        ApiKey::UnregisterBroker => handler!(unregister_broker),
        ApiKey::DescribeCluster => handler!(describe_cluster),
        ApiKey::DescribeLogDirs => handler!(describe_log_dirs),
        ApiKey::DescribeQuorum => handler!(describe_quorum),
        ApiKey::DescribeTopicPartitions => handler!(describe_topic_partitions),
        _ => Err(incoming.not_offered()),
    }
}

/// A frame whose header has been read and whose version is offered.
struct Incoming<'a> {
    broker: &'a Arc<Broker>,
    peer: &'a Peer,
    api: ApiKey,
    header: RequestHeader,
    body: Reader,
    arrived: Instant,
}

impl<'a> Incoming<'a> {
    fn parse(
        broker: &'a Arc<Broker>,
        frame: Bytes,
        peer: &'a Peer,
        arrived: Instant,
    ) -> Result<Incoming<'a>, Refused> {
        let (key, version) = match frame.first_chunk::<4>() {
            Some(&[a, b, c, d]) => (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d])),
            None => (-1, -1),
        };
        let api = ApiKey::from_code(key).ok_or(Refused::NotOffered { key, version })?;
        // ApiVersions answers an unknown version itself, in version 0, so that any client can
        // learn what is offered (KIP-511).
        if api != ApiKey::ApiVersions && !versions::offers(api, version) {
            return Err(Refused::NotOffered { key, version });
        }
        let mut body = Reader::new(frame);
        let header = RequestHeader::decode(&mut body, versions::request_header(api, version))
            .map_err(|error| Refused::Malformed {
                key,
                version,
                error,
            })?;
        Ok(Incoming {
            broker,
            peer,
            api,
            header,
            body,
            arrived,
        })
    }

    fn not_offered(&self) -> Refused {
        Refused::NotOffered {
            key: self.api as i16,
            version: self.header.request_api_version,
        }
    }

    /// Decodes the body, which must end where the frame ends.
    fn call<R: Request>(mut self) -> Result<Call<R>, Refused> {
        let version = self.header.request_api_version;
        let malformed = |error| Refused::Malformed {
            key: self.header.request_api_key,
            version,
            error,
        };
        let request = R::decode(&mut self.body, version).map_err(malformed)?;
        Ok(Call {
            broker: self.broker.clone(),
            request,
            context: RequestContext {
                version,
                client_id: self.header.client_id,
                peer: self.peer.clone(),
            },
            correlation_id: self.header.correlation_id,
        })
    }

    /// Runs a handler whose connection waits for its answer.
    fn serve<R, H, F>(self, handler: H) -> Result<Dispatched, Refused>
    where
        R: Request + Send + 'static,
        R::Response: ErrorCodes + Send,
        H: FnOnce(Call<R>) -> F + Send + 'static,
        F: Future<Output = R::Response> + Send + 'static,
    {
        self.serve_as(|_| R::KEY.name(), |_| 0, handler)
    }

    /// As [`Incoming::serve`], measured under the name that the request itself decides on, and with so many bytes of
    /// records in the answer.
    fn serve_as<R, H, F>(
        self,
        name: impl FnOnce(&R) -> &'static str,
        records_bytes: fn(&R::Response) -> usize,
        handler: H,
    ) -> Result<Dispatched, Refused>
    where
        R: Request + Send + 'static,
        R::Response: ErrorCodes + Send,
        H: FnOnce(Call<R>) -> F + Send + 'static,
        F: Future<Output = R::Response> + Send + 'static,
    {
        let arrived = self.arrived;
        let call = self.call::<R>()?;
        let (version, correlation_id) = (call.context.version, call.correlation_id);
        let broker = call.broker.clone();
        let requests = &broker.metrics.requests;
        let mut measure = requests.begin(name(&call.request), version, arrived);
        let answer = Box::pin(async move {
            let (response, waited) = waits::measured(handler(call)).await;
            let requests = &broker.metrics.requests;
            response.each(|code| requests.count_error(&measure, code));
            let chunks = encode(R::KEY, &response, version, correlation_id);
            let records_bytes = records_bytes(&response);
            let answer = chunks.map(|all| Answer::new(&broker.answers, all, records_bytes));
            measure.ready(waited);
            (answer.map(Some), measure)
        });
        Ok(Dispatched {
            answer,
            overlaps: false,
        })
    }

    fn fetch(self) -> Result<Dispatched, Refused> {
        let name = |request: &FetchRequest| match fetch::is_of_follower(request) {
            true => FETCH_FOLLOWER,
            false => FETCH_CONSUMER,
        };
        self.serve_as(name, fetch::records_bytes, |call| async move {
            fetch::handle(&call.broker, call.request, &call.context).await
        })
    }

    /// Appends at once; only the waits for the commit overlap.
    fn produce(self) -> Result<Dispatched, Refused> {
        let arrived = self.arrived;
        let call = self.call::<ProduceRequest>()?;
        let (version, correlation_id) = (call.context.version, call.correlation_id);
        let is_silent = call.request.acks == 0;
        let broker = call.broker.clone();
        let name = ApiKey::Produce.name();
        let mut measure = broker.metrics.requests.begin(name, version, arrived);
        let waiting = produce::handle(&call.broker, call.request, &call.context);
        let answer = Box::pin(async move {
            let (response, waited) = waits::measured(waiting).await;
            let mut failed = ErrorCode::None;
            response.each(|code| {
                broker.metrics.requests.count_error(&measure, code);
                if code != 0 {
                    failed = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
                }
            });
            let answer = match (is_silent, failed) {
                (false, _) => encode(ApiKey::Produce, &response, version, correlation_id)
                    .map(|chunks| Some(Answer::new(&broker.answers, chunks, 0))),
                (true, ErrorCode::None) => Ok(None),
                (true, failed) => Err(Refused::Unanswered(failed)),
            };
            measure.ready(waited);
            (answer, measure)
        });
        Ok(Dispatched {
            answer,
            overlaps: true,
        })
    }

    fn api_versions(self) -> Result<Dispatched, Refused> {
        if versions::offers(ApiKey::ApiVersions, self.header.request_api_version) {
            return self.serve(
                |call: Call<wire::messages::ApiVersionsRequest>| async move {
                    api_versions::handle(&call.broker, call.request, &call.context).await
                },
            );
        }
        let correlation_id = self.header.correlation_id;
        // Of no version that is counted.
        let broker = self.broker.clone();
        let requests = &broker.metrics.requests;
        let mut measure = requests.begin(ApiKey::ApiVersions.name(), -1, self.arrived);
        let answer = Box::pin(async move {
            let response = api_versions::unsupported();
            let chunks = encode(ApiKey::ApiVersions, &response, 0, correlation_id);
            measure.ready(Duration::ZERO);
            let answer = chunks.map(|chunks| Some(Answer::new(&broker.answers, chunks, 0)));
            (answer, measure)
        });
        Ok(Dispatched {
            answer,
            overlaps: false,
        })
    }
}

/// Header and body as one frame.
fn encode<M: Message>(
    api: ApiKey,
    body: &M,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Bytes>, Refused> {
    let mut writer = Writer::new();
    let header = ResponseHeader { correlation_id };
    header
        .encode(&mut writer, versions::response_header(api, version))
        .and_then(|()| body.encode(&mut writer, version))
        .and_then(|()| writer.finish_frame())
        .map_err(|error| Refused::Unwritable {
            api,
            version,
            error,
        })
}
