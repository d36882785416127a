//! ApiVersions, versions 0 to 4: which APIs are offered.
//!
//! A version that is not known is answered in version 0 with UNSUPPORTED_VERSION and the table, so
//! that the client can ask again (KIP-511).

use wire::messages::api_versions_response::ApiVersion;
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use wire::{ApiKey, ErrorCode};

use super::RequestContext;
use super::versions::OFFERED;
use crate::server::Broker;

/// Answers with the table.
pub async fn handle(
    _broker: &Broker,
    request: ApiVersionsRequest,
    context: &RequestContext,
) -> ApiVersionsResponse {
    if context.version >= 3 && !is_valid(&request) {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
    }
    ApiVersionsResponse {
        api_keys: table(),
        ..ApiVersionsResponse::default()
    }
}

/// The answer to a version that is not known.
pub fn unsupported() -> ApiVersionsResponse {
    let own = |version: &ApiVersion| version.api_key == ApiKey::ApiVersions as i16;
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: table().into_iter().filter(own).collect(),
        ..ApiVersionsResponse::default()
    }
}

fn table() -> Vec<ApiVersion> {
    OFFERED
        .iter()
        .map(|offered| ApiVersion {
            api_key: offered.api as i16,
            min_version: offered.min,
            max_version: offered.max,
        })
        .collect()
}

/// Kafka's rule for the client's name and version: letters, digits, dots and dashes, with a
/// letter or digit at both ends.
fn is_valid(request: &ApiVersionsRequest) -> bool {
    [
        &request.client_software_name,
        &request.client_software_version,
    ]
    .iter()
    .all(|text| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let outer = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let mut bytes = text.bytes();
        outer(text.bytes().next()) && outer(text.bytes().last()) && bytes.all(inner)
    })
}
