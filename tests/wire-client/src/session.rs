//! What a client keeps between its requests: connections, and who leads what.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, ensure};
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::MetadataResponsePartition;
use wire::{Request, Str, Uuid};

use crate::{Client, Network};

/// One client's view of the cluster.
pub struct Session<N: Network> {
    network: N,
    brokers: Vec<i32>,
    open: BTreeMap<i32, Client<N::Stream>>,
    /// The newest that it has heard of each partition: what is older is not believed, as in Kafka's clients.
    known: BTreeMap<(String, i32), MetadataResponsePartition>,
    /// The newest id that it has heard of each topic.
    ids: BTreeMap<String, Uuid>,
    /// Who is asked for metadata next.
    turn: usize,
}

impl<N: Network + Default> Session<N> {
    /// Knows the brokers' addresses, and nothing else.
    pub fn new(brokers: &[i32]) -> Session<N> {
        Session::over(N::default(), brokers)
    }
}

impl<N: Network> Session<N> {
    /// The same, over this network.
    pub fn over(network: N, brokers: &[i32]) -> Session<N> {
        Session {
            network,
            brokers: brokers.to_vec(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
            ids: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Sends a request to a broker and waits for its answer. After a failure the connection is made anew.
    pub async fn call<R: Request>(
        &mut self,
        broker: i32,
        request: R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let mut client = self.client(broker).await?;
        let answer = client.call(request, version).await?;
        self.open.insert(broker, client);
        Ok(answer)
    }

    /// Sends a request that has no answer.
    pub async fn tell<R: Request>(
        &mut self,
        broker: i32,
        request: R,
        version: i16,
    ) -> anyhow::Result<()> {
        let mut client = self.client(broker).await?;
        client.tell(request, version).await?;
        self.open.insert(broker, client);
        Ok(())
    }

    /// Sends requests to a broker, one behind the other on one connection; there may be fewer answers than requests.
    pub async fn burst<R: Request>(
        &mut self,
        broker: i32,
        requests: Vec<R>,
        version: i16,
    ) -> anyhow::Result<Vec<anyhow::Result<R::Response>>> {
        let wanted = requests.len();
        let mut client = self.client(broker).await?;
        let answers = client.burst(requests, version).await;
        if answers.len() == wanted && answers.iter().all(Result::is_ok) {
            self.open.insert(broker, client);
        }
        Ok(answers)
    }

    /// The connection to a broker; whoever has used it without a failure puts it back.
    async fn client(&mut self, broker: i32) -> io::Result<Client<N::Stream>> {
        match self.open.remove(&broker) {
            Some(client) => Ok(client),
            None => Client::connect(&self.network, broker).await,
        }
    }

    /// The next broker in turn.
    pub fn next_broker(&mut self) -> i32 {
        self.turn += 1;
        self.brokers[self.turn % self.brokers.len()]
    }

    /// Asks the next broker who leads what, and gives what is known of the topic then.
    pub async fn partitions(
        &mut self,
        topic: &str,
    ) -> anyhow::Result<Vec<MetadataResponsePartition>> {
        let broker = self.next_broker();
        let wanted = MetadataRequestTopic {
            name: Some(Str::copy_from(topic)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![wanted]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let mut answer = self.call(broker, request, 12).await?;
        let found = answer.topics.pop().context("an answer without the topic")?;
        ensure!(found.error_code == 0, "{topic}: error {}", found.error_code);
        self.ids.insert(topic.to_string(), found.topic_id);
        for partition in found.partitions {
            let key = (topic.to_string(), partition.partition_index);
            let known = self.known.get(&key);
            if known.is_none_or(|known| known.leader_epoch <= partition.leader_epoch) {
                self.known.insert(key, partition);
            }
        }
        let of_topic = self.known.range((topic.to_string(), 0)..);
        let of_topic = of_topic.take_while(|((name, _), _)| name == topic);
        Ok(of_topic.map(|(_, partition)| partition.clone()).collect())
    }

    /// The id of a topic, as far as is known.
    pub fn id(&self, topic: &str) -> Option<Uuid> {
        self.ids.get(topic).copied()
    }

    /// The leader of a partition and its epoch, as far as is known. `anew` asks first.
    pub async fn leader(
        &mut self,
        topic: &str,
        partition: i32,
        anew: bool,
    ) -> anyhow::Result<(i32, i32)> {
        let key = (topic.to_string(), partition);
        if anew || !self.known.contains_key(&key) {
            self.partitions(topic).await?;
        }
        let known = self.known.get(&key).context("the partition is not there")?;
        ensure!(known.leader_id >= 0, "nobody leads {topic}-{partition}");
        Ok((known.leader_id, known.leader_epoch))
    }
}
