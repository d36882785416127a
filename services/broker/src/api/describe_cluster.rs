//! DescribeCluster, versions 0 to 2: the brokers as this listener sees them, and the controller.
//!
//! Asked for controllers (KIP-919), a broker answers MISMATCHED_ENDPOINT_TYPE: they have a protocol of their own.

use engine::metadata::Image;
use wire::ErrorCode;
use wire::messages::describe_cluster_response::DescribeClusterBroker;
use wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::{RequestContext, operations, topics};
use crate::server::Broker;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers from this broker's image.
pub async fn handle(
    broker: &Broker,
    request: DescribeClusterRequest,
    context: &RequestContext,
) -> DescribeClusterResponse {
    let refused = |error: ErrorCode, message: &'static str| DescribeClusterResponse {
        error_code: error.code(),
        error_message: Some(message.into()),
        endpoint_type: request.endpoint_type,
        ..DescribeClusterResponse::default()
    };
    match request.endpoint_type {
        BROKERS => answer(
            &broker.quorum.image(),
            broker.config.node_id,
            &request,
            context.listener(),
        ),
        CONTROLLERS => refused(
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        _ => refused(
            ErrorCode::UnsupportedEndpointType,
            "Unsupported endpoint type",
        ),
    }
}

pub(super) fn answer(
    image: &Image,
    own: i32,
    request: &DescribeClusterRequest,
    listener: &str,
) -> DescribeClusterResponse {
    let listed = image
        .brokers()
        .filter(|b| request.include_fenced_brokers || !b.fenced);
    let brokers = listed.filter_map(|broker| {
        let endpoint = broker.endpoint(listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            is_fenced: broker.fenced,
        })
    });
    DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: image.cluster_id().cloned().unwrap_or_default(),
        controller_id: topics::controller(image, own, listener),
        brokers: brokers.collect(),
        cluster_authorized_operations: operations::on_cluster(
            request.include_cluster_authorized_operations,
        ),
        ..DescribeClusterResponse::default()
    }
}
