//! Answers of the controller that get lost on their way.

use std::sync::atomic::Ordering;

use engine::metadata::{Command, NewPartitions, Outcome, TopicId};

use crate::harness::Cluster;

#[test]
fn a_command_whose_answer_was_lost_is_carried_out_once() {
    let mut cluster = Cluster::up(&[1], &[]);
    // An observer proposes over a connection.
    cluster.start(9);
    cluster.join(9, false);
    let topic = cluster.create(9, "t", &[1]);
    let commands = [
        Command::CreatePartitions {
            topics: vec![NewPartitions {
                topic: "t".into(),
                count: 3,
                assignment: None,
            }],
        },
        Command::DeleteTopics {
            topics: vec![TopicId(topic)],
        },
    ];
    for command in commands {
        let before = cluster.image(1).index();
        cluster.live[&9].deaf.store(true, Ordering::SeqCst);
        let answer = std::thread::scope(|threads| {
            let asking = threads.spawn(|| cluster.propose(9, command));
            // The log has it more than once: the first answers are gone.
            cluster.wait(1, "repetitions", |i| i.index() >= before + 3);
            cluster.live[&9].deaf.store(false, Ordering::SeqCst);
            asking.join().expect("it does not panic")
        });
        let answer = answer.expect("carried out");
        assert_eq!(answer, Outcome::Each(vec![Ok(())]));
    }
    assert_eq!(cluster.image(1).topic_count(), 0);
}
