//! Records that a disk has changed: found by the scrub or by a read, refused, and put right with another replica's, from
//! leaders and followers alike. Where no replica has them, they are named, and the rest can be read.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use checker::history::Place;
use sim::clients::Session;
use sim::operations::lane::{Batch, outcome};
use sim::operations::topics;
use sim::{Cluster, Settings, Topic, Trace, seed_or};
use storage::Disk;
use storage::disk::read_file;
use storage::memory::{Fault, MemoryDisk, Operation};
use tokio::time::{Instant, sleep};
use wire::batch::split;
use wire::messages::FetchRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Str};

const ALL: [i32; 3] = [1, 2, 3];
const TOPIC: &str = "damaged";
const DIR: &str = "/data/damaged-0";
/// Batches of one record each, and the one that is hit.
const BATCHES: i64 = 20;
const HIT: usize = 7;
/// Simulated time in which everything is put right.
const LONG: Duration = Duration::from_secs(60);

/// Each broker has a partition of its own, for which there is no room when it is made: it is there when there is, though
/// nothing happens then that the metadata would tell (seed 11943).
#[test]
fn a_partition_that_a_full_disk_could_not_take_is_there_when_it_has_room() {
    scenario(0, async |mut world: World| {
        for disk in &world.disks {
            disk.inject(Fault {
                kind: std::io::ErrorKind::StorageFull,
                ..Fault::always(Operation::Write, "/damaged-")
            });
        }
        let topic = Topic {
            name: TOPIC.into(),
            partitions: 3,
            replicas: 1,
            ..Topic::default()
        };
        topics::create(&ALL, &topic).await?;
        sleep(Duration::from_secs(20)).await;
        ensure!(world.produce_to(0, 1).await.is_err());
        world.disks.iter().for_each(MemoryDisk::heal);
        for partition in 0..3 {
            world
                .until("it takes a record", async |world| {
                    world.produce_to(partition, 1).await
                })
                .await?;
        }
        Ok(())
    });
}

/// Somebody who can look at and into every disk.
struct World {
    session: Session,
    disks: Vec<MemoryDisk>,
    trace: Trace,
}

fn scenario<F>(scrub_ms: u32, work: impl FnOnce(World) -> F)
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let property = |key: &str, value: String| (key.to_string(), value);
    let mut cluster = Cluster::new(&Settings {
        seed: seed_or(1),
        brokers: 3,
        properties: vec![
            property("log.scrub.interval.ms", scrub_ms.to_string()),
            property("record.cache.bytes", "0".into()),
        ],
        tick: Duration::from_millis(1),
        disk: Duration::ZERO,
    });
    let trace = Trace::default();
    let world = World {
        session: Session::new(&ALL),
        disks: ALL.map(|id| cluster.host(id).disk().clone()).to_vec(),
        trace: trace.clone(),
    };
    let work = work(world);
    cluster.client("client", async move {
        Ok(work.await.map_err(|error| format!("{error:#}"))?)
    });
    trace.record(|| {
        while !cluster
            .sim
            .step()
            .unwrap_or_else(|error| panic!("{error}\n{}", trace.tail(40)))
        {}
    });
}

impl World {
    /// Makes the topic and fills it; every replica has all of it on disk.
    async fn fill(&mut self, policy: &str) -> anyhow::Result<()> {
        let topic = Topic {
            name: TOPIC.into(),
            partitions: 1,
            replicas: 3,
            configs: vec![
                ("flush.messages".into(), "1".into()),
                ("cleanup.policy".into(), policy.into()),
            ],
            ..Topic::default()
        };
        topics::create(&ALL, &topic).await?;
        for number in 0..BATCHES {
            self.until("a batch is acknowledged", async |world| {
                world.produce(number).await
            })
            .await?;
        }
        self.until("all have all", async |world| {
            let files = [1, 2, 3].map(|id| world.file(id));
            ensure!(split(files[0].clone()).count() == BATCHES as usize);
            ensure!(files.iter().all(|file| *file == files[0]));
            Ok(())
        })
        .await
    }

