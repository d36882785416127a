//! Somebody who asks the leader of each partition again and again what is committed, and reads it.

use std::time::Duration;

use anyhow::{Result, ensure};
use checker::history::Place as At;
use checker::{Recorder, What};
use tokio::time::{sleep, timeout};
use wire_client::LATEST;

use super::{MAX_WAIT_MS, Session, all_places, now_us};
use crate::chaos::pace::Pace;

/// Between two rounds.
const REST: Duration = Duration::from_millis(400);
/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Observer {
    name: String,
    session: Session,
    recorder: Recorder,
    /// Where it goes on in each partition.
    positions: Vec<(At, i64)>,
}

impl Observer {
    pub fn new(number: u32, session: Session, recorder: Recorder) -> Observer {
        Observer {
            name: format!("observer-{number}"),
            session,
            recorder,
            positions: all_places().into_iter().map(|at| (at, 0)).collect(),
        }
    }

    /// Looks until it is stopped. Who does not answer has nothing to tell.
    pub async fn run(mut self, pace: Pace) {
        while !pace.is_stopped() {
            for which in 0..self.positions.len() {
                if pace.is_stopped() {
                    return;
                }
                let looked = timeout(PATIENCE, self.look(which)).await;
                if !matches!(looked, Ok(Ok(()))) {
                    // Whoever leads by now is asked in the next round.
                    let topic = self.positions[which].0.topic.clone();
                    let _ = timeout(PATIENCE, self.session.partitions(&topic)).await;
                }
            }
            sleep(REST).await;
        }
    }

    async fn look(&mut self, which: usize) -> Result<()> {
        let (at, position) = &mut self.positions[which];
        let asked = self.session.fetch(at, None, *position, MAX_WAIT_MS, now_us);
        let read = asked.await?;
        ensure!(read.error.is_none(), "{at}: {:?}", read.error);
        let what = What::Fetched {
            at: at.clone(),
            leader_epoch: Some(read.leader_epoch),
            sent_us: read.sent_us,
            from: *position,
            next: read.next,
            high_watermark: read.high_watermark,
            log_start: read.log_start,
            records: read.records,
        };
        self.recorder.record(now_us(), &self.name, what);
        *position = read.next;
        let told = self.session.list(at, LATEST, now_us).await?;
        ensure!(told.error.is_none(), "the end of {at}: {:?}", told.error);
        let what = What::Latest {
            at: at.clone(),
            leader_epoch: Some(told.leader_epoch),
            sent_us: told.sent_us,
            offset: told.offset,
        };
        self.recorder.record(now_us(), &self.name, what);
        Ok(())
    }
}
