//! The way of ended spans to the collector: a bounded queue and one task.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::metrics::SpanCounters;
use super::settings::Batches;

/// How often a batch is offered before it is given up. With the pauses between (0.5, 1, 2, 4 s) a collector may be started
/// anew without a span being lost, as long as the queue holds what comes meanwhile.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Takes ended spans without ever waiting.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    counters: SpanCounters,
}

/// The task at the queue's other end.
pub(super) struct Handle {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Queue {
    pub(super) fn start<E>(
        exporter: E,
        batches: &Batches,
        counters: SpanCounters,
    ) -> (Queue, Handle)
    where
        E: SpanExporter + 'static,
    {
        let (spans, received) = mpsc::channel(batches.queue);
        let (stop, stopped) = oneshot::channel();
        let task = Task {
            spans: received,
            stopped,
            is_stopping: false,
            is_failing: false,
            exporter,
            batches: batches.clone(),
            counters: counters.clone(),
        };
        let task = tokio::spawn(task.run());
        (Queue { spans, counters }, Handle { stop, task })
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.counters.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Handle {
    /// Has what is left exported, each batch tried once, for up to `grace`.
    pub(super) async fn finish(mut self, grace: Duration) {
        // Fails only where the task has ended already.
        let _ = self.stop.send(());
        if timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("some spans could not be exported in time");
        }
    }
}

struct Task<E> {
    spans: mpsc::Receiver<SpanData>,
    stopped: oneshot::Receiver<()>,
    is_stopping: bool,
    /// The last export failed: said once, not for each batch.
    is_failing: bool,
    exporter: E,
    batches: Batches,
    counters: SpanCounters,
}

impl<E: SpanExporter> Task<E> {
    async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            self.export(batch).await;
        }
    }

    /// The next batch; an empty one when all is done.
    async fn gather(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        if !self.is_stopping {
            tokio::select! {
                biased;
                _ = &mut self.stopped => self.is_stopping = true,
                first = self.spans.recv() => match first {
                    Some(span) => batch.push(span),
                    None => return batch,
                },
            }
        }
        let due = Instant::now() + self.batches.delay;
        while batch.len() < self.batches.size {
            if self.is_stopping {
                match self.spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => return batch,
                }
                continue;
            }
            tokio::select! {
                biased;
                _ = &mut self.stopped => self.is_stopping = true,
                next = timeout_at(due, self.spans.recv()) => match next {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(_) => return batch,
                },
            }
        }
        batch
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let mut pause = FIRST_PAUSE;
        for last in (0..TRIES).rev() {
            let reason =
                match timeout(self.batches.timeout, self.exporter.export(batch.clone())).await {
                    Ok(Ok(())) => {
                        self.counters.exported.inc_by(count);
                        if std::mem::take(&mut self.is_failing) {
                            tracing::info!("traces are exported again");
                        }
                        return;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer within {:?}", self.batches.timeout),
                };
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::warn!(
                    reason,
                    "traces cannot be exported; the work goes on without them"
                );
            }
            if last == 0 || self.is_stopping {
                break;
            }
            tokio::select! {
                biased;
                _ = &mut self.stopped => self.is_stopping = true,
                () = sleep(pause) => pause *= 2,
            }
        }
        self.counters.failed.inc_by(count);
    }
}
