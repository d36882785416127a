//! A proposal that is made twice is carried out once.

use wire::Uuid;

use super::Cluster;
use crate::ids::BrokerId;
use crate::metadata::{
    Command, Image, MAX_OPEN_PROPOSALS, NewPartitions, Outcome, Proposal, ProposalId, Rejection,
    Snapshot, TopicId,
};

/// A broker's process that proposes.
#[derive(Clone, Copy)]
struct Process {
    broker: i32,
    incarnation: Uuid,
}

impl Process {
    fn of(cluster: &Cluster, broker: i32) -> Process {
        let state = cluster.image.broker(BrokerId(broker)).expect("registered");
        Process {
            broker,
            incarnation: state.incarnation,
        }
    }

    fn proposal(self, sequence: u64, settled: u64, command: Command) -> Proposal {
        let id = ProposalId {
            broker: BrokerId(self.broker),
            incarnation: self.incarnation,
            sequence,
            settled,
        };
        Proposal {
            id: Some(id),
            command,
        }
    }
}

fn send(cluster: &mut Cluster, proposal: &Proposal) -> Result<Outcome, Rejection> {
    cluster.index += 1;
    let (next, outcome) = cluster.image.apply_proposal(proposal, cluster.index);
    cluster.image = next;
    outcome
}

fn delete(topic: Uuid) -> Command {
    Command::DeleteTopics {
        topics: vec![TopicId(topic)],
    }
}

fn extend(count: i32) -> Command {
    Command::CreatePartitions {
        topics: vec![NewPartitions {
            topic: "t".into(),
            count,
            assignment: None,
        }],
    }
}

fn with_topic() -> (Cluster, Process, Uuid) {
    let mut cluster = Cluster::of(3);
    let topic = cluster.topic_on("t", &[1, 2, 3]).topic;
    let process = Process::of(&cluster, 1);
    (cluster, process, topic)
}

#[test]
fn a_repeated_deletion_or_extension_has_the_outcome_of_the_first() {
    let (mut cluster, process, topic) = with_topic();
    for (sequence, command) in [(1, extend(4)), (2, delete(topic))] {
        let proposal = process.proposal(sequence, 1, command);
        let first = send(&mut cluster, &proposal);
        assert_eq!(first, Ok(Outcome::Each(vec![Ok(())])));
        assert_eq!(send(&mut cluster, &proposal), first);
    }
}

#[test]
fn a_repetition_does_not_undo_what_came_between() {
    let (mut cluster, process, _) = with_topic();
    let first = process.proposal(1, 1, extend(2));
    send(&mut cluster, &first).expect("extended");
    send(&mut cluster, &process.proposal(2, 1, extend(5))).expect("extended");
    let before = cluster.image.clone();
    send(&mut cluster, &first).expect("its first outcome");
    assert_eq!(cluster.image, before.at_index(cluster.index));
}

#[test]
fn outcomes_are_in_the_snapshot() {
    let (mut cluster, process, topic) = with_topic();
    let proposal = process.proposal(1, 1, delete(topic));
    let first = send(&mut cluster, &proposal);
    let stored = Snapshot::from(&cluster.image);
    cluster.image = Image::from(stored);
    assert_eq!(send(&mut cluster, &proposal), first);
}

#[test]
fn what_is_kept_is_what_the_proposer_may_wait_for() {
    let (mut cluster, process, _) = with_topic();
    for sequence in 1..=10 * MAX_OPEN_PROPOSALS {
        // A proposer that never says what it has settled is held to the bound.
        let settled = if sequence < 5 * MAX_OPEN_PROPOSALS {
            sequence
        } else {
            0
        };
        let _ = send(
            &mut cluster,
            &process.proposal(sequence, settled, extend(2)),
        );
        let kept = cluster.image.answers[&BrokerId(1)].outcomes().len() as u64;
        assert!(kept <= MAX_OPEN_PROPOSALS, "{kept} outcomes");
        assert!(settled == 0 || kept == 1, "{kept} outcomes");
    }
    let late = send(&mut cluster, &process.proposal(3, 3, extend(9)));
    assert_eq!(late, Err(Rejection::ProposalGivenUp));
}

#[test]
fn a_new_process_begins_anew() {
    let (mut cluster, old, topic) = with_topic();
    send(&mut cluster, &old.proposal(1, 1, extend(2))).expect("extended");
    cluster.start(1);
    let new = Process::of(&cluster, 1);
    let deleted = send(&mut cluster, &new.proposal(1, 1, delete(topic)));
    assert_eq!(deleted, Ok(Outcome::Each(vec![Ok(())])));
}
