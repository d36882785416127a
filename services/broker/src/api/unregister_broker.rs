//! UnregisterBroker, version 0: forgets a broker that has stopped for good.
//!
//! Stricter than Kafka's: a broker that runs, or that replicas are still assigned to, is not forgotten, since whoever
//! comes with its id later is another.

use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::Command;
use wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::RequestContext;
use super::proposal::carry_out;
use crate::server::Broker;

/// The request has no timeout of its own.
const DEADLINE: Duration = Duration::from_secs(30);

/// Answers when this broker's image has it.
pub async fn handle(
    broker: &Broker,
    request: UnregisterBrokerRequest,
    _context: &RequestContext,
) -> UnregisterBrokerResponse {
    let id = BrokerId(request.broker_id);
    let command = Command::UnregisterBroker { broker: id };
    match carry_out(&broker.quorum, command, false, DEADLINE).await {
        Ok(_) => {
            let gone = |image: &engine::metadata::Image| image.broker(id).is_none();
            broker.quorum.wait_for(DEADLINE, gone).await;
            UnregisterBrokerResponse::default()
        }
        Err(refusal) => UnregisterBrokerResponse {
            error_code: refusal.error.code(),
            error_message: refusal.text(),
            ..UnregisterBrokerResponse::default()
        },
    }
}
