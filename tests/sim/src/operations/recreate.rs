//! A topic is deleted and made again under its name, again and again. Each of its lives is a partition of its own to the
//! checker: nothing of one may show in another. Clients name it by the id that it has in the life they know.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use checker::What;
use checker::history::Place;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};
use wire::messages::DeleteTopicsRequest;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::{ErrorCode, Uuid};

use super::audit::read_all;
use super::consume::fetch_of;
use super::elect::revive;
use super::lane::{Author, Lane, PRODUCE_BY_ID, outcome};
use super::{ALONE, LIVENESS, Patience, topics};
use crate::clients::Session;
use crate::plan::Topic;
use crate::{Scene, Stage};

const NAME: &str = "recreator";
/// Among the producers of a history.
const NUMBER: u32 = 100;
const TOPIC: &str = "lives-again";
/// Rest between two tries.
const REST: Duration = Duration::from_millis(100);

/// One life of the topic.
struct Life {
    id: Uuid,
    session: Session,
    lane: Lane,
    /// As the checker knows it.
    known_as: Place,
}

/// Lives as many as there is time for. The last one stays and is read.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let author = Author::idempotent(&scene, NAME.into(), NUMBER).await?;
    let mut former = None;
    for number in 0.. {
        // The sequence of a producer id begins anew with each topic.
        let mut life = Life::begin(&scene, number, former, &mut dice).await?;
        former = Some(life.id);
        let batches = dice.random_range(1..10);
        for _ in 0..batches {
            life.produce(&scene, &author, &mut dice).await?;
            life.read(&scene, &mut dice).await?;
        }
        if scene.stage() >= Stage::Settling {
            let (at, id) = (life.topic(), Some(life.id));
            read_all(&scene, &mut life.session, &at, &life.known_as, id).await?;
            break;
        }
        life.end(&scene).await?;
    }
    scene.end_work();
    Ok(())
}

impl Life {
    async fn begin(
        scene: &Scene,
        number: u32,
        former: Option<Uuid>,
        dice: &mut StdRng,
    ) -> anyhow::Result<Life> {
        let topic = Topic {
            name: TOPIC.into(),
            partitions: 1,
            replicas: dice.random_range(2..=3),
            ..Topic::default()
        };
        let begun = Instant::now();
        let (id, session) = loop {
            topics::create(&scene.brokers, &topic).await?;
            // A broker that is behind may still show the former life.
            let mut session = Session::new(&scene.brokers);
            let known = session.partitions(TOPIC).await;
            let id = known.ok().and_then(|_| session.id(TOPIC));
            if let Some(id) = id.filter(|id| Some(*id) != former) {
                break (id, session);
            }
            ensure!(begun.elapsed() < LIVENESS * 2, "{TOPIC} does not show");
            sleep(REST).await;
        };
        let known_as = Place::new(&format!("{TOPIC}#{number}"), 0);
        Ok(Life {
            id,
            session,
            lane: Lane::new(known_as.clone()),
            known_as,
        })
    }

    fn topic(&self) -> Place {
        Place::new(TOPIC, 0)
    }

    async fn produce(
        &mut self,
        scene: &Scene,
        author: &Author,
        dice: &mut StdRng,
    ) -> anyhow::Result<()> {
        let batch = self.lane.batch(scene, author, dice.random_range(1..=3))?;
        let at = self.topic();
        let mut patience = Patience::default();
        loop {
            let sent = async {
                let (leader, _) = self.session.leader(TOPIC, 0, false).await?;
                let request = batch.request(&at, Some(self.id), author.acks);
                let answer = self.session.call(leader, request, PRODUCE_BY_ID).await?;
                outcome(&answer)
            };
            let error = match sent.await {
                Ok(offset) => {
                    batch.acknowledged(scene, author, &self.known_as, offset);
                    return Ok(());
                }
                Err(error) => error,
            };
            patience.check(scene, || format!("not acknowledged: {error:#}"))?;
            if patience.since() > ALONE {
                revive(scene, &mut self.session, &at, &self.known_as).await;
            }
            // Leader epochs begin anew with each life: what was known of another one would be taken for newer.
            self.session = Session::new(&scene.brokers);
            sleep(REST).await;
        }
    }

    async fn read(&mut self, scene: &Scene, dice: &mut StdRng) -> anyhow::Result<()> {
        let at = self.topic();
        if let Ok(read) = fetch_of(&mut self.session, &at, Some(self.id), 0).await {
            let read =
                read.context("the log of a topic that keeps everything does not begin at 0")?;
            let what = What::Fetched {
                at: self.known_as.clone(),
                leader_epoch: Some(read.leader_epoch),
                sent_us: read.sent_us,
                from: 0,
                next: read.next,
                high_watermark: read.high_watermark,
                log_start: read.log_start,
                records: read.records,
            };
            scene.record(NAME, what);
        }
        sleep(Duration::from_millis(dice.random_range(1..100))).await;
        Ok(())
    }

    /// Deletes the topic, and waits until that is certain.
    async fn end(mut self, scene: &Scene) -> anyhow::Result<()> {
        let at = self.known_as.clone();
        scene.record(NAME, What::Deleted { at });
        let mut patience = Patience::default();
        while let Err(error) = self.delete().await {
            patience.check(scene, || format!("not deleted: {error:#}"))?;
            sleep(REST).await;
        }
        Ok(())
    }

    async fn delete(&mut self) -> anyhow::Result<()> {
        let topic = DeleteTopicState {
            name: None,
            topic_id: self.id,
        };
        let request = DeleteTopicsRequest {
            topics: vec![topic],
            timeout_ms: 3000,
            ..DeleteTopicsRequest::default()
        };
        let broker = self.session.next_broker();
        let answer = self.session.call(broker, request, 6).await?;
        let result = answer.responses.first().context("an answer without it")?;
        match ErrorCode::from_code(result.error_code) {
            // An earlier try has worked, whose answer has not come.
            Some(ErrorCode::None | ErrorCode::UnknownTopicId) => Ok(()),
            other => bail!("{other:?}"),
        }
    }
}
