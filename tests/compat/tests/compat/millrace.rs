//! Our own command line against three brokers: what it does, what it prints, and what it says to bad input.

use anyhow::{Context, Result, ensure};
use cluster::Cluster;
use compat::Tools;
use serde_json::{Value, json};

struct Shell {
    cluster: Cluster,
    tools: Tools,
}

impl Shell {
    fn start() -> Result<Shell> {
        Ok(Shell {
            cluster: Cluster::start()?,
            tools: Tools::find(),
        })
    }

    fn with_cluster(&self, script: &str) -> String {
        let servers = self.cluster.bootstrap();
        format!("export KAFKA_BOOTSTRAP_SERVERS={servers}\n{script}")
    }

    /// Runs `millrace` with these words, and what stands behind them in a shell; what it printed on both streams.
    fn millrace(&self, words: &str) -> String {
        self.run(&format!("millrace {words}"))
    }

    fn run(&self, script: &str) -> String {
        self.tools.run(&self.with_cluster(script))
    }

    fn json(&self, words: &str) -> Result<Value> {
        let printed = self.millrace(&format!("{words} --json"));
        serde_json::from_str(&printed).with_context(|| printed.clone())
    }

    /// Waits until a broker that is asked knows of a change that another one has made.
    fn until(&self, what: &str, condition: impl Fn() -> Result<bool>) -> Result<()> {
        cluster::until(std::time::Duration::from_secs(30), what, condition)
    }
}

#[test]
fn topics_live_and_go() -> Result<()> {
    let mut shell = Shell::start()?;
    let created = shell.millrace("topics create life -p 3 -c retention.ms=600000");
    assert_eq!(created, "created topic life\n");
    assert_eq!(
        shell.millrace("topics create life --if-not-exists"),
        "topic life exists\n"
    );
    shell.cluster.wait_in_sync("life")?;
    shell.until("the topic is listed", || {
        let listed = shell.json("topics list")?;
        let expected = json!([{"topic": "life", "partitions": 3, "replication_factor": 3}]);
        Ok(listed == expected)
    })?;
    let table = shell.millrace("topics list");
    assert_eq!(table, "TOPIC  PARTITIONS  REPLICAS\nlife   3           3\n");

    let altered = shell.millrace("topics alter life --partitions 5");
    assert_eq!(altered, "topic life has 5 partitions now\n");
    shell.until("five partitions are described", || {
        let described = shell.json("topics describe life")?;
        let partitions = described[0]["partitions"].as_array().context("a list")?;
        ensure!(partitions.len() == 5, "{described}");
        ensure!(
            partitions
                .iter()
                .all(|p| p["isr"].as_array().map(Vec::len) == Some(3))
        );
        Ok(described[0]["configs"] == json!({"retention.ms": "600000"}))
    })?;
    let described = shell.millrace("topics describe life");
    let id = shell.cluster.topic("life")?.id.to_string();
    assert!(
        described.contains(&format!("life  id {id}  replicas 3")),
        "{described}"
    );
    assert!(
        described.contains("PARTITION  LEADER  REPLICAS  IN SYNC"),
        "{described}"
    );

    shell.millrace("topics create second");
    let deleted = shell.millrace("topics delete life second");
    assert_eq!(deleted, "deleted topic life\ndeleted topic second\n");
    assert_eq!(
        shell.millrace("topics delete life --if-exists"),
        "there is no topic life\n"
    );
    shell.until("no topic is left", || {
        Ok(shell.json("topics list")? == json!([]))
    })
}

#[test]
fn settings_are_set_and_taken_back() -> Result<()> {
    let mut shell = Shell::start()?;
    shell
        .cluster
        .create_topic("set", 1, 3, &[("retention.ms", "600000")])?;
    let settings = || -> Result<Value> { shell.json("configs describe topic set") };
    let would = shell.millrace("configs alter topic set --set max.message.bytes=2000000 --dry-run");
    assert_eq!(would, "would change set\n");
    let changed =
        shell.millrace("configs alter topic set --set min.insync.replicas=1 --unset retention.ms");
    assert_eq!(changed, "changed set\n");
    shell.until("one setting differs from the defaults", || {
        let expected = json!([{
            "name": "min.insync.replicas", "value": "1", "source": "topic", "read_only": false, "sensitive": false
        }]);
        Ok(settings()? == expected)
    })?;
    let all = shell.millrace("configs describe topic set --all");
    let fields = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = ["retention.ms", "604800000", "default"];
    assert!(all.lines().any(|line| fields(line) == expected), "{all}");
    // A broker answers for itself.
    let broker = shell.json("configs describe broker 3")?;
    let node = json!({
        "name": "node.id", "value": "3", "source": "broker's file", "read_only": true, "sensitive": false
    });
    ensure!(
        broker.as_array().context("a list")?.contains(&node),
        "{broker}"
    );
    Ok(())
}

