//! For each client and codec: the batch lies on disk with the codec that the client was told to use, on every replica,
//! and comes back whole. A broker that advertises the wrong versions makes clients fall back silently (KAFKA-18659).

use std::time::Duration;

use anyhow::Result;
use cluster::Cluster;
use compat::{Tools, codecs_of};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use wire::batch::Compression;

const CODECS: &[(&str, Compression)] = &[
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

const CLIENTS: &[&str] = &["librdkafka", "java", "python", "kcat", "franz-go"];

/// How long replication may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Compresses well: clients send a batch uncompressed when that makes it smaller.
fn value() -> String {
    "millrace ".repeat(200)
}

/// Every replica has the record in one batch of the codec, and a consumer reads it.
fn check(tools: &Tools, cluster: &mut Cluster, client: &str) -> Result<()> {
    for (codec, expected) in CODECS {
        let topic = format!("{client}-{codec}");
        for id in 1..=3 {
            let directory = cluster.node(id).partition_dir(&topic, 0);
            cluster::until(LIMIT, &format!("broker {id} has {topic}"), || {
                Ok(!codecs_of(&directory).is_empty())
            })?;
            let codecs = codecs_of(&directory);
            assert!(
                codecs.iter().all(|found| found == expected),
                "{topic}: {codecs:?}"
            );
        }
        let read = tools.run(&format!(
            "kcat -b {} -C -t {topic} -p 0 -o beginning -c 1 -q",
            cluster.bootstrap()
        ));
        assert_eq!(read.trim_end(), value().trim_end(), "{topic}");
    }
    Ok(())
}

#[test]
fn what_each_client_compresses_is_stored_as_it_came() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let tools = Tools::find();
    for client in CLIENTS {
        for (codec, _) in CODECS {
            cluster.create_topic(&format!("{client}-{codec}"), 1, 3, &[])?;
        }
    }
    librdkafka(&cluster);
    java(&tools, &cluster);
    python(&tools, &cluster);
    kcat(&tools, &cluster);
    franz_go(&tools, &cluster);
    for client in CLIENTS {
        check(&tools, &mut cluster, client)?;
    }
    Ok(())
}

fn librdkafka(cluster: &Cluster) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    for (codec, _) in CODECS {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("compression.type", *codec)
            .set("acks", "all")
            .create()
            .expect("a producer can be made");
        let (topic, value) = (format!("librdkafka-{codec}"), value());
        let record: FutureRecord<'_, (), String> = FutureRecord::to(&topic).payload(&value);
        let sent = runtime.block_on(producer.send(record, Duration::from_secs(30)));
        sent.unwrap_or_else(|(error, _)| panic!("{topic}: {error}"));
    }
}

fn java(tools: &Tools, cluster: &Cluster) {
    for (codec, _) in CODECS {
        tools.run(&format!(
            "printf '{}\\n' | kafka-console-producer.sh --bootstrap-server {} --topic java-{codec} --compression-codec {codec}",
            value(),
            cluster.bootstrap()
        ));
    }
}

fn python(tools: &Tools, cluster: &Cluster) {
    tools.python(&format!(
        "from kafka import KafkaProducer\n\
         for codec in ['none', 'gzip', 'snappy', 'lz4', 'zstd']:\n    \
             p = KafkaProducer(bootstrap_servers='{}', acks='all',\n        \
                 compression_type=None if codec == 'none' else codec)\n    \
             p.send('python-' + codec, '{}'.encode()).get(timeout=30)\n    \
             p.close()\n",
        cluster.bootstrap(),
        value()
    ));
}

fn kcat(tools: &Tools, cluster: &Cluster) {
    for (codec, _) in CODECS {
        tools.run(&format!(
            "printf '{}\\n' | kcat -b {} -P -t kcat-{codec} -p 0 -z {codec}",
            value(),
            cluster.bootstrap()
        ));
    }
}

fn franz_go(tools: &Tools, cluster: &Cluster) {
    // It reads back what it has written, too.
    tools.run(&format!(
        "franz-go produce {} franz-go '{}'",
        cluster.bootstrap(),
        value()
    ));
}
