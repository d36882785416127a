//! Holds every layout to the bytes in `golden.txt`: what was once written means the same for ever.

mod commands;
mod frames;

use std::collections::{BTreeMap, BTreeSet};

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{
    Assignment, Command, Image, Memory, NewTopic, Proposal, ProposalId, Registration,
    Snapshot as StoredImage,
};
use openraft::{CommittedLeaderId, EntryPayload, Membership};
use wire::Uuid;

use super::codec::{self, Error, Layout, PROGRAM, Writer};
use super::log::segment::Head;
use super::machine::{Stored, decode_image, encode_image};
use super::open::Identity;
use super::types::{Entry, LogId, Member, SnapshotMeta, StoredMembership, Vote};
use super::untrusted;

const GOLDEN: &str = include_str!("golden.txt");
const ADVICE: &str = "the bytes of a released version never change: raise VERSION in the Layout, read the older \
                      version in decode_older, and add lines to golden.txt beside the present ones";

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(3, 0), index)
}

fn vote() -> Vote {
    Vote::new_committed(3, 300)
}

fn membership() -> Membership<u64, Member> {
    let member = |n: u8| Member {
        directory: [n; 16],
        host: format!("host-{n}"),
        port: 9093,
    };
    let nodes: BTreeMap<u64, Member> = [(1, member(1)), (2, member(2)), (300, member(3))].into();
    Membership::new(vec![BTreeSet::from([1, 300])], nodes)
}

fn snapshot_meta() -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(id(70_000)),
        last_membership: StoredMembership::new(Some(id(9)), membership()),
        snapshot_id: "3-70000".into(),
    }
}

/// A command with a proposer.
fn named() -> Proposal {
    Proposal {
        id: Some(ProposalId {
            broker: BrokerId(300),
            incarnation: Uuid([1; 16]),
            sequence: 200,
            settled: 199,
        }),
        command: Command::SetUncleanDefault { enabled: true },
    }
}

fn entry(payload: EntryPayload<super::types::Types>) -> Entry {
    Entry {
        log_id: id(70_000),
        payload,
    }
}

fn proposed() -> Entry {
    entry(EntryPayload::Normal(named()))
}

/// An image with a bit of everything but answers, which came with version 2.
fn image() -> Image {
    let given = NewTopic {
        name: "t".into(),
        id: commands::TOPIC,
        assignment: Assignment::Given(vec![vec![BrokerId(300)]]),
        configs: vec![],
    };
    let configs = commands::all()
        .into_iter()
        .find(|c| commands::name(c) == "AlterConfigs");
    let history = [
        Command::NameCluster {
            cluster_id: "cluster".into(),
        },
        Command::SetUncleanDefault { enabled: true },
        Command::RegisterBroker(commands::registration()),
        Command::UnfenceBroker {
            broker: BrokerId(300),
            epoch: BrokerEpoch(3),
        },
        configs.expect("there is a sample of it"),
        Command::CreateTopics {
            topics: vec![given],
        },
    ];
    history.iter().fold(Image::default(), |image, command| {
        image.apply(command, image.index() + 1).0
    })
}

fn answered() -> Image {
    let image = image();
    image.apply_proposal(&named(), image.index() + 1).0
}

/// An image with replicas that move and a broker that leaves, which came with version 3.
fn moving() -> Image {
    let second = Registration {
        broker: BrokerId(2),
        ..commands::registration()
    };
    let reassignment = commands::all()
        .into_iter()
        .find(|c| commands::name(c) == "AlterReassignments");
    let history = [
        Command::RegisterBroker(second),
        Command::CreateTopics {
            topics: vec![NewTopic {
                name: "v".into(),
                id: Uuid([9; 16]),
                assignment: Assignment::Given(vec![vec![BrokerId(300)]; 6]),
                configs: vec![],
            }],
        },
        reassignment.expect("there is a sample of it"),
        Command::LeaveBroker {
            broker: BrokerId(300),
            epoch: BrokerEpoch(3),
            min_insync_replicas: 2,
            at_once: false,
        },
    ];
    let moved = history.iter().fold(image(), |image, command| {
        image.apply(command, image.index() + 1).0
    });
    assert!(moved.partitions().any(|(_, p)| p.is_reassigned()));
    assert!(moved.brokers().any(|b| b.leaving));
    moved
}