#[test]
fn records_are_written_and_read() -> Result<()> {
    let mut shell = Shell::start()?;
    shell.cluster.create_topic("events", 3, 3, &[])?;
    shell.cluster.create_topic("copy", 3, 3, &[])?;
    shell.millrace(
        "produce events -p 1 --key k --value first -H source=cli -H n=1 --compression zstd",
    );
    let written =
        shell.run("printf 'a|1\\nb|2|3\\n' | millrace produce events --key-separator '|' -p 2 -v");
    assert!(written.contains("events-2 offset 1\n"), "{written}");
    assert!(written.contains("2 records written to events"), "{written}");
    // As text: headers, key, value
    let read = shell.millrace("consume events --from-beginning --exit --keys --headers | sort");
    assert_eq!(read, "\ta\t1\n\tb\t2|3\nsource=cli,n=1\tk\tfirst\n");
    // As JSON
    let read = shell.millrace("consume events -p 1 --from-beginning --exit --json");
    let mut record: Value = serde_json::from_str(&read)?;
    let timestamp = record
        .as_object_mut()
        .context("an object")?
        .remove("timestamp");
    assert!(timestamp.is_some_and(|at| at.as_i64() > Some(0)), "{read}");
    let expected = json!({
        "topic": "events", "partition": 1, "offset": 0, "key": "k", "value": "first",
        "headers": {"source": "cli", "n": "1"},
    });
    assert_eq!(record, expected);
    // By partition and offset, and the last of each partition
    assert_eq!(shell.millrace("consume events -p 2 -o 1 --exit"), "2|3\n");
    assert_eq!(
        shell.millrace("consume events -o -1 -e | sort"),
        "2|3\nfirst\n"
    );
    assert_eq!(
        shell.millrace("consume events -b -p 2 --max-messages 1"),
        "1\n"
    );
    // One topic into another, partitions, keys and headers included
    shell.run("millrace consume events -b -e --json | millrace produce copy --json");
    let of = |topic: &str| {
        shell.millrace(&format!(
            "consume {topic} -b -e --json | sed 's/\"{topic}\"//;s/\"timestamp\":[0-9]*//' | sort"
        ))
    };
    assert_eq!(of("copy"), of("events"));
    Ok(())
}

#[test]
fn a_group_goes_on_where_it_stopped() -> Result<()> {
    let mut shell = Shell::start()?;
    shell.cluster.create_topic("log", 2, 3, &[])?;
    shell.run("seq 1 3 | millrace produce log -p 0; seq 4 6 | millrace produce log -p 1");
    let read = shell.millrace("consume log --group readers --from-beginning --max 6 | sort");
    assert_eq!(read, "1\n2\n3\n4\n5\n6\n");
    shell.run("seq 7 8 | millrace produce log -p 1");
    let groups = shell.json("groups list")?;
    assert_eq!(
        groups,
        json!([{"group": "readers", "state": "Empty", "members": 0, "protocol_type": "consumer", "assignor": ""}])
    );
    let described = shell.millrace("groups describe readers");
    let expected = "\
readers  Empty  0 members
TOPIC  PARTITION  COMMITTED  LOG END  LAG  MEMBER
log    0          3          3        0    -
log    1          3          5        2    -
";
    assert_eq!(described, expected);
    let read = shell.millrace("consume log --group readers --max 2");
    assert_eq!(read, "7\n8\n");
    let position = &shell.json("groups describe readers")?["partitions"][1];
    let expected = json!({
        "topic": "log", "partition": 1, "committed_offset": 5, "log_end_offset": 5, "lag": 0, "member": null
    });
    assert_eq!(position, &expected);
    shell.run("seq 11 99 | millrace produce log -p 0");
    let read = shell.millrace("consume log --group readers --max 2");
    assert_eq!(read, "11\n12\n");
    let rest: String = (13..=99).map(|number| format!("{number}\n")).collect();
    let read = shell.millrace("consume log --group readers --max 87 --timeout 30");
    assert_eq!(
        read, rest,
        "what was fetched and not printed is not skipped"
    );
    Ok(())
}

