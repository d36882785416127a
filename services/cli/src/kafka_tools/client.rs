//! From the settings of Kafka's Java clients, given by file or flag, to those of ours.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;
use pipeline::KafkaOptions;

use super::arguments::{Given, usage};

/// What only a Java client can use, or what ours does by itself.
const WITHOUT_EFFECT: &[&str] = &[
    "bootstrap.servers",
    "buffer.memory",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.poll.records",
    "partition.assignment.strategy",
    "partitioner.class",
    "ssl.truststore.type",
    "value.deserializer",
    "value.serializer",
];

/// Java's name and librdkafka's, where they differ.
const NAMES: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.truststore.location", "ssl.ca.location"),
];

#[derive(Parser)]
struct Client {
    #[command(flatten)]
    kafka: KafkaOptions,
}

/// The cluster that `--bootstrap-server` names, with the settings from the files that `files` and the flags that
/// `properties` name, the latter winning.
pub fn options(given: &Given, files: &[&str], properties: &[&str]) -> anyhow::Result<KafkaOptions> {
    let Some(servers) = given.one("bootstrap-server")? else {
        usage("Missing required argument \"[bootstrap-server]\"")?
    };
    let mut kafka = Client::try_parse_from(["", "--bootstrap-servers", servers])?.kafka;
    for name in files {
        for file in given.all(name) {
            let settings = file_of_properties(Path::new(file))?;
            settings.into_iter().for_each(|one| add(&mut kafka, one));
        }
    }
    for name in properties {
        for text in given.all(name) {
            let Some((key, value)) = text.split_once('=') else {
                bail!("Invalid command line properties: {text}");
            };
            add(&mut kafka, (key.trim().to_owned(), value.to_owned()));
        }
    }
    Ok(kafka)
}

/// The lines of a properties file, without its comments.
pub fn file_of_properties(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|line| {
            let at = line.find(['=', ':']);
            let (name, value) = line.split_at(at.unwrap_or(line.len()));
            let value = value.strip_prefix(['=', ':']).unwrap_or_default();
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn add(kafka: &mut KafkaOptions, (name, value): (String, String)) {
    if name == "sasl.jaas.config" {
        for (ours, theirs) in [("sasl.username", "username"), ("sasl.password", "password")] {
            if let Some(found) = login(&value, theirs) {
                kafka.properties.push((ours.into(), found));
            }
        }
        return;
    }
    if WITHOUT_EFFECT.contains(&name.as_str()) {
        return;
    }
    let known = NAMES.iter().find(|(java, _)| *java == name);
    let ours = known.map_or(name, |(_, ours)| (*ours).to_owned());
    kafka.properties.push((ours, value));
}

/// `username` of `...PlainLoginModule required username="me" password="secret";`.
fn login(jaas: &str, option: &str) -> Option<String> {
    let (_, rest) = jaas.split_once(&format!("{option}="))?;
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().map(str::to_owned),
        None => rest.split([' ', ';']).next().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_clients_settings_become_librdkafkas() {
        let mut kafka = Client::try_parse_from(["", "--bootstrap-servers", "a:1"])
            .expect("a client")
            .kafka;
        let jaas = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="a b";"#;
        for (name, value) in [
            ("sasl.jaas.config", jaas),
            ("key.serializer", "x"),
            ("fetch.max.wait.ms", "7"),
            ("linger.ms", "3"),
        ] {
            add(&mut kafka, (name.into(), value.into()));
        }
        let all: Vec<(&str, &str)> = kafka
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            all,
            [
                ("sasl.username", "me"),
                ("sasl.password", "a b"),
                ("fetch.wait.max.ms", "7"),
                ("linger.ms", "3"),
            ]
        );
    }
}
