//! InitProducerId, versions 0 to 5, for idempotent producers: a fresh id with epoch 0, from a durable block.
//!
//! Transactional ids are not offered yet and refused as INVALID_REQUEST.

use std::time::Duration;

use engine::ids::{BrokerId, ProducerId};
use engine::metadata::{Command, Outcome, PRODUCER_ID_BLOCK_SIZE};
use wire::ErrorCode;
use wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::RequestContext;
use crate::metrics::waits;
use crate::quorum::Quorum;
use crate::server::Broker;

/// How long a producer waits for a new block.
const BLOCK: Duration = Duration::from_secs(5);

/// Hands out an id.
pub async fn handle(
    broker: &Broker,
    request: InitProducerIdRequest,
    _context: &RequestContext,
) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return refused(ErrorCode::InvalidRequest);
    }
    match broker
        .producer_ids
        .next(&broker.quorum, BrokerId(broker.config.node_id))
        .await
    {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(error) => refused(error),
    }
}

fn refused(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.code(),
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}

/// This broker's block of producer ids. What is left of it when the process ends is never used.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: tokio::sync::Mutex<Block>,
}

#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// An id that no other producer of the cluster has or will have.
    async fn next(&self, quorum: &Quorum, own: BrokerId) -> Result<ProducerId, ErrorCode> {
        // Whoever waits behind a block that does not come gives up as well.
        let waiting = tokio::time::timeout(BLOCK, self.block.lock()).await;
        let mut block = waiting.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
        if block.next == block.end {
            // A broker that is not registered yet is about to be.
            let epoch = quorum
                .broker_epoch()
                .ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            let command = Command::AllocateProducerIds { broker: own, epoch };
            match waits::waiting(quorum.propose(command, BLOCK)).await {
                Ok(Outcome::ProducerIds { first }) => {
                    *block = Block {
                        next: first.0,
                        end: first.0 + PRODUCER_ID_BLOCK_SIZE,
                    };
                }
                Ok(_) => return Err(ErrorCode::UnknownServerError),
                Err(error) => {
                    tracing::warn!(%error, "no block of producer ids");
                    return Err(ErrorCode::CoordinatorLoadInProgress);
                }
            }
        }
        let id = ProducerId(block.next);
        block.next += 1;
        Ok(id)
    }
}