/// What is typed wrongly, the exit code, and what must be said.
const MISTAKES: &[(&str, u8, &str)] = &[
    ("topics create there", 1, "TOPIC_ALREADY_EXISTS"),
    ("topics create 'bad name'", 1, "INVALID_TOPIC_EXCEPTION"),
    ("topics create wide -r 4", 1, "only 3 broker(s)"),
    ("topics create new -c retention.ms=soon", 1, "retention.ms"),
    ("topics create new -c no.such.key=1", 1, "no.such.key"),
    ("topics describe nowhere", 1, "there is no topic nowhere"),
    ("topics alter there -p 1", 1, "already has 1 partition"),
    (
        "topics alter nowhere -p 2",
        1,
        "cannot alter topic nowhere: UNKNOWN_TOPIC_OR_PARTITION",
    ),
    ("topics alter there", 2, "--partitions"),
    (
        "topics delete there nowhere",
        1,
        "cannot delete nowhere: UNKNOWN_TOPIC_OR_PARTITION",
    ),
    (
        "configs describe topic nowhere",
        1,
        "cannot read the settings of nowhere",
    ),
    ("configs describe broker 9", 1, "there is no broker 9"),
    (
        "configs describe broker one",
        1,
        "\"one\" is not a broker's id",
    ),
    (
        "configs describe cloud 1",
        2,
        "possible values: topic, broker",
    ),
    (
        "configs alter topic kept --set retention.ms=soon",
        1,
        "it takes a whole number",
    ),
    (
        "configs alter topic kept --set no.such.key=1",
        1,
        "no.such.key",
    ),
    (
        "configs alter topic nowhere --set retention.ms=1",
        1,
        "cannot change the settings of nowhere",
    ),
    (
        "configs alter topic kept --set retention.ms",
        2,
        "is not NAME=VALUE",
    ),
    ("configs alter broker 2 --set node.id=9", 1, "node.id"),
    ("groups describe nobody", 1, "there is no group nobody"),
    (
        "produce nowhere --value x",
        1,
        "there is no topic nowhere: millrace topics create nowhere",
    ),
    (
        "produce kept --value x -p 7",
        1,
        "topic kept has no partition 7: it has 1, from 0",
    ),
    ("produce kept --value x --compression rar", 2, "rar"),
    ("produce kept --json <<< 'no json'", 1, "line 1"),
    (
        "produce kept --file /nowhere/at/all",
        1,
        "cannot open /nowhere/at/all",
    ),
    ("consume nowhere -e", 1, "there is no topic nowhere"),
    ("consume nowhere --group g", 1, "there is no topic nowhere"),
    ("consume kept -p 7 -e", 1, "topic kept has no partition 7"),
    (
        "consume kept -p 0 -o 5 -e",
        1,
        "offset 5 is beyond the end of the log, 0",
    ),
    ("consume kept -o somewhere", 2, "an offset, beginning, end"),
    ("consume kept --kafka-property no.such=1", 1, "no.such"),
];

#[test]
fn mistakes_are_explained() -> Result<()> {
    let mut shell = Shell::start()?;
    for topic in ["there", "kept"] {
        shell.cluster.create_topic(topic, 1, 3, &[])?;
    }
    shell
        .cluster
        .until("every broker knows the topics", |cluster| {
            for broker in 1..=3 {
                cluster.topic_at(Some(broker), "kept")?;
            }
            Ok(true)
        })?;
    let mut wrong = Vec::new();
    for (words, code, reason) in MISTAKES {
        let output = shell.run(&format!("millrace {words} || echo \"exit $?\""));
        if !output.contains(reason) || !output.contains(&format!("exit {code}\n")) {
            wrong.push(format!("{words}:\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_cluster_that_is_not_there_is_said_at_once() -> Result<()> {
    let tools = Tools::find();
    let nobody = cluster::ports::free(1)?[0];
    for command in [
        "topics list",
        "topics create t",
        "topics delete t",
        "configs describe topic t",
        "groups list",
        "groups describe g",
        "produce t --value x",
        "consume t",
        "consume t --group g",
    ] {
        let address = format!("127.0.0.1:{nobody}");
        let script = format!("millrace {command} --bootstrap-server {address} || echo \"exit $?\"");
        let output = tools.run(&format!("timeout 10 bash -c '{script}'"));
        let reason = format!("no broker answers: cannot connect to {address}");
        assert!(
            output.contains(&reason) && output.contains("exit 1"),
            "{command}: {output}"
        );
    }
    let output = tools.run("millrace topics list --bootstrap-servers nowhere.invalid:9092 || true");
    assert!(
        output.contains("cannot connect to nowhere.invalid:9092"),
        "{output}"
    );
    // Help has examples, and stdout is for who reads it.
    for command in ["produce", "consume"] {
        let help = tools.run(&format!("millrace {command} --help 2> /dev/null"));
        assert!(help.contains(&format!("  millrace {command} ")), "{help}");
    }
    Ok(())
}
