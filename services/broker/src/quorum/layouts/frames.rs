//! One sample of each message of the controller listener.

use std::sync::Arc;

use engine::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, ProducerId};
use engine::metadata::{
    AlteredPartition, Command, CreatedTopic, Outcome, PartitionId, Proposal, Rejection,
};
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use super::commands::{TOPIC, registration};
use super::{id, named, proposed, snapshot_meta, vote};
use crate::quorum::describe::{Description, Replica};
use crate::quorum::message::{
    Answer, Canvass, Heartbeat, Identity, RaftBody, RaftCall, Refusal, Reply, Request,
};
use crate::quorum::types::{Entry, Member};

const EPOCH: BrokerEpoch = BrokerEpoch(70_000);

pub fn requests() -> Vec<Request> {
    let raft = |body| {
        Request::Raft(RaftCall {
            to: [1; 16],
            from: 300,
            from_directory: [2; 16],
            body,
        })
    };
    let entries: Vec<Entry> = vec![proposed()];
    vec![
        Request::Identify,
        raft(RaftBody::Append(AppendEntriesRequest {
            vote: vote(),
            prev_log_id: Some(id(8)),
            entries,
            leader_commit: Some(id(9)),
        })),
        raft(RaftBody::Vote(VoteRequest::new(vote(), Some(id(9))))),
        raft(RaftBody::Snapshot(InstallSnapshotRequest {
            vote: vote(),
            meta: snapshot_meta(),
            offset: 1000,
            data: vec![1, 2, 3],
            done: true,
        })),
        Request::Propose(Proposal::from(Command::SetUncleanDefault { enabled: true })),
        Request::Register(registration()),
        Request::Heartbeat(Heartbeat {
            broker: BrokerId(300),
            epoch: EPOCH,
            index: 70_001,
            stall_ms: 200,
            stopping: true,
        }),
        Request::Rejoin {
            node: 300,
            member: Member {
                directory: [3; 16],
                host: "host".into(),
                port: 9093,
            },
        },
        Request::RunForOffice { term: 3 },
        Request::Follow { index: 70_001 },
        Request::Canvass(Canvass {
            from: 300,
            last: Some(id(9)),
            gone: true,
        }),
        Request::Propose(Proposal::from(third_command())),
        raft(RaftBody::Append(AppendEntriesRequest {
            vote: vote(),
            prev_log_id: Some(id(8)),
            entries: vec![Entry {
                log_id: id(9),
                payload: EntryPayload::Normal(Proposal::from(third_command())),
            }],
            leader_commit: Some(id(9)),
        })),
        Request::DescribeQuorum,
        Request::Propose(Proposal::from(fourth_command())),
        raft(RaftBody::Append(AppendEntriesRequest {
            vote: vote(),
            prev_log_id: Some(id(8)),
            entries: vec![proposed(), fourth_entry()],
            leader_commit: Some(id(9)),
        })),
        Request::RegisterWithMemory {
            registration: registration(),
            memory: [6; 16],
            same_disks: true,
        },
        Request::Propose(Proposal::from(fifth_command())),
    ]
}

pub fn answers() -> Vec<Answer> {
    let replies = vec![
        Reply::Identity(Identity {
            node: 300,
            directory: [1; 16],
            empty: true,
            leader: Some(2),
        }),
        Reply::Appended(AppendEntriesResponse::Success),
        Reply::Appended(AppendEntriesResponse::PartialSuccess(Some(id(9)))),
        Reply::Appended(AppendEntriesResponse::Conflict),
        Reply::Appended(AppendEntriesResponse::HigherVote(vote())),
        Reply::Voted(VoteResponse {
            vote: vote(),
            vote_granted: true,
            last_log_id: Some(id(9)),
        }),
        Reply::SnapshotTaken(InstallSnapshotResponse { vote: vote() }),
        Reply::Registered {
            epoch: EPOCH,
            clean: true,
        },
        Reply::Alive { fenced: true },
        Reply::Done,
        Reply::Entries(vec![(9, None), (10, Some(Arc::new(named())))], Some(2)),
        Reply::Image(vec![1, 2, 3], None),
    ];
    let proposed = outcomes().into_iter().map(Ok);
    let rejected = rejections().into_iter().map(Err);
    let proposed = proposed.chain(rejected).map(Reply::Proposed);
    let refusals = vec![
        Refusal::NotController { leader: Some(2) },
        Refusal::OtherDirectory {
            node: 300,
            directory: [1; 16],
        },
        Refusal::Rejected(Rejection::StaleBrokerEpoch),
        Refusal::DuplicateBroker,
        Refusal::Unavailable("why".into()),
    ];
    let replies = replies.into_iter().chain(proposed).map(Ok);
    let answers = replies.chain(refusals.into_iter().map(Err));
    // What came later, behind: the samples are known by their numbers.
    let mut answers: Vec<Answer> = answers.chain([Ok(Reply::Support(true))]).collect();
    let third = third_outcomes().into_iter().map(Reply::Proposed);
    answers.extend(third.map(Ok));
    let moved = Arc::new(Proposal::from(third_command()));
    answers.push(Ok(Reply::Entries(vec![(9, Some(moved))], Some(2))));
    let eligible = Arc::new(Proposal::from(fourth_command()));
    let replica = |node| Replica {
        node,
        directory: [1; 16],
        log_end_offset: 70_002,
        last_fetch_ms: 70_003,
        last_caught_up_ms: -1,
    };
    answers.push(Ok(Reply::Described(Description {
        leader: 300,
        term: 3,
        high_watermark: 70_001,
        voters: vec![replica(300)],
        observers: vec![replica(4)],
    })));
    answers.push(Ok(Reply::Entries(vec![(9, Some(eligible))], Some(2))));
    let forgotten = Arc::new(Proposal::from(fifth_command()));
    answers.push(Ok(Reply::Entries(vec![(9, Some(forgotten))], Some(2))));
    answers
}

