//! docs/coming-from-kafka.md: each of its commands works, and prints what the page says.

use cluster::Cluster;
use compat::{Tools, blocks};

const PAGE: &str = include_str!("../../../docs/coming-from-kafka.md");

#[test]
fn each_command_of_the_page_works() {
    let cluster = Cluster::start(3);
    let tools = Tools::find();
    let data = cluster.broker(1).data();
    let here = |text: &str| {
        text.replace("localhost:9092", &cluster.bootstrap())
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
            assert!(output.contains(line.as_str()), "{script}\ndoes not print {line:?} but\n{output}");
        }
    }
}