/// An image with eligible replicas and what they depend on, which came with version 4.
fn eligible() -> Image {
    let another = |broker, memory| Command::RegisterWithMemory {
        registration: Registration {
            broker: BrokerId(broker),
            incarnation: Uuid([5; 16]),
            ..commands::registration()
        },
        memory: Memory {
            id: Uuid([memory; 16]),
            same_disks: true,
        },
    };
    let on_two = |name: &'static str, id: u8, configs| NewTopic {
        name: name.into(),
        id: Uuid([id; 16]),
        assignment: Assignment::Given(vec![vec![BrokerId(2), BrokerId(300)]]),
        configs,
    };
    let flushed = vec![("flush.messages".into(), "1".into())];
    let history = [
        Command::SetMinInsyncDefault { replicas: 2 },
        another(2, 6),
        Command::UnfenceBroker {
            broker: BrokerId(2),
            epoch: BrokerEpoch(8),
        },
        Command::CreateTopics {
            topics: vec![on_two("w", 10, vec![]), on_two("x", 11, flushed)],
        },
        another(300, 7),
        Command::FenceBroker {
            broker: BrokerId(2),
            epoch: BrokerEpoch(8),
        },
    ];
    let image = history.iter().fold(image(), |image, command| {
        image.apply(command, image.index() + 1).0
    });
    assert!(image.partitions().any(|(_, p)| !p.elr.is_empty()));
    assert!(
        image
            .partitions()
            .any(|(_, p)| !p.last_known_elr.is_empty())
    );
    assert!(image.topics().any(|t| t.flushed));
    image
}

struct Sample {
    layout: &'static str,
    version: u8,
    /// The newest of the layout.
    newest: u8,
    name: String,
    bytes: Vec<u8>,
}

fn sample<T: Layout>(layout: &'static str, name: impl Into<String>, value: &T) -> Sample {
    Sample {
        layout,
        version: value.version(),
        newest: T::VERSION,
        name: name.into(),
        bytes: without_writer(codec::encode(value).expect("it can be encoded")),
    }
}

/// The program's own version is no part of the layout.
fn without_writer(mut bytes: Vec<u8>) -> Vec<u8> {
    assert_eq!(bytes[1..4], PROGRAM.0);
    bytes[1..4].fill(0);
    bytes
}

fn samples() -> Vec<Sample> {
    let normal = |command: Command| entry(EntryPayload::Normal(command.into()));
    let mut all: Vec<Sample> = commands::all()
        .into_iter()
        .map(|c| sample("entry", commands::name(&c), &normal(c)))
        .collect();
    all.push(sample("entry", "Blank", &entry(EntryPayload::Blank)));
    let members = entry(EntryPayload::Membership(membership()));
    all.push(sample("entry", "Membership", &members));
    all.push(sample("entry", "Proposed", &proposed()));
    let head = Head {
        before: Some(id(70_000)),
        first: 70_001,
    };
    all.push(sample("head", "head", &head));
    all.push(sample("vote", "vote", &vote()));
    let identity = Identity {
        node_id: 300,
        directory: [2; 16],
    };
    all.push(sample("identity", "identity", &identity));
    all.push(sample("image", "image", &StoredImage::from(&image())));
    all.push(sample("image", "answers", &StoredImage::from(&answered())));
    all.push(sample("image", "moving", &StoredImage::from(&moving())));
    all.push(sample("image", "eligible", &StoredImage::from(&eligible())));
    let stored = Stored {
        meta: snapshot_meta(),
        image: vec![1, 2, 3],
    };
    all.push(sample("snapshot", "snapshot", &stored));
    for (n, request) in frames::requests().iter().enumerate() {
        all.push(sample("request", format!("{n}"), request));
    }
    for (n, answer) in frames::answers().iter().enumerate() {
        all.push(sample("answer", format!("{n}"), answer));
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// (layout, version, name) and the bytes as hex.
fn golden() -> BTreeMap<(String, u8, String), String> {
    let lines = GOLDEN.lines().filter(|l| !l.starts_with('#'));
    let parsed = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let &[layout, version, name, bytes] = words.as_slice() else {
            panic!("not a line of golden.txt: {line}");
        };
        let version = version.parse().expect("a version");
        ((layout.into(), version, name.into()), bytes.into())
    });
    let count = parsed.clone().count();
    let all: BTreeMap<_, _> = parsed.collect();
    assert_eq!(all.len(), count, "a line stands twice");
    all
}

