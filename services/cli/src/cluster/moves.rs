//! Moves replicas in batches, and says how far it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pipeline::KafkaOptions;
use serde_json::json;
use wire::messages::AlterPartitionReassignmentsRequest;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::{ErrorCode, Str};

use super::Pace;
use super::plan::Move;
use super::view::{Name, moving};
use crate::wire_client::{Connection, check, may_pass};

/// Between two looks at what still moves.
const LOOK: Duration = Duration::from_millis(250);
/// Between two lines that say so, where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// How long the cluster may be without a controller.
const OUTAGE: Duration = Duration::from_secs(60);
/// How long the cluster may take to begin what it was asked for.
const BEGIN_MS: i32 = 30_000;

/// Tells people, or programs, how far it is.
pub struct Progress {
    json: bool,
    total: usize,
    moved: usize,
    last: Option<Instant>,
    shown: Option<(usize, usize)>,
}

impl Progress {
    pub fn new(json: bool) -> Progress {
        Progress {
            json,
            total: 0,
            moved: 0,
            last: None,
            shown: None,
        }
    }

    pub fn moved(&self) -> usize {
        self.moved
    }

    fn show(&mut self, under_way: usize) -> anyhow::Result<()> {
        let now = (self.moved, under_way);
        let terminal = stderr().is_terminal() && !self.json;
        let is_early = self.last.is_some_and(|at| at.elapsed() < LINE);
        if self.shown == Some(now) || (is_early && !terminal && self.moved < self.total) {
            return Ok(());
        }
        (self.shown, self.last) = (Some(now), Some(Instant::now()));
        let (moved, total) = (self.moved, self.total);
        if self.json {
            let line = json!({"moved": moved, "of": total, "moving": under_way});
            return Ok(writeln!(stdout(), "{line}")?);
        }
        let text = format!("{moved} of {total} partitions moved, {under_way} under way");
        match terminal {
            // Over the line before.
            true => write!(stderr(), "\r\x1b[K{text}")?,
            false => writeln!(stderr(), "{text}")?,
        }
        if terminal && moved == total {
            writeln!(stderr())?;
        }
        Ok(stderr().flush()?)
    }
}

/// Has `moves` made, a batch at a time, and waits until they and `others`, which move already, are done.
pub async fn carry_out(
    kafka: &KafkaOptions,
    moves: Vec<Move>,
    others: BTreeSet<Name>,
    pace: &Pace,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + pace.timeout;
    let mut queue: VecDeque<Move> = moves.into();
    let mut open = others;
    progress.total = progress.moved + queue.len() + open.len();
    let mut trouble_since: Option<Instant> = None;
    while !(queue.is_empty() && open.is_empty()) {
        match step(kafka, &mut queue, &mut open, pace.batch as usize, progress).await {
            Ok(()) => trouble_since = None,
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Passing(error)) => {
                let since = *trouble_since.get_or_insert_with(Instant::now);
                if since.elapsed() > OUTAGE {
                    return Err(error);
                }
            }
        }
        progress.show(open.len())?;
        if Instant::now() > deadline {
            bail!(
                "not done within {:?}: {} partitions still move, {} have not begun; what has begun goes on",
                pace.timeout,
                open.len(),
                queue.len()
            );
        }
        if !(queue.is_empty() && open.is_empty()) {
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Why a step could not be made.
enum Trouble {
    /// A later one may succeed: the controller moves, a connection ends.
    Passing(anyhow::Error),
    Lasting(anyhow::Error),
}

/// Sees what is done, and begins as many more as there is room for.
async fn step(
    kafka: &KafkaOptions,
    queue: &mut VecDeque<Move>,
    open: &mut BTreeSet<Name>,
    batch: usize,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    let mut connection = Connection::controller(kafka)
        .await
        .map_err(Trouble::Passing)?;
    let under_way = moving(&mut connection).await.map_err(Trouble::Passing)?;
    let before = open.len();
    open.retain(|name| under_way.contains_key(name));
    progress.moved += before - open.len();
    let room = batch.saturating_sub(open.len()).min(queue.len());
    let next: Vec<Move> = queue.iter().take(room).cloned().collect();
    if next.is_empty() {
        return Ok(());
    }
    let refused = submit(&mut connection, &next).await?;
    queue.drain(..room);
    for one in next {
        // Deleted meanwhile: there is nothing to move.
        match refused.contains(&one.name) {
            true => progress.moved += 1,
            false => drop(open.insert(one.name)),
        }
    }
    Ok(())
}

/// Asks for the moves; gives the partitions that are not there any more.
async fn submit(connection: &mut Connection, moves: &[Move]) -> Result<BTreeSet<Name>, Trouble> {
    let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
    for one in moves {
        let partition = ReassignablePartition {
            partition_index: one.name.1,
            replicas: Some(one.target.clone()),
        };
        topics.entry(&one.name.0).or_default().push(partition);
    }
    let topic = |(name, partitions)| ReassignableTopic {
        name: Str::copy_from(name),
        partitions,
    };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: BEGIN_MS,
        topics: topics.into_iter().map(topic).collect(),
        ..AlterPartitionReassignmentsRequest::default()
    };
    let answer = connection
        .call(&request, 1)
        .await
        .map_err(Trouble::Passing)?;
    judge(answer.error_code, answer.error_message.as_deref(), "")?;
    let mut gone = BTreeSet::new();
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let name = (topic.name.to_string(), partition.partition_index);
            let code = partition.error_code;
            if ErrorCode::from_code(code) == Some(ErrorCode::UnknownTopicOrPartition) {
                gone.insert(name);
                continue;
            }
            let what = format!("{}-{}", name.0, name.1);
            judge(code, partition.error_message.as_deref(), &what)?;
        }
    }
    Ok(gone)
}

fn judge(code: i16, message: Option<&str>, what: &str) -> Result<(), Trouble> {
    let outcome = check(code, message).with_context(|| format!("cannot move replicas {what}"));
    outcome.map_err(|error| match may_pass(code) {
        true => Trouble::Passing(error),
        false => Trouble::Lasting(error),
    })
}