    async fn until(
        &mut self,
        what: &str,
        mut step: impl AsyncFnMut(&mut World) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while let Err(error) = step(self).await {
            ensure!(begun.elapsed() < LONG, "not in time: {what}: {error:#}");
            let _ = self.session.partitions(TOPIC).await;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn produce(&mut self, number: i64) -> anyhow::Result<()> {
        self.produce_to(0, number).await
    }

    async fn produce_to(&mut self, partition: i32, number: i64) -> anyhow::Result<()> {
        let (leader, _) = self.session.leader(TOPIC, partition, false).await?;
        let mut batch = BatchBuilder::new(1_800_000_000_000 + number);
        batch.append(Some(&[number as u8]), Some(&[number as u8; 100]));
        let batch = Batch {
            records: Vec::new(),
            bytes: batch.build().bytes,
        };
        let request = batch.request(&Place::new(TOPIC, partition), None, -1);
        let answer = self.session.call(leader, request, 9).await?;
        outcome(&answer).map(|_| ())
    }

    /// The offset after what the leader gives from an offset on, or its error.
    async fn read(&mut self, from: i64) -> anyhow::Result<Result<i64, ErrorCode>> {
        let (leader, _) = self.session.leader(TOPIC, 0, false).await?;
        let request = FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: Str::from(TOPIC),
                partitions: vec![FetchPartition {
                    fetch_offset: from,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let mut answer = self.session.call(leader, request, 12).await?;
        let topic = answer.responses.pop().context("an answer without topic")?;
        let data = topic
            .partitions
            .into_iter()
            .next()
            .context("no partition")?;
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::None) => {}
            Some(error @ ErrorCode::KafkaStorageError) => return Ok(Err(error)),
            other => bail!("{other:?}"),
        }
        let batches = split(data.records.unwrap_or_default().to_bytes());
        let mut next = from;
        for batch in batches {
            let batch = batch?;
            batch.verify_crc()?;
            ensure!(batch.header.base_offset == next, "a gap at {next}");
            next = batch.header.next_offset();
        }
        Ok(Ok(next))
    }

    async fn leader(&mut self) -> anyhow::Result<i32> {
        Ok(self.session.leader(TOPIC, 0, true).await?.0)
    }

    fn disk(&self, broker: i32) -> &MemoryDisk {
        &self.disks[broker as usize - 1]
    }

    /// The first segment of a replica.
    fn file(&self, broker: i32) -> Bytes {
        let path = PathBuf::from(DIR).join("00000000000000000000.log");
        // What the medium does not give is nothing.
        let read = read_file(self.disk(broker), &path).ok().flatten();
        read.unwrap_or_default()
    }

    fn flip(&self, broker: i32) {
        let batches = split(self.file(broker)).take(HIT);
        let at: usize = batches.map(|b| b.expect("whole").bytes.len()).sum();
        let path = PathBuf::from(DIR).join("00000000000000000000.log");
        let flipped = self.disk(broker).flip(&path, at + 70, 0x10);
        flipped.expect("the file is there");
    }

    /// Waits until these replicas are what they were, with the damaged file beside.
    async fn healed(&mut self, brokers: &[i32], sound: &Bytes) -> anyhow::Result<()> {
        self.until("the damage is repaired", async |world| {
            for broker in brokers {
                ensure!(world.file(*broker) == *sound, "broker {broker}");
                let names = world.disk(*broker).list(DIR.as_ref())?;
                let kept = names.iter().any(|e| e.name.ends_with(".log.damaged"));
                ensure!(kept, "the damaged file is not kept: {names:?}");
            }
            Ok(())
        })
        .await
    }
}

#[test]
fn a_scrub_finds_what_a_disk_has_changed_and_another_replica_puts_it_right() {
    scenario(1000, async |mut world: World| {
        world.fill("delete").await?;
        let sound = world.file(1);
        let leader = world.leader().await?;
        let followers: Vec<i32> = ALL.into_iter().filter(|id| *id != leader).collect();
        // The third time the only sound replica is a follower.
        for victims in [vec![followers[0]], vec![leader], vec![leader, followers[1]]] {
            victims.iter().for_each(|id| world.flip(*id));
            world.healed(&victims, &sound).await?;
        }
        ensure!(world.leader().await? == leader, "nobody had to give up");
        ensure!(world.read(0).await? == Ok(BATCHES));
        world.produce(BATCHES).await
    });
}

#[test]
fn a_read_that_fails_has_the_segment_looked_at() {
    scenario(0, async |mut world: World| {
        world.fill("delete").await?;
        let sound = world.file(1);
        let leader = world.leader().await?;
        world.flip(leader);
        ensure!(world.read(0).await? == Ok(HIT as i64), "all before it");
        let failed = world.read(HIT as i64).await?;
        ensure!(failed == Err(ErrorCode::KafkaStorageError), "{failed:?}");
        world.healed(&[leader], &sound).await?;
        ensure!(world.read(0).await? == Ok(BATCHES));
        Ok(())
    });
}

#[test]
fn what_no_replica_has_is_named_and_refused_and_the_rest_can_be_read() {
    scenario(1000, async |mut world: World| {
        world.fill("delete").await?;
        ALL.iter().for_each(|id| world.flip(*id));
        let named = "no other replica in sync has the records";
        world
            .until("each has told", async |world| {
                let lines = world.trace.lines();
                let told = lines.iter().filter(|line| line.contains(named)).count();
                ensure!(told >= ALL.len(), "{told} have");
                Ok(())
            })
            .await?;
        // They are asked for again, and it is not told again.
        sleep(Duration::from_secs(30)).await;
        let lines = world.trace.lines();
        let told = lines.iter().filter(|line| line.contains(named)).count();
        ensure!(told == ALL.len(), "{told} lines");
        let hit = HIT as i64;
        ensure!(world.read(0).await? == Ok(hit));
        ensure!(world.read(hit).await? == Err(ErrorCode::KafkaStorageError));
        ensure!(world.read(hit + 1).await? == Ok(BATCHES));
        world.produce(BATCHES).await
    });
}

#[test]
fn what_the_disks_give_right_again_is_served_again() {
    scenario(0, async |mut world: World| {
        world.fill("delete").await?;
        let sound = world.file(1);
        ALL.iter().for_each(|id| world.flip(*id));
        let hit = HIT as i64;
        ensure!(world.read(hit).await? == Err(ErrorCode::KafkaStorageError));
        sleep(Duration::from_secs(20)).await;
        ensure!(world.read(hit).await? == Err(ErrorCode::KafkaStorageError));
        ALL.iter().for_each(|id| world.flip(*id));
        world
            .until("it is served", async |world| {
                let read = world.read(0).await?;
                ensure!(read == Ok(BATCHES), "{read:?}");
                Ok(())
            })
            .await?;
        ensure!(ALL.iter().all(|id| world.file(*id) == sound));
        Ok(())
    });
}

/// What another replica has of a stretch need not fit what is around it here: a deleted key might come back.
#[test]
fn nothing_is_put_into_a_compacted_log_it_is_fetched_anew_by_a_replica_that_has_left_the_isr() {
    scenario(1000, async |mut world: World| {
        world.fill("compact").await?;
        let sound = world.file(1);
        let leader = world.leader().await?;
        let follower = if leader == 1 { 2 } else { 1 };
        for (drops, victim) in [(1, follower), (2, leader)] {
            world.flip(victim);
            world
                .until("the log is filled anew", async |world| {
                    let lines = world.trace.lines();
                    let dropped = lines
                        .iter()
                        .filter(|line| line.contains("dropped a compacted"));
                    ensure!(dropped.count() == drops);
                    ensure!(world.file(victim) == sound);
                    let names = world.disk(victim).list(DIR.as_ref())?;
                    ensure!(!names.iter().any(|e| e.name.ends_with(".damaged")));
                    let partitions = world.session.partitions(TOPIC).await?;
                    ensure!(partitions.iter().all(|p| p.isr_nodes.len() == ALL.len()));
                    Ok(())
                })
                .await?;
        }
        ensure!(world.read(0).await? == Ok(BATCHES));
        world.produce(BATCHES).await
    });
}

/// Whether the leader's medium gives the beginning of the segment.
fn set_readable(world: &World, leader: i32, readable: bool) {
    let path = PathBuf::from(DIR).join("00000000000000000000.log");
    let set = world.disk(leader).set_readable(&path, 0, readable);
    set.expect("the file is there");
}

#[test]
fn what_the_medium_does_not_give_any_more_is_fetched_from_another_replica() {
    scenario(0, async |mut world: World| {
        world.fill("delete").await?;
        let sound = world.file(1);
        let leader = world.leader().await?;
        set_readable(&world, leader, false);
        let failed = world.read(0).await?;
        ensure!(failed == Err(ErrorCode::KafkaStorageError), "{failed:?}");
        world.healed(&[leader], &sound).await?;
        ensure!(world.read(0).await? == Ok(BATCHES));
        Ok(())
    });
}

#[test]
fn what_the_medium_has_failed_to_give_once_is_not_damaged() {
    scenario(0, async |mut world: World| {
        world.fill("delete").await?;
        let leader = world.leader().await?;
        set_readable(&world, leader, false);
        let failed = world.read(0).await?;
        ensure!(failed == Err(ErrorCode::KafkaStorageError), "{failed:?}");
        sleep(Duration::from_secs(1)).await;
        set_readable(&world, leader, true);
        sleep(LONG).await;
        let names = world.disk(leader).list(DIR.as_ref())?;
        ensure!(!names.iter().any(|e| e.name.ends_with(".damaged")));
        let read = world.read(0).await?;
        ensure!(read == Ok(BATCHES), "{read:?}");
        Ok(())
    });
}
