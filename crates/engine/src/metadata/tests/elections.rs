//! Elections as they are counted: what an alert calls a loss must be one.

use super::*;
use crate::metadata::{Elections, Reassignment};

fn counted(cluster: &mut Cluster, command: Command) -> Elections {
    let before = cluster.image.clone();
    cluster.done(command.clone());
    cluster.image.elections(&before, &command)
}

fn fence(cluster: &Cluster, id: i32) -> Command {
    Command::FenceBroker {
        broker: BrokerId(id),
        epoch: cluster.epoch(id),
    }
}

/// The leader's wish, as a command.
fn isr(cluster: &Cluster, id: PartitionId, isr: &[i32]) -> Command {
    let leader = cluster.leader(id);
    Command::AlterPartitions {
        broker: leader,
        epoch: cluster.epoch(leader.0),
        changes: vec![cluster.change(id, isr)],
    }
}

const NONE: Elections = Elections {
    clean: 0,
    unclean: 0,
};
const CLEAN: Elections = Elections {
    clean: 1,
    unclean: 0,
};
const UNCLEAN: Elections = Elections {
    clean: 0,
    unclean: 1,
};

#[test]
fn a_leader_that_the_last_step_of_a_move_has_let_in_is_clean() {
    let mut cluster = Cluster::of(5);
    let p = cluster.topic_on("t", &[1, 2]);
    let wish = Reassignment {
        partition: p,
        target: Some(brokers(&[4, 5])),
        min_insync_replicas: 2,
    };
    let begin = Command::AlterReassignments {
        partitions: vec![wish],
        allow_factor_change: true,
    };
    assert_eq!(counted(&mut cluster, begin), NONE);
    let fifth = isr(&cluster, p, &[1, 2, 5]);
    assert_eq!(counted(&mut cluster, fifth), NONE);
    let last = isr(&cluster, p, &[1, 2, 4, 5]);
    assert_eq!(counted(&mut cluster, last), CLEAN);
    assert_eq!(cluster.partition(p).leader, Some(BrokerId(4)));
}

#[test]
fn a_leader_that_has_just_come_back_into_the_isr_is_clean() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.start(2);
    assert_eq!(cluster.partition(p).isr, brokers(&[1]));
    let back = isr(&cluster, p, &[1, 2]);
    assert_eq!(counted(&mut cluster, back), NONE);
    let first = fence(&cluster, 1);
    assert_eq!(counted(&mut cluster, first), CLEAN);
}

#[test]
fn a_leader_from_outside_of_the_isr_is_unclean_and_none_is_no_election() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    let third = isr(&cluster, p, &[1]);
    assert_eq!(counted(&mut cluster, third), NONE);
    let first = fence(&cluster, 1);
    assert_eq!(counted(&mut cluster, first), NONE);
    let force = Command::ElectUnclean {
        partitions: vec![p],
    };
    assert_eq!(counted(&mut cluster, force), UNCLEAN);
}
