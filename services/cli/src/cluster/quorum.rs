//! The metadata quorum, as DescribeQuorum tells of it: the active controller, the voters and the observers, how far each is.

use std::io::{self, Write};

use anyhow::Context;
use pipeline::KafkaOptions;
use serde_json::{Value, json};
use wire::messages::describe_quorum_request::{PartitionData as Asked, TopicData};
use wire::messages::describe_quorum_response::{PartitionData, ReplicaState};
use wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use crate::output::Table;
use crate::wire_client::{Connection, check};

/// Asks a broker, which has it from the active controller.
pub async fn read(kafka: &KafkaOptions) -> anyhow::Result<PartitionData> {
    let request = DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![Asked { partition_index: 0 }],
        }],
    };
    let mut connection = Connection::bootstrap(kafka).await?;
    only_partition(connection.call(&request, 2).await?)
}

fn only_partition(response: DescribeQuorumResponse) -> anyhow::Result<PartitionData> {
    check(response.error_code, response.error_message.as_deref())?;
    let partitions = response.topics.into_iter().flat_map(|t| t.partitions);
    let one = partitions.last().context("no answer about the quorum")?;
    check(one.error_code, one.error_message.as_deref())?;
    Ok(one)
}

/// A table with a line for each node.
pub fn print(quorum: &PartitionData, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nquorum: leader {}  epoch {}  high watermark {}",
        quorum.leader_id, quorum.leader_epoch, quorum.high_watermark
    )?;
    let mut table = Table::new([
        "  NODE",
        "ROLE",
        "LOG END",
        "LAG",
        "LAST FETCH",
        "CAUGHT UP",
    ]);
    for (role, node) in nodes(quorum) {
        let number = |known: Option<i64>| known.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let age = |at_ms| match age_ms(quorum, at_ms) {
            Some(ms) => format!("{:.1} s ago", ms as f64 / 1000.0),
            None => "-".to_owned(),
        };
        let is_leader = node.replica_id == quorum.leader_id;
        let mark = if is_leader { "*" } else { "" };
        table.row([
            format!("  {}{mark}", node.replica_id),
            role.to_owned(),
            number(known(node.log_end_offset)),
            number(lag(quorum, node)),
            age(node.last_fetch_timestamp),
            age(node.last_caught_up_timestamp),
        ]);
    }
    table.print(out)
}

pub fn as_json(quorum: &PartitionData) -> Value {
    let of = |role: &str| -> Vec<Value> {
        let those = nodes(quorum).filter(|(is, _)| *is == role);
        those.map(|(_, node)| node_json(quorum, node)).collect()
    };
    json!({
        "leader": quorum.leader_id, "epoch": quorum.leader_epoch, "high_watermark": quorum.high_watermark,
        "voters": of(VOTER), "observers": of(OBSERVER),
    })
}

fn node_json(quorum: &PartitionData, node: &ReplicaState) -> Value {
    json!({
        "id": node.replica_id, "log_end_offset": known(node.log_end_offset), "lag": lag(quorum, node),
        "last_fetch_ms": known(node.last_fetch_timestamp),
        "last_caught_up_ms": known(node.last_caught_up_timestamp),
    })
}

const VOTER: &str = "voter";
const OBSERVER: &str = "observer";

fn nodes(quorum: &PartitionData) -> impl Iterator<Item = (&'static str, &ReplicaState)> {
    let voters = quorum.current_voters.iter().map(|node| (VOTER, node));
    voters.chain(quorum.observers.iter().map(|node| (OBSERVER, node)))
}

/// -1 stands for what is not known.
fn known(value: i64) -> Option<i64> {
    Some(value).filter(|value| *value >= 0)
}

fn leader(quorum: &PartitionData) -> Option<&ReplicaState> {
    let mut voters = quorum.current_voters.iter();
    voters.find(|voter| voter.replica_id == quorum.leader_id)
}

/// Entries that a node lacks.
fn lag(quorum: &PartitionData, node: &ReplicaState) -> Option<i64> {
    let end = known(leader(quorum)?.log_end_offset)?;
    Some(end.saturating_sub(known(node.log_end_offset)?).max(0))
}

/// By the leader's own clock: its own fetch is now.
fn age_ms(quorum: &PartitionData, at_ms: i64) -> Option<i64> {
    let now_ms = known(leader(quorum)?.last_fetch_timestamp)?;
    Some(now_ms.saturating_sub(known(at_ms)?).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(replica_id: i32, log_end_offset: i64, at_ms: i64) -> ReplicaState {
        ReplicaState {
            replica_id,
            log_end_offset,
            last_fetch_timestamp: at_ms,
            last_caught_up_timestamp: at_ms,
            ..ReplicaState::default()
        }
    }

    #[test]
    fn each_node_stands_with_its_lag_and_what_is_not_known_is_not_made_up() {
        let quorum = PartitionData {
            leader_id: 2,
            leader_epoch: 7,
            high_watermark: 90,
            current_voters: vec![node(1, 88, 9_500), node(2, 90, 10_000)],
            observers: vec![node(4, -1, -1)],
            ..PartitionData::default()
        };
        let mut shown = Vec::new();
        print(&quorum, &mut shown).expect("memory takes it");
        let shown = String::from_utf8(shown).expect("text");
        let cells: Vec<Vec<&str>> = shown
            .lines()
            .skip(3)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(cells[0][..6], ["1", "voter", "88", "2", "0.5", "s"]);
        assert_eq!(cells[1][..4], ["2*", "voter", "90", "0"]);
        assert_eq!(cells[2], ["4", "observer", "-", "-", "-", "-"]);
        let json = as_json(&quorum);
        assert_eq!(json["voters"][0]["lag"], 2);
        assert_eq!(json["observers"][0]["last_fetch_ms"], Value::Null);
    }
}
