//! Consumer groups of real clients: shared between kinds of clients, carried on when their coordinator dies, and
//! static members that come back unnoticed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::client::call;
use cluster::{Cluster, Settings};
use compat::Tools;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use wire::messages::FindCoordinatorRequest;

const PARTITIONS: i32 = 6;
/// How long anything that a client waits for may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Counts how often a member lost or got partitions.
#[derive(Default)]
struct Rebalances(AtomicU32);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Rebalances>, _: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Member = BaseConsumer<Rebalances>;

fn start() -> Result<Cluster> {
    // Nobody waits for a second member here; and one that is gone is missed soon.
    Cluster::with(Settings::default().property("group.initial.rebalance.delay.ms", "100"))
}

fn member(cluster: &Cluster, group: &str, topic: &str, instance: Option<&str>) -> Result<Member> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "10000")
        .set("partition.assignment.strategy", "range");
    if let Some(instance) = instance {
        config.set("group.instance.id", instance);
    }
    let consumer: Member = config.create_with_context(Rebalances::default())?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// Produces `count` numbered records, spread over the partitions.
fn produce(cluster: &Cluster, topic: &str, from: usize, count: usize) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("enable.idempotence", "true")
        .create()?;
    for number in from..from + count {
        let value = number.to_string();
        let partition = (number % PARTITIONS as usize) as i32;
        let record: BaseRecord<'_, (), String> =
            BaseRecord::to(topic).payload(&value).partition(partition);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(LIMIT)?;
    Ok(())
}

/// Polls until `enough` holds of the numbers that came, which are returned.
fn read_until(
    member: &Member,
    mut numbers: BTreeSet<usize>,
    enough: impl Fn(&BTreeSet<usize>) -> bool,
) -> Result<BTreeSet<usize>> {
    let began = Instant::now();
    while !enough(&numbers) {
        ensure!(
            began.elapsed() < LIMIT,
            "only {} records came",
            numbers.len()
        );
        // librdkafka tells of each broken connection; it goes on by itself.
        if let Some(Ok(record)) = member.poll(Duration::from_millis(100)) {
            let text = record
                .payload_view::<str>()
                .context("a record has a value")??;
            numbers.insert(text.parse()?);
        }
    }
    Ok(numbers)
}

fn owned(member: &Member) -> usize {
    member.assignment().map_or(0, |list| list.count())
}

/// As plain numbers: librdkafka's own list would keep a dropped member alive.
fn partitions_of(member: &Member) -> Result<BTreeSet<i32>> {
    let list = member.assignment()?;
    Ok(list
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect())
}

