//! `controller.quorum.voters`.

use super::{Endpoint, Invalid};

/// One voter of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub id: i32,
    /// The host of its controller listener.
    pub host: String,
    /// The port of its controller listener.
    pub port: u16,
}

const KEY: &str = "controller.quorum.voters";

/// Parses `1@host:port,2@host:port`.
pub(super) fn parse(text: &str) -> Result<Vec<Voter>, Invalid> {
    let bad = || Invalid::new(KEY, text, "entries like 1@host:9093, separated by commas");
    let mut voters: Vec<Voter> = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let (id, address) = entry.split_once('@').ok_or_else(bad)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
        let voter = Voter {
            id: id.parse().ok().filter(|id| *id >= 0).ok_or_else(bad)?,
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_string(),
            port: port.parse().map_err(|_| bad())?,
        };
        if voters.iter().any(|other| other.id == voter.id) {
            return Err(Invalid::new(KEY, text, "each node id once"));
        }
        voters.push(voter);
    }
    Ok(voters)
}

/// The voters that were given, or this node alone.
pub(super) fn resolve(
    given: Option<&str>,
    node_id: i32,
    is_controller: bool,
    own: Option<&Endpoint>,
) -> Result<Vec<Voter>, Invalid> {
    let Some(text) = given else {
        return match own {
            Some(endpoint) if is_controller => {
                let host = match endpoint.host.as_str() {
                    "" | "0.0.0.0" | "::" => "localhost",
                    host => host,
                };
                Ok(vec![Voter {
                    id: node_id,
                    host: host.into(),
                    port: endpoint.port,
                }])
            }
            _ => Err(Invalid::new(
                KEY,
                "",
                "the voters, like 1@host:9093, where process.roles has no controller",
            )),
        };
    };
    let voters = parse(text)?;
    let listed = voters.iter().any(|voter| voter.id == node_id);
    if is_controller && !listed {
        let want = format!("an entry for node.id {node_id}, since process.roles has controller");
        return Err(Invalid::new(KEY, text, want));
    }
    if !is_controller && listed {
        let want = format!("no entry for node.id {node_id}, since process.roles has no controller");
        return Err(Invalid::new(KEY, text, want));
    }
    Ok(voters)
}
