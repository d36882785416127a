//! How a service reaches Kafka: flags, environment, and the client settings that follow.

use clap::Args;
use rdkafka::ClientConfig;

use crate::Security;

/// The flags of every service that speaks to Kafka.
#[derive(Args, Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Brokers to start from, separated by commas.
    #[arg(
        long,
        // As Kafka's own tools spell it.
        alias = "bootstrap-server",
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092",
        value_name = "HOST:PORT,..."
    )]
    pub bootstrap_servers: String,

    #[command(flatten)]
    pub security: Security,

    /// Further librdkafka settings, such as socket.timeout.ms=30000. May be repeated; in the environment separated by commas.
    #[arg(long = "kafka-property", env = "KAFKA_PROPERTIES", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = property)]
    pub properties: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl KafkaOptions {
    /// What every client shares: quick reconnects, and topics that appear later are seen within seconds.
    pub fn client(&self, client_id: &str) -> ClientConfig {
        self.over(ClientConfig::new(), client_id)
    }

    /// A producer that never gives a record up and never doubles one: idempotent, acks=all, no message timeout. Its queue
    /// is bounded (32 MiB); a full queue is the caller's signal to wait.
    pub fn producer(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.kbytes", "32768")
            .set("queue.buffering.max.messages", "100000");
        self.over(config, client_id)
    }

    /// A group member whose positions are its own affair: no reset, no automatic position, only committed records, and
    /// cooperative rebalances, so that a partition that stays is not interrupted.
    pub fn consumer(&self, client_id: &str, group_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("group.id", group_id)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "error")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "200")
            .set("queued.max.messages.kbytes", "16384");
        self.over(config, client_id)
    }

    /// What every client shares, on top of `config`. The user's own properties win over ours.
    fn over(&self, mut config: ClientConfig, client_id: &str) -> ClientConfig {
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false");
        self.security.apply(&mut config);
        // A broker that comes back under a new address (a pod) leads again within seconds. Whoever still waits for an
        // answer from its old address must have given up by then: librdkafka would for 30 s. A handshake takes longer.
        let secured = config.get("security.protocol").is_some();
        let setup_ms = if secured { "10000" } else { "1500" };
        config.set("socket.connection.setup.timeout.ms", setup_ms);
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const SETUP_TIMEOUT: &str = "socket.connection.setup.timeout.ms";

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        kafka: KafkaOptions,
    }

    #[test]
    fn properties_of_the_user_win_over_ours() {
        let command = Command::parse_from([
            "x",
            "--bootstrap-servers",
            "a:1,b:2",
            "--kafka-property",
            "linger.ms=50",
        ]);
        let producer = command.kafka.producer("test");
        assert_eq!(producer.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(producer.get("linger.ms"), Some("50"));
        assert_eq!(producer.get("enable.idempotence"), Some("true"));
        assert!(Command::try_parse_from(["x", "--kafka-property", "nonsense"]).is_err());
        assert_eq!(producer.get("security.protocol"), None);
        assert_eq!(producer.get(SETUP_TIMEOUT), Some("1500"));
    }

    #[test]
    fn a_secured_connection_is_described_in_kafkas_own_words() {
        let file = std::env::temp_dir().join(format!("secret-{}", std::process::id()));
        std::fs::write(&file, "open sesame\n").expect("a temporary file");
        let path = file.to_string_lossy().into_owned();
        let parsed = Command::try_parse_from([
            "x",
            "--security-protocol",
            "SASL_SSL",
            "--sasl-mechanism",
            "SCRAM-SHA-512",
            "--sasl-username",
            "mesh",
            "--sasl-password-file",
            &path,
            "--ssl-key-location",
            "",
        ]);
        std::fs::remove_file(&file).expect("it is ours");
        let kafka = parsed.map(|command| command.kafka);
        let kafka = kafka.map_err(|error| error.to_string());
        let kafka = kafka.expect("good flags");
        for config in [
            kafka.client("test"),
            kafka.producer("test"),
            kafka.consumer("test", "group"),
        ] {
            assert_secured(&config);
        }
        assert!(Command::try_parse_from(["x", "--sasl-password-file", "/nowhere"]).is_err());
    }

    fn assert_secured(client: &ClientConfig) {
        for (name, value) in [
            ("security.protocol", Some("sasl_ssl")),
            ("sasl.mechanism", Some("SCRAM-SHA-512")),
            ("sasl.username", Some("mesh")),
            ("sasl.password", Some("open sesame")),
            ("ssl.ca.location", Some("probe")),
            ("ssl.key.location", None),
            (SETUP_TIMEOUT, Some("10000")),
        ] {
            assert_eq!(client.get(name), value, "{name}");
        }
    }
}