/// Polls until the member owns so many partitions.
fn poll_until_owning(members: &[&Member], each: usize) -> Result<()> {
    let began = Instant::now();
    while !members.iter().all(|member| owned(member) == each) {
        let owned: Vec<usize> = members.iter().map(|member| owned(member)).collect();
        ensure!(began.elapsed() < LIMIT, "partitions are owned {owned:?}");
        for member in members {
            // Records are of no interest here, errors pass by themselves.
            let _ = member.poll(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn coordinator(cluster: &mut Cluster, group: &str) -> Result<i32> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![wire::Str::copy_from(group)],
        ..Default::default()
    };
    let mut node = -1;
    cluster.until("the group has a coordinator", |cluster| {
        let found = call(cluster.any_running()?, &request, 4)?;
        node = found.coordinators.first().map_or(-1, |one| one.node_id);
        Ok(node > 0 && cluster.node(node).is_running())
    })?;
    Ok(node)
}

/// The sum of the committed positions: how many records the group says it has done with.
fn committed(member: &Member) -> Result<i64> {
    let began = Instant::now();
    loop {
        match member.committed(Duration::from_secs(10)) {
            Ok(list) => {
                let offsets = list.elements().into_iter();
                return Ok(offsets
                    .filter_map(|e| e.offset().to_raw())
                    .filter(|o| *o >= 0)
                    .sum());
            }
            Err(error) => ensure!(began.elapsed() < LIMIT, "positions cannot be read: {error}"),
        }
    }
}

fn commit(member: &Member) -> Result<()> {
    let began = Instant::now();
    while let Err(error) = member.commit_consumer_state(CommitMode::Sync) {
        ensure!(
            began.elapsed() < LIMIT,
            "positions cannot be committed: {error}"
        );
    }
    Ok(())
}

#[test]
fn a_group_and_what_it_committed_survive_the_death_of_its_coordinator() -> Result<()> {
    let mut cluster = start()?;
    cluster.create_topic("moves", PARTITIONS, 3, &[])?;
    produce(&cluster, "moves", 0, 600)?;
    let member = member(&cluster, "survivors", "moves", None)?;
    let seen = read_until(&member, BTreeSet::new(), |seen| seen.len() == 600)?;
    commit(&member)?;
    assert_eq!(committed(&member)?, 600);

    for round in 1..=2 {
        let dead = coordinator(&mut cluster, "survivors")?;
        cluster.node(dead).kill()?;
        assert_eq!(
            committed(&member)?,
            600 * round as i64,
            "an acknowledged commit is lost"
        );
        let more = 600 * round;
        produce(&cluster, "moves", more, 600)?;
        let seen = read_until(&member, seen.clone(), |seen| {
            (more..more + 600).all(|n| seen.contains(&n))
        })?;
        assert!(seen.len() >= 1200);
        commit(&member)?;
        assert_eq!(committed(&member)?, 600 * (round as i64 + 1));
        cluster.restart(dead)?;
        cluster.wait_in_sync("moves")?;
        cluster.wait_in_sync("__consumer_offsets")?;
    }
    Ok(())
}

#[test]
fn clients_of_three_kinds_share_one_group() -> Result<()> {
    let mut cluster = start()?;
    cluster.create_topic("shared", PARTITIONS, 3, &[])?;
    let tools = Tools::find();
    let bootstrap = cluster.bootstrap();
    let native = member(&cluster, "mixed", "shared", None)?;
    poll_until_owning(&[&native], 6)?;
    std::thread::scope(|scope| -> Result<()> {
        let java = scope.spawn(|| {
            // Goes when nothing has come for a while.
            tools.attempt(&format!(
                "kafka-console-consumer.sh --bootstrap-server {bootstrap} --topic shared --group mixed --timeout-ms 20000"
            ))
        });
        let python = scope.spawn(|| {
            tools.attempt(&format!(
                "python -c \"from kafka import KafkaConsumer\n\
                 c = KafkaConsumer('shared', bootstrap_servers='{bootstrap}'.split(','), group_id='mixed', \
                 consumer_timeout_ms=20000)\n\
                 for record in c: print(record.value.decode(), flush=True)\n\
                 c.close()\""
            ))
        });
        poll_until_owning(&[&native], 2)?;
        let members = tools.run(&format!(
            "kafka-consumer-groups.sh --bootstrap-server {bootstrap} --describe --group mixed --members"
        ));
        let of_group = members
            .lines()
            .filter(|line| line.starts_with("mixed"))
            .count();
        assert_eq!(of_group, 3, "{members}");
        a_group_with_members_is_left_alone(&tools, &bootstrap, "mixed", "shared");
        // Both go on their own, and what they owned comes back.
        poll_until_owning(&[&native], 6)?;
        for (who, other) in [("java", java), ("python", python)] {
            let (_, output) = other.join().expect("the thread ends");
            assert!(!output.contains("Traceback"), "{who}: {output}");
        }
        Ok(())
    })
}

fn a_group_with_members_is_left_alone(tools: &Tools, servers: &str, group: &str, topic: &str) {
    let groups = format!("kafka-consumer-groups.sh --bootstrap-server {servers} --group {group}");
    let (_, output) = tools.attempt(&format!("{groups} --delete"));
    assert!(output.contains("The group is not empty"), "{output}");
    let reset = format!("{groups} --topic {topic} --reset-offsets --to-earliest --execute");
    let (_, output) = tools.attempt(&reset);
    assert!(output.contains("is inactive"), "{output}");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() -> Result<()> {
    let mut cluster = start()?;
    cluster.create_topic("still", PARTITIONS, 3, &[])?;
    let stays = member(&cluster, "fixed", "still", Some("one"))?;
    let leaves = member(&cluster, "fixed", "still", Some("two"))?;
    poll_until_owning(&[&stays, &leaves], 3)?;
    let partitions = partitions_of(&leaves)?;
    let before = stays.context().0.load(Ordering::Relaxed);
    // A static member does not say goodbye.
    drop(leaves);
    let back = member(&cluster, "fixed", "still", Some("two"))?;
    poll_until_owning(&[&stays, &back], 3)?;
    assert_eq!(partitions_of(&back)?, partitions);
    assert_eq!(
        stays.context().0.load(Ordering::Relaxed),
        before,
        "the other member was disturbed"
    );
    Ok(())
}

#[test]
fn nobody_but_the_coordinators_writes_into_their_topic() -> Result<()> {
    let mut cluster = start()?;
    coordinator(&mut cluster, "any")?;
    cluster.wait_in_sync("__consumer_offsets")?;
    let (_, output) = Tools::find().attempt(&format!(
        "printf 'k:v\\n' | kcat -b {} -P -t __consumer_offsets -p 0 -K :",
        cluster.bootstrap()
    ));
    assert!(output.contains("Invalid topic"), "{output}");
    assert_eq!(cluster.offset("__consumer_offsets", 0, -1)?, 0);
    Ok(())
}
