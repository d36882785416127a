//! One assigned partition: position, gap, batches, retries.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::traces::{KeyValue, Span};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Cutter};
use super::budget::Share;
use super::metrics::Cause;
use super::shared::{BUFFER_RECORDS, Command, Level, Shared};
use super::{Error, Gap, LogRange, Partition, Sink, Source, Stages, Writer, reason};
use crate::{Backoff, Record, cluster, spans};

const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a position beyond the end is looked at before it is believed, over some ten seconds: a broker that was stopped
/// while it led does not know at once that it leads no more, and what it knows of the end is old.
const LOOKS_BEYOND_THE_END: u32 = 7;

/// Why a session with the partition ended.
enum End {
    /// The partition is another member's now, or the process ends.
    Revoked,
    /// The position must be found anew.
    Again,
    /// A person must decide.
    Stopped(anyhow::Error),
}

/// A try that failed is an event of its batch's span; only one that will not be made again makes it an error.
fn failed(span: &Span, error: &Error) {
    match error {
        Error::Retry(_) => span.event("retry", || {
            vec![KeyValue::new("exception.message", error.to_string())]
        }),
        Error::Stop(_) => span.fail("stopped", || error.to_string()),
    }
}

/// The name of a worker in the readiness report.
pub(super) fn part(sink: &str, partition: &Partition) -> String {
    format!("{sink} {partition}")
}

/// Serves the partition until `stop` is cancelled.
pub(super) async fn run<S: Sink>(
    shared: Arc<Shared<S>>,
    partition: Partition,
    stop: CancellationToken,
) {
    let part = part(shared.sink.name(), &partition);
    let restart = shared.restart.subscribe();
    let shared_stages = shared.metrics.stages(&partition);
    let mut worker = Worker {
        shared,
        partition,
        part,
        stop,
        restart,
        backoff: Backoff::default(),
        stages: shared_stages,
        begun: None,
    };
    worker.shared.readiness.not_ready(&worker.part, "starting");
    worker.shared.metrics.set_stopped(&worker.partition, false);
    loop {
        match worker.session().await {
            Err(End::Again) => {}
            Ok(()) | Err(End::Revoked) => return,
            Err(End::Stopped(error)) => return worker.stand_still(error).await,
        }
    }
}

struct Worker<S> {
    shared: Arc<Shared<S>>,
    partition: Partition,
    part: String,
    stop: CancellationToken,
    restart: watch::Receiver<u64>,
    backoff: Backoff,
    stages: Stages,
    /// When the first record of the batch in the making was taken up.
    begun: Option<Instant>,
}

impl<S: Sink> Worker<S> {
    /// From finding the position to the first event that makes it doubtful.
    async fn session(&mut self) -> Result<(), End> {
        self.restart.mark_unchanged();
        let (mut writer, position) = self.open().await?;
        let position = self.place(&mut writer, position).await?;
        let (buffer, mut records) = mpsc::channel(BUFFER_RECORDS);
        let level = Arc::new(Level::default());
        let start = Command::Start {
            partition: self.partition.clone(),
            position,
            buffer,
            level: level.clone(),
        };
        self.shared
            .commands
            .send(start)
            .await
            .map_err(|_| End::Revoked)?;
        self.shared
            .metrics
            .on_started(&self.partition, level.clone());
        self.on_success(position);
        let mut cutter = Cutter::new(self.shared.settings.limits.clone(), position);
        let mut share = self.shared.budget.join();
        loop {
            let collected = self.collect(&mut cutter, &mut records, &level, &mut share);
            let Some(batch) = collected.await? else {
                share.on_growing(cutter.bytes());
                continue;
            };
            share.on_writing(batch.size_bytes());
            let span = self.span(&batch, &cutter);
            let stored = span.around(self.store(&mut writer, &mut cutter, batch, &span));
            stored.await?;
            share.on_written();
        }
    }

