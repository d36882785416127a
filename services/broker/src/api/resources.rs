//! Resources of the config APIs, by Kafka's type numbers.

use std::collections::BTreeSet;

use engine::ids::BrokerId;
use engine::metadata::Resource;
use wire::{ErrorCode, Str};

use super::proposal::Refusal;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The resource, if it is of a type that this broker, `own`, has configurations for. Of brokers it is only itself, or
/// all of them.
pub fn parse(kind: i8, name: &str, own: i32) -> Result<Resource, Refusal> {
    match kind {
        TOPIC => Ok(Resource::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(Resource::AllBrokers),
        BROKER => match name.parse() {
            Ok(id) if id == own => Ok(Resource::Broker(BrokerId(id))),
            Ok(_) => {
                let message = format!(
                    "Unexpected broker id, expected {own} or empty string, but received {name}"
                );
                Err(Refusal::invalid_request(message))
            }
            Err(_) => {
                let message = format!("Node id must be an integer, but it is: {name}");
                Err(Refusal::invalid_request(message))
            }
        },
        _ => Err(not_offered(kind)),
    }
}

/// A type of resource that this broker has no configurations for.
pub fn not_offered(kind: i8) -> Refusal {
    let what = match kind {
        BROKER_LOGGER => "broker loggers",
        CLIENT_METRICS => "client metrics",
        GROUP => "groups",
        _ => return Refusal::invalid_request(format!("Unexpected resource type {kind}")),
    };
    Refusal::new(
        ErrorCode::InvalidRequest,
        format!("configurations of {what} are not offered by this broker"),
    )
}

/// A resource by its type's number and its name.
pub type Named = (i8, Str);

/// Those that a request names more than once.
pub fn repeated(named: impl Iterator<Item = Named>) -> BTreeSet<Named> {
    let mut seen = BTreeSet::new();
    named.filter(|one| !seen.insert(one.clone())).collect()
}

/// Refuses to change what one request names more than once: which of the changes is meant?
pub fn check_once(repeated: &BTreeSet<Named>, one: &Named) -> Result<(), Refusal> {
    if repeated.contains(one) {
        let message = "Each resource must appear at most once.";
        return Err(Refusal::invalid_request(message));
    }
    Ok(())
}
