//! docs/coming-from-kafka.md: each of its commands works, and prints what the page says.

use anyhow::Result;
use cluster::{Cluster, Settings};
use compat::{Tools, blocks};

const PAGE: &str = include_str!("../../../../docs/coming-from-kafka.md");

#[test]
fn each_command_of_the_page_works() -> Result<()> {
    follow_the_page(&Tools::find())
}

#[test]
fn each_command_of_the_page_works_with_our_tools_under_kafkas_names() -> Result<()> {
    follow_the_page(&Tools::with_ours())
}

fn follow_the_page(tools: &Tools) -> Result<()> {
    // As many partitions of __consumer_offsets as a cluster has that nobody configured.
    let settings = Settings::default().property("offsets.topic.num.partitions", "50");
    let mut cluster = Cluster::with(settings)?;
    let bootstrap = cluster.bootstrap();
    let partition = cluster.node(1).partition_dir("orders", 0);
    let data = partition
        .parent()
        .expect("a partition lies in a log directory");
    let here = |text: &str| {
        text.replace("localhost:9092", &bootstrap)
            .replace("/var/lib/millrace", &data.display().to_string())
    };
    for block in blocks(PAGE) {
        let script = here(&block.script);
        let output = match block.language.as_str() {
            "sh" => tools.run(&script),
            "python" => tools.python(&script),
            other => panic!("the page has a block of {other}, which nobody runs"),
        };
        for line in &block.printed {
            assert!(
                output.contains(line.as_str()),
                "{script}\ndoes not print {line:?} but\n{output}"
            );
        }
    }
    Ok(())
}
