//! What the brokers themselves say of fencing and of the active controller, from their logs (JSON lines).

use serde_json::Value;

use crate::{Cluster, Node};

/// What the active controller's log line says when its office begins.
const IN_OFFICE: &str = "this node is the active controller";
/// What its warning ends with when it fences a broker.
const FENCING: &str = "fencing";

impl Node {
    /// Every line of the log that is an event, with its message and fields.
    pub fn events(&self) -> Vec<Value> {
        let text = self.log_text();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The events whose message holds `part`.
    pub fn events_with(&self, part: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| message(event).contains(part));
        events
    }
}

impl Cluster {
    /// The terms in which any broker has been the active controller, in order.
    pub fn terms(&self) -> Vec<u64> {
        let offices = self
            .nodes
            .iter()
            .flat_map(|node| node.events_with(IN_OFFICE));
        let mut terms: Vec<u64> = offices
            .filter_map(|event| field(&event, "term")?.as_u64())
            .collect();
        terms.sort_unstable();
        terms
    }

    /// Every warning of a broker being fenced.
    pub fn fencings(&self) -> Vec<String> {
        let all = self.nodes.iter().flat_map(|node| node.events_with(FENCING));
        all.map(|event| event.to_string()).collect()
    }
}

fn message(event: &Value) -> &str {
    field(event, "message")
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// A field of an event, wherever the format puts it.
pub fn field<'a>(event: &'a Value, name: &str) -> Option<&'a Value> {
    event.get(name).or_else(|| event.get("fields")?.get(name))
}
