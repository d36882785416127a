//! Says at the start what is wrong with an advertised address, before a client finds out.
//!
//! Addresses that can never work refuse the start ([`crate::config`]). What is checked here may still come right, a
//! name that is not in the DNS yet or a proxy on this host, so it is a warning.

use std::io;
use std::net::IpAddr;

use crate::config::{Config, Endpoint, Voter};
use crate::env::{Env, Plane};

/// Looks every advertised name up, in the background.
pub(crate) fn check(env: &Env, config: &Config) {
    let advertised = config.listeners.advertised.clone();
    let (node_id, voters) = (config.node_id, config.quorum.voters.clone());
    let outside = env.clone();
    let checked = async move {
        for endpoint in &advertised {
            let found = outside.resolve(&endpoint.host).await;
            let voters = who_must_reach(&advertised, &voters);
            if let Some(why) = problem(endpoint, found, node_id, voters) {
                let address = format!("{}://{}:{}", endpoint.name, endpoint.host, endpoint.port);
                tracing::warn!(address, "advertised.listeners: {why}");
            }
        }
    };
    // Nothing waits for it: a slow resolver must not delay the start.
    drop(env.spawn(Plane::Control, "advertised", checked));
}

/// The voters on other hosts that a loopback address leaves out: none where another listener is there for them. A listener
/// for the programs of this host beside one for a network, as docker compose files have it, is no mistake.
fn who_must_reach<'a>(advertised: &[Endpoint], voters: &'a [Voter]) -> &'a [Voter] {
    let is_reached = advertised.iter().any(|one| !is_loopback(&one.host));
    if is_reached { &[] } else { voters }
}

/// Why clients or other brokers will not reach this broker under `endpoint`.
fn problem(
    endpoint: &Endpoint,
    found: io::Result<()>,
    node_id: i32,
    voters: &[Voter],
) -> Option<String> {
    if let Err(error) = found {
        return Some(format!(
            "the name {} cannot be resolved here ({error}); every client is sent this name and must be able to resolve \
             it. Add it to the DNS or to /etc/hosts, or advertise the host as clients know it",
            endpoint.host
        ));
    }
    let elsewhere = voters
        .iter()
        .find(|voter| voter.id != node_id && !is_loopback(&voter.host))?;
    is_loopback(&endpoint.host).then(|| {
        format!(
            "{} reaches only this host, but controller.quorum.voters has one on {}; brokers and clients there cannot \
             connect to it. Advertise the host as they know it",
            endpoint.host, elsewhere.host
        )
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            name: "PLAINTEXT".into(),
            host: host.into(),
            port: 9092,
        }
    }

    fn voters(hosts: &[&str]) -> Vec<Voter> {
        let voter = |(at, host): (usize, &&str)| Voter {
            id: at as i32 + 1,
            host: host.to_string(),
            port: 9093,
        };
        hosts.iter().enumerate().map(voter).collect()
    }

    #[test]
    fn a_name_that_nobody_knows_is_explained() {
        let unknown = Err(io::Error::other("no such host"));
        let why = problem(&endpoint("brokre-1"), unknown, 1, &[]).unwrap();
        assert!(
            why.contains("brokre-1") && why.contains("no such host"),
            "{why}"
        );
    }

    #[test]
    fn localhost_is_no_address_where_other_hosts_have_voters() {
        let others = voters(&["localhost", "kafka-2", "kafka-3"]);
        for host in ["localhost", "127.0.0.1", "::1"] {
            let why = problem(&endpoint(host), Ok(()), 1, &others).unwrap();
            assert!(why.contains("kafka-2"), "{why}");
        }
        assert_eq!(problem(&endpoint("kafka-1"), Ok(()), 1, &others), None);
    }

    #[test]
    fn localhost_is_right_where_all_voters_are_on_this_host() {
        let here = voters(&["10.0.0.1", "localhost", "127.0.0.1"]);
        assert_eq!(problem(&endpoint("localhost"), Ok(()), 1, &here), None);
    }

    #[test]
    fn localhost_is_right_for_a_second_listener_that_is_for_this_host() {
        let others = voters(&["broker-1", "broker-2"]);
        let both = [endpoint("broker-1"), endpoint("localhost")];
        assert!(who_must_reach(&both, &others).is_empty());
        assert_eq!(who_must_reach(&both[1..], &others).len(), 2);
    }
}
