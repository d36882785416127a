//! Topics that come into being because somebody asks for them: on by default, off by configuration
//! (`auto.create.topics.enable`), and never for a client that does not want it (KIP-361, KIP-487).

use anyhow::Result;
use cluster::{Cluster, Settings};
use compat::Tools;

#[test]
fn who_writes_to_a_topic_makes_it() -> Result<()> {
    let settings = Settings::default().property("num.partitions", "4");
    let mut cluster = Cluster::with(settings)?;
    let tools = Tools::find();
    let servers = cluster.bootstrap();
    tools.run(&format!(
        "echo x | kafka-console-producer.sh --bootstrap-server {servers} --topic by-java"
    ));
    tools.run(&format!("echo x | kcat -b {servers} -P -t by-kcat"));
    tools.python(&format!(
        "from kafka import KafkaProducer\n\
         p = KafkaProducer(bootstrap_servers='{servers}'.split(','))\n\
         p.send('by-python', b'x').get(timeout=30)\n"
    ));
    for topic in ["by-java", "by-kcat", "by-python"] {
        cluster.wait_in_sync(topic)?;
        let partitions = cluster.topic(topic)?.partitions;
        assert_eq!((partitions.len(), partitions[0].replicas.len()), (4, 3));
        // Not every client waits for the followers.
        cluster.until(&format!("the record is in {topic}"), |cluster| {
            let mut held = 0;
            for partition in 0..4 {
                held += cluster.offset(topic, partition, -1)?;
            }
            Ok(held == 1)
        })?;
    }
    // Looking at a topic does not make it, nor does reading with a client that was told not to.
    tools.attempt(&format!(
        "kafka-topics.sh --bootstrap-server {servers} --describe --topic looked-at"
    ));
    tools.attempt(&format!(
        "kafka-console-consumer.sh --bootstrap-server {servers} --topic looked-at --timeout-ms 3000 \
         --command-property allow.auto.create.topics=false"
    ));
    let listed = tools.run(&format!(
        "kafka-topics.sh --bootstrap-server {servers} --list --exclude-internal"
    ));
    assert_eq!(listed, "by-java\nby-kcat\nby-python\n");
    Ok(())
}

#[test]
fn nobody_makes_a_topic_where_that_is_switched_off() -> Result<()> {
    let settings = Settings::default().property("auto.create.topics.enable", "false");
    let cluster = Cluster::with(settings)?;
    let tools = Tools::find();
    let servers = cluster.bootstrap();
    let (_, output) = tools.attempt(&format!(
        "echo x | kcat -b {servers} -P -t nowhere -X topic.metadata.propagation.max.ms=1000"
    ));
    assert!(output.contains("Unknown topic"), "{output}");
    let (_, output) = tools.attempt(&format!(
        "echo x | kafka-console-producer.sh --bootstrap-server {servers} --topic nowhere --command-property max.block.ms=5000"
    ));
    assert!(
        output.contains("nowhere not present in metadata"),
        "{output}"
    );
    let listed = tools.run(&format!(
        "kafka-topics.sh --bootstrap-server {servers} --list --exclude-internal"
    ));
    assert_eq!(listed.trim(), "");
    Ok(())
}
