//! What the admin and metadata APIs answer from an image, without a quorum.

mod configs;
mod metadata;
mod topics;

use std::sync::Arc;

use engine::ids::BrokerId;
use engine::metadata::{Assignment, Command, Endpoint, Image, NewTopic, Outcome, Registration};
use wire::Uuid;

use super::{Peer, RequestContext};

/// An image that tests change by commands.
#[derive(Default)]
struct World {
    image: Image,
}

impl World {
    /// Brokers 1 to `count` on the listener PLAINTEXT; broker 1 on INTERNAL as well.
    fn with_brokers(count: i32) -> World {
        let mut world = World::default();
        (1..=count).for_each(|id| world.start(id));
        world
    }

    fn start(&mut self, id: i32) {
        let endpoint = |listener: &'static str, port| Endpoint {
            listener: listener.into(),
            host: "localhost".into(),
            port,
        };
        let mut endpoints = vec![endpoint("PLAINTEXT", 9091 + id as u16)];
        if id == 1 {
            endpoints.push(endpoint("INTERNAL", 9191));
        }
        let registration = Registration {
            broker: BrokerId(id),
            // Another one each time.
            incarnation: Uuid::from((u128::from(self.image.index()) << 32) + id as u128),
            directory: Uuid::from(id as u128),
            cluster_id: None,
            clean_epoch: None,
            endpoints,
            rack: None,
        };
        let Outcome::Registered { epoch, .. } = self.run(Command::RegisterBroker(registration))
        else {
            panic!("a registration is answered with an epoch");
        };
        let broker = BrokerId(id);
        self.run(Command::UnfenceBroker { broker, epoch });
    }

    fn create(&mut self, name: &'static str, partitions: i32, replication_factor: i16) -> Uuid {
        let id = Uuid::from(1000 + u128::from(self.image.index()));
        let assignment = Assignment::Spread {
            partitions,
            replication_factor,
        };
        let topic = NewTopic {
            name: name.into(),
            id,
            assignment,
            configs: Vec::new(),
        };
        self.run(Command::CreateTopics {
            topics: vec![topic],
        });
        id
    }

    fn fence(&mut self, id: i32) {
        let broker = BrokerId(id);
        let epoch = self.image.broker(broker).expect("it is registered").epoch;
        self.run(Command::FenceBroker { broker, epoch });
    }

    fn run(&mut self, command: Command) -> Outcome {
        let (image, outcome) = self.image.apply(&command, self.image.index() + 1);
        self.image = image;
        outcome.expect("tests give valid commands")
    }
}

fn context(version: i16, listener: &str) -> RequestContext {
    RequestContext {
        version,
        client_id: None,
        peer: Peer {
            address: ([127, 0, 0, 1], 1).into(),
            listener: Arc::from(listener),
        },
    }
}