/// What came with the third layout.
fn third_outcomes() -> Vec<Result<Outcome, Rejection>> {
    let partition = PartitionId {
        topic: TOPIC,
        index: 5,
    };
    vec![
        Ok(Outcome::Leaving {
            waiting: 300,
            partitions: vec![partition],
        }),
        Ok(Outcome::Each(vec![Err(
            Rejection::NoReassignmentInProgress,
        )])),
        Ok(Outcome::Elected(vec![Err(
            Rejection::EligibleLeadersNotAvailable,
        )])),
    ]
}

fn fourth_command() -> Command {
    Command::SetMinInsyncDefault { replicas: 300 }
}

fn fourth_entry() -> Entry {
    Entry {
        log_id: id(9),
        payload: EntryPayload::Normal(Proposal::from(fourth_command())),
    }
}

fn fifth_command() -> Command {
    Command::ForgetMemory {
        broker: BrokerId(300),
        epoch: EPOCH,
    }
}

fn third_command() -> Command {
    Command::UnregisterBroker {
        broker: BrokerId(300),
    }
}

pub fn outcomes() -> Vec<Outcome> {
    let partition = PartitionId {
        topic: TOPIC,
        index: 5,
    };
    vec![
        Outcome::Done,
        Outcome::Registered {
            epoch: EPOCH,
            clean: true,
        },
        Outcome::ShuttingDown {
            remaining_leaderships: 200,
        },
        Outcome::Altered(vec![Ok(AlteredPartition {
            partition,
            leader: Some(BrokerId(300)),
            leader_epoch: LeaderEpoch(3),
            isr: vec![BrokerId(2)],
            partition_epoch: PartitionEpoch(4),
        })]),
        Outcome::Elected(vec![Ok(()), Err(Rejection::ElectionNotNeeded)]),
        Outcome::Created(vec![Ok(CreatedTopic {
            id: TOPIC,
            partitions: 6,
            replication_factor: 3,
        })]),
        Outcome::Each(vec![Ok(()), Err(Rejection::UnknownTopicId)]),
        Outcome::ProducerIds {
            first: ProducerId(5000),
        },
    ]
}

fn rejections() -> Vec<Rejection> {
    let why = || "why".to_owned();
    vec![
        Rejection::StaleBrokerEpoch,
        Rejection::BrokerNotRegistered,
        Rejection::InconsistentClusterId {
            ours: "a".into(),
            theirs: "b".into(),
        },
        Rejection::InvalidTopic(why()),
        Rejection::TopicExists(why()),
        Rejection::UnknownTopicOrPartition,
        Rejection::UnknownTopicId,
        Rejection::InvalidPartitions(why()),
        Rejection::InvalidReplicationFactor(why()),
        Rejection::InvalidAssignment(why()),
        Rejection::PolicyViolation(why()),
        Rejection::InvalidConfig(why()),
        Rejection::InvalidRequest(why()),
        Rejection::FencedLeaderEpoch,
        Rejection::NotController,
        Rejection::InvalidUpdateVersion,
        Rejection::IneligibleReplica,
        Rejection::ElectionNotNeeded,
        Rejection::PreferredLeaderNotAvailable,
        Rejection::NoProducerIds,
        Rejection::ProposalGivenUp,
    ]
}