    /// The sink's writer and position, as soon as Kafka and the store answer.
    async fn open(&mut self) -> Result<(S::Writer, i64), End> {
        loop {
            let opening = self.open_once();
            let opened = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(End::Revoked),
                opened = opening => opened,
            };
            match opened {
                Ok(opened) => return Ok(opened),
                Err((cause, error)) => self.on_failure(cause, error).await?,
            }
        }
    }

    async fn open_once(&self) -> Result<(S::Writer, i64), (Cause, Error)> {
        let source = self.source().await.map_err(|error| (Cause::Kafka, error))?;
        let opened = self.shared.sink.open(&source).await;
        opened.map_err(|error| (Cause::Store, error))
    }

    async fn source(&self) -> Result<Source, Error> {
        let consumer = self.shared.consumer.clone();
        let topic = self.partition.topic.clone();
        let lookup = tokio::task::spawn_blocking(move || {
            cluster::describe_blocking(consumer.client(), &topic)
        });
        let identity = lookup
            .await
            .unwrap_or_else(|panicked| Err(panicked.into()))
            .map_err(Error::Retry)?;
        let identity = identity.ok_or_else(|| {
            Error::Retry(anyhow!("topic {} does not exist", self.partition.topic))
        })?;
        Ok(Source {
            partition: self.partition.clone(),
            identity,
            log: self.log().await?,
            stages: self.stages.clone(),
        })
    }

    async fn log(&self) -> Result<LogRange, Error> {
        let consumer = self.shared.consumer.clone();
        let Partition { topic, index } = self.partition.clone();
        let lookup = tokio::task::spawn_blocking(move || {
            consumer.fetch_watermarks(&topic, index, LOOK_UP_TIMEOUT)
        });
        match lookup.await {
            Ok(Ok((start, end))) => Ok(LogRange { start, end }),
            Ok(Err(error)) => Err(Error::Retry(anyhow!(
                "cannot look up the log of {}: {error}",
                self.partition
            ))),
            Err(panicked) => Err(Error::Retry(panicked.into())),
        }
    }

    /// Holds the position against the log: behind the end is an error, before the start a gap, and then the position moves.
    async fn place(&mut self, writer: &mut S::Writer, mut position: i64) -> Result<i64, End> {
        let mut looks = 0;
        loop {
            let done = match self.log().await {
                Ok(log) if position > log.end => {
                    looks += 1;
                    let error = self.beyond_the_end(position, log, looks);
                    Err((Cause::Position, error))
                }
                Ok(log) if position < log.start => self
                    .skip(
                        writer,
                        Gap {
                            from: position,
                            to: log.start,
                        },
                    )
                    .await
                    .map(|moved| {
                        position = moved;
                        false
                    })
                    .map_err(|error| (Cause::Store, error)),
                Ok(_) => Ok(true),
                Err(error) => Err((Cause::Kafka, error)),
            };
            match done {
                Ok(true) => return Ok(position),
                Ok(false) => {}
                Err((cause, error)) => self.on_failure(cause, error).await?,
            }
        }
    }

    async fn skip(&self, writer: &mut S::Writer, gap: Gap) -> Result<i64, Error> {
        let position = writer.skip(gap).await?;
        if position == gap.to {
            let (sink, Gap { from, to }) = (self.shared.sink.name(), gap);
            tracing::warn!(sink, partition = %self.partition, from, to, "retention took records before they could be stored");
            self.shared.metrics.on_gap(&self.partition, to - from);
        }
        Ok(position)
    }

    fn beyond_the_end(&self, position: i64, log: LogRange, looks: u32) -> Error {
        let error = anyhow!(
            "the position {position} of sink {} lies beyond the end {} of {}: the log has lost records that were stored. \
             Either restore the log, or set the sink's position for this partition by hand to where it shall go on",
            self.shared.sink.name(),
            log.end,
            self.partition,
        );
        if looks < LOOKS_BEYOND_THE_END {
            Error::Retry(error)
        } else {
            Error::Stop(error)
        }
    }

    /// The next batch, or `None` when there is none yet.
    async fn collect(
        &mut self,
        cutter: &mut Cutter,
        records: &mut mpsc::Receiver<Record>,
        level: &Level,
        share: &mut Share,
    ) -> Result<Option<Batch>, End> {
        let due = cutter.due();
        let record = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(End::Revoked),
            _ = self.restart.changed() => return Err(End::Again),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Ok(cutter.cut()),
            () = share.cut_early() => return Ok(cutter.cut()),
            record = records.recv() => record.ok_or(End::Again)?,
        };
        let resume = level.on_taken(record.size_bytes(), records.len());
        let counts = self.shared.sink.counts(&record);
        let now = Instant::now();
        let (timestamp_ms, was_empty) = (record.timestamp_ms, cutter.due().is_none());
        cutter.push(record, counts, now);
        if was_empty && cutter.due().is_some() {
            self.begun = Some(now);
            self.shared
                .metrics
                .on_held(&self.partition, now, timestamp_ms);
        }
        if resume {
            let resume = Command::Resume(self.partition.clone());
            self.shared
                .commands
                .send(resume)
                .await
                .map_err(|_| End::Revoked)?;
        }
        Ok(if cutter.is_full() { cutter.cut() } else { None })
    }

    /// Writes the batch, as often as it takes.
    async fn store(
        &mut self,
        writer: &mut S::Writer,
        cutter: &mut Cutter,
        mut batch: Batch,
        span: &Span,
    ) -> Result<(), End> {
        if let Some(begun) = self.begun.take() {
            self.stages.poll.observe(begun.elapsed());
        }
        loop {
            let began = Instant::now();
            match writer.write(&batch).await {
                Ok(position) if position >= batch.next_offset => {
                    self.shared
                        .metrics
                        .on_stored(&self.partition, &batch, began.elapsed());
                    cutter.advance(position);
                    self.on_success(position);
                    return Ok(());
                }
                Ok(position) if position > batch.begin => {
                    tracing::info!(sink = self.shared.sink.name(), partition = %self.partition, position, "another owner had stored a part");
                    match batch.from(position) {
                        Some(rest) => batch = rest,
                        None => return Ok(()),
                    }
                }
                Ok(position) => {
                    let error = anyhow!("the position went from {} to {position}", batch.begin);
                    self.on_failure(Cause::Position, Error::Retry(error))
                        .await?;
                    return Err(End::Again);
                }
                Err(error) => {
                    failed(span, &error);
                    self.on_failure(Cause::Store, error).await?;
                }
            }
        }
    }

    fn span(&self, batch: &Batch, cutter: &Cutter) -> Span {
        let consumer = spans::Consumer {
            tracer: &self.shared.settings.tracer,
            sink: self.shared.sink.name(),
            group: &self.shared.settings.group_id,
            partition: &self.partition,
        };
        consumer.process(batch, cutter.began())
    }

    fn on_success(&mut self, position: i64) {
        self.backoff.reset();
        self.shared.metrics.on_store_answer();
        self.shared.readiness.ready(&self.part);
        self.shared.metrics.set_position(&self.partition, position);
        self.shared
            .positions()
            .insert(self.partition.clone(), position);
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(
            &self.partition.topic,
            self.partition.index,
            Offset::Offset(position),
        );
        // Only for Kafka's own tools, which show the lag of the group; fails harmlessly while partitions move.
        if let Err(error) = added.and_then(|()| self.shared.consumer.store_offsets(&list)) {
            tracing::debug!(partition = %self.partition, %error, "cannot note the group's offset");
        }
    }

    /// Reports the failure and waits for the time of the next try.
    async fn on_failure(&mut self, cause: Cause, error: Error) -> Result<(), End> {
        let error = match error {
            Error::Stop(error) => return Err(End::Stopped(error)),
            Error::Retry(error) => reason(&error),
        };
        self.shared.metrics.on_retry(&self.partition, cause);
        let pause = self.backoff.next_pause();
        tracing::warn!(sink = self.shared.sink.name(), partition = %self.partition, error, pause_ms = pause.as_millis() as u64, "will try again");
        self.shared.readiness.not_ready(&self.part, error);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Revoked),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    async fn stand_still(&self, error: anyhow::Error) {
        let error = reason(&error);
        tracing::error!(sink = self.shared.sink.name(), partition = %self.partition, error, "stopped: this needs a person");
        self.shared.metrics.set_stopped(&self.partition, true);
        self.shared
            .readiness
            .not_ready(&self.part, format!("stopped: {error}"));
        self.stop.cancelled().await;
    }
}
