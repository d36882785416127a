//! Topics by name or pattern, as Kafka's tools select them.

use anyhow::Context;
use regex_lite::Regex;
use wire::messages::metadata_response::MetadataResponseTopic;

use crate::wire_client::Connection;

/// Topics that are Kafka's own.
pub fn is_internal(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}

pub fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_deref().unwrap_or_default()
}

/// A regular expression that must match the whole name; a comma stands for "or".
pub fn pattern(text: &str) -> anyhow::Result<Regex> {
    let text = text.trim().trim_matches(['"', '\'']);
    let alternatives = text.replace(',', "|").replace(' ', "");
    Regex::new(&format!("^(?:{alternatives})$"))
        .with_context(|| format!("{text} is an invalid regex."))
}

/// The topics whose name the pattern matches (without one: all), in the order of their names.
pub async fn select(
    connection: &mut Connection,
    wanted: Option<&str>,
    without_internal: bool,
) -> anyhow::Result<Vec<MetadataResponseTopic>> {
    let pattern = wanted.map(pattern).transpose()?;
    let mut topics = connection.metadata(None).await?.topics;
    topics.retain(|topic| {
        let name = name_of(topic);
        pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(name))
            && !(without_internal && is_internal(name))
    });
    topics.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_and_a_comma_is_or() {
        let matches = |text: &str, name: &str| pattern(text).expect(text).is_match(name);
        assert!(matches("web.*,orders", "web-logs") && matches("web.*,orders", "orders"));
        assert!(!matches("web", "web-logs") && matches("a.b", "a.b"));
        assert!(pattern("(").is_err());
    }
}
