//! An idempotent producer with acks=all that gives nothing up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use checker::RecordId;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::{asked_to_end, config, log};
use crate::chaos::field::places;
use crate::chaos::history::{Journal, Place, Told};
use crate::chaos::record;

/// How long the last records may take when the client is asked to end.
const LAST: Duration = Duration::from_secs(120);
/// How long the client goes without looking for acknowledgements.
const LOOK: Duration = Duration::from_millis(5);

struct Deliveries(Journal);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(Place, u64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<(Place, u64)>) {
        let (to, counter) = *sent;
        self.0.tell(&match result {
            Ok(message) => Told::Acked {
                to,
                counter,
                offset: message.offset(),
            },
            Err((error, _)) => Told::GivenUp {
                to,
                counter,
                why: error.to_string(),
            },
        });
    }
}

struct Client {
    producer: BaseProducer<Deliveries>,
    journal: Journal,
    number: u32,
    end: Arc<AtomicBool>,
}

/// Writes `per_second` records to all partitions in turn until it is asked to end.
pub fn run(bootstrap: &str, number: u32, per_second: u32, journal: &Path) -> Result<()> {
    let journal = Journal::open(journal)?;
    let producer = config(bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "0")
        .set("client.id", format!("chaos-{number}"))
        .create_with_context(Deliveries(journal.clone()))?;
    let client = Client {
        producer,
        journal: journal.clone(),
        number,
        end: asked_to_end(),
    };
    client.write(per_second)?;
    client.producer.flush(LAST)?;
    journal.tell(&Told::Ended);
    Ok(())
}

impl Client {
    fn write(&self, per_second: u32) -> Result<()> {
        let (places, begin) = (places(), Instant::now());
        let pause = Duration::from_secs(1) / per_second.max(1);
        let mut sent: u32 = 0;
        while !self.end.load(Ordering::Relaxed) {
            let to = &places[sent as usize % places.len()];
            self.send(to, u64::from(sent) / places.len() as u64)?;
            sent += 1;
            self.producer.poll(Duration::ZERO);
            while begin.elapsed() < pause * sent && !self.end.load(Ordering::Relaxed) {
                self.producer.poll(pause.min(LOOK));
            }
        }
        Ok(())
    }

    /// Queues one record, waiting while librdkafka's queue is full.
    fn send(&self, to: &Place, counter: u64) -> Result<()> {
        let value = record::value(RecordId {
            producer: self.number,
            n: counter,
        });
        self.journal.tell(&Told::Sent { to: *to, counter });
        let key = counter.to_string();
        let mut waiting = Box::new((*to, counter));
        loop {
            let record = BaseRecord::with_opaque_to(to.topic, waiting)
                .partition(to.partition)
                .key(&key)
                .payload(&value);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    waiting = back.delivery_opaque;
                    self.producer.poll(LOOK);
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