/// Reads what is of this layout, in whatever version, and writes it in the present one, as if no program had.
fn rewritten(layout: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let written = untrusted::rewrite(layout, bytes);
    let written = written.unwrap_or_else(|| panic!("there is no layout {layout}"));
    written.map(without_writer)
}

#[test]
fn what_is_written_has_the_bytes_of_its_version() {
    let golden = golden();
    let samples = samples();
    let mut wrong = Vec::new();
    for s in &samples {
        let bytes = hex(&s.bytes);
        if golden.get(&(s.layout.into(), s.version, s.name.clone())) != Some(&bytes) {
            wrong.push(format!("{} {} {} {bytes}", s.layout, s.version, s.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{ADVICE}. Now these would be written:\n{}",
        wrong.join("\n")
    );
    let present = golden.keys().filter(|(layout, version, _)| {
        samples
            .iter()
            .any(|s| s.layout == layout && s.version == *version)
    });
    assert_eq!(present.count(), samples.len(), "a sample was taken away");
}

#[test]
fn every_command_has_a_sample() {
    let names: BTreeSet<_> = commands::all().iter().map(commands::name).collect();
    assert_eq!(names.len(), 22, "give the new command a sample");
}

#[test]
fn older_versions_mean_what_they_meant() {
    let golden = golden();
    for ((layout, version, name), bytes) in &golden {
        let read = rewritten(layout, &unhex(bytes));
        let read = read.unwrap_or_else(|e| panic!("{layout} {version} {name}: {e}"));
        let newest = golden
            .iter()
            .rfind(|((l, _, n), _)| l == layout && n == name);
        assert_eq!(
            Some(hex(&read)).as_ref(),
            newest.map(|(_, b)| b),
            "{layout} {version} {name}"
        );
    }
}

#[test]
fn an_unknown_newer_version_says_which_program_reads_it() {
    for s in samples() {
        let mut bytes = s.bytes.clone();
        bytes[0] = s.newest + 1;
        bytes[1..4].copy_from_slice(&[9, 8, 7]);
        let error = rewritten(s.layout, &bytes).expect_err("it is too new");
        let is_newer = matches!(
            error,
            Error::Newer {
                writer: Writer([9, 8, 7]),
                ..
            }
        );
        assert!(is_newer, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("start version 9.8.7 or a newer one"),
            "{text}"
        );
    }
}

#[test]
fn bytes_too_many_or_too_few_are_refused() {
    for s in samples() {
        let longer = [&s.bytes[..], &[0]].concat();
        let error = rewritten(s.layout, &longer).expect_err("too long");
        assert!(matches!(error, Error::Length { .. }), "{error}");
        rewritten(s.layout, &s.bytes[..s.bytes.len() - 1]).expect_err("too short");
    }
    assert!(rewritten("vote", &[]).is_err());
}

#[test]
fn an_image_survives_being_stored() {
    for image in [answered(), moving(), eligible()] {
        let stored = encode_image(&image).expect("encoded");
        assert_eq!(decode_image(&stored).expect("decoded"), image);
    }
}
