//! Batches of one partition into PostgreSQL.
//!
//! A transaction first moves the position, on the condition that it still holds the offset that the batch begins at, and
//! then inserts the rows. An owner that lost the partition finds another offset there and stores nothing. When the outcome
//! of a COMMIT is unknown the batch is simply tried again: the same condition then shows that it is stored.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::anyhow;
use pipeline::{Batch, Error, Gap, Rejection, Source, Writer};
use sqlx::pool::PoolConnection;
use sqlx::{Acquire, PgConnection, Postgres, Row as _};
use tokio::time::{Instant, timeout};

use super::Store;
use super::insert::{Row, insert};
use crate::model::{Kind, Parsed, kafka_time};
use crate::spans;

/// Refused records that one try looks for. Each costs some statements; a batch full of them must not take longer than a
/// try may, or nothing would ever be learned from it.
const REFUSED_IN_A_TRY: usize = 32;

const CLAIM: &str = "
INSERT INTO ingest_offsets (cluster_id, topic_id, topic, partition, next_offset) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT (topic, partition) DO NOTHING";
const POSITION: &str = "SELECT cluster_id, topic_id, next_offset FROM ingest_offsets WHERE topic = $1 AND partition = $2";
const MOVE: &str = "
UPDATE ingest_offsets SET next_offset = $6, updated_at = now()
WHERE cluster_id = $1 AND topic_id = $2 AND topic = $3 AND partition = $4 AND next_offset = $5";
const RECORD_GAP: &str = "
INSERT INTO ingest_gaps (cluster_id, topic_id, topic, partition, from_offset, to_offset) VALUES ($1, $2, $3, $4, $5, $6)";

/// Records that are refused, by offset.
type Refused = BTreeMap<i64, Rejection>;

pub struct PostgresWriter {
    store: Arc<Store>,
    kind: Kind,
    source: Source,
    /// Refused records of the batch at hand whose dead letters are out already.
    reported: Refused,
}

/// How a try to store a batch ended.
enum Outcome {
    Stored,
    /// The position was not where the batch begins.
    Moved(i64),
    /// The database refuses these; nothing is stored yet.
    Refused(Refused),
}

impl PostgresWriter {
    pub(super) fn new(store: Arc<Store>, kind: Kind, source: Source) -> PostgresWriter {
        PostgresWriter {
            store,
            kind,
            source,
            reported: Refused::new(),
        }
    }

    /// The position of this partition, from 0 when it is new.
    pub(super) async fn claim(&mut self) -> Result<i64, Error> {
        let mut connection = self.store.pool.acquire().await.map_err(retry)?;
        match timeout(self.store.answer_timeout, self.try_claim(&mut connection)).await {
            Ok(claimed) => claimed,
            Err(_) => Err(self.gave_up(connection)),
        }
    }

    async fn try_claim(&self, connection: &mut PgConnection) -> Result<i64, Error> {
        sqlx::query(CLAIM)
            .bind(&self.source.identity.cluster_id)
            .bind(&self.source.identity.topic_id)
            .bind(&*self.source.partition.topic)
            .bind(self.source.partition.index)
            .execute(&mut *connection)
            .await
            .map_err(retry)?;
        self.position(connection).await
    }

    /// The server does not answer. The connection leaves the pool: given back, it would hold its place there until the
    /// network gives it up, which takes a quarter of an hour.
    fn gave_up(&self, connection: PoolConnection<Postgres>) -> Error {
        drop(connection.detach());
        let limit = self.store.answer_timeout;
        Error::Retry(anyhow!("PostgreSQL gives no answer within {limit:?}"))
    }

    /// The table's position, after holding the topic's identity against what the table remembers.
    async fn position(&self, connection: &mut PgConnection) -> Result<i64, Error> {
        let partition = &self.source.partition;
        let row = sqlx::query(POSITION)
            .bind(&*partition.topic)
            .bind(partition.index)
            .fetch_optional(connection)
            .await
            .map_err(retry)?;
        let row =
            row.ok_or_else(|| Error::Retry(anyhow!("ingest_offsets has no row for {partition}")))?;
        let (cluster_id, topic_id): (String, String) = (
            row.try_get(0).map_err(retry)?,
            row.try_get(1).map_err(retry)?,
        );
        if (&cluster_id, &topic_id)
            != (
                &self.source.identity.cluster_id,
                &self.source.identity.topic_id,
            )
        {
            return Err(Error::Stop(self.mismatch(&cluster_id, &topic_id)));
        }
        row.try_get(2).map_err(retry)
    }

    fn mismatch(&self, cluster_id: &str, topic_id: &str) -> anyhow::Error {
        let (topic, now) = (&self.source.partition.topic, &self.source.identity);
        anyhow!(
            "topic {topic} is not the one whose records the database holds: they came from cluster {cluster_id}, topic id {topic_id}; \
             this is cluster {}, topic id {}. Ways out: point the service at the former cluster; or store into another database \
             (DATABASE_URL); or, to give the old records up, delete the rows of topic '{topic}' from web_logs, orders and \
             ingest_offsets and start again",
            now.cluster_id,
            now.topic_id,
        )
    }

    /// One transaction. Nothing is kept unless it commits.
    async fn try_store(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        rows: &[Row],
    ) -> Result<Outcome, Error> {
        let began = Instant::now();
        let mut transaction = connection.begin().await.map_err(retry)?;
        if !self
            .move_position(&mut transaction, batch.begin, batch.next_offset)
            .await?
        {
            let position = self.position(&mut transaction).await?;
            return Ok(Outcome::Moved(position));
        }
        let mut refused = Refused::new();
        self.insert_halving(&mut transaction, rows, &mut refused)
            .await?;
        if !refused.is_empty() {
            transaction.rollback().await.map_err(retry)?;
            return Ok(Outcome::Refused(refused));
        }
        self.source.stages.write.observe(began.elapsed());
        let began = Instant::now();
        // An error here leaves the outcome unknown; the next try's condition will tell.
        transaction.commit().await.map_err(retry)?;
        self.source.stages.commit.observe(began.elapsed());
        Ok(Outcome::Stored)
    }

    async fn move_position(
        &self,
        connection: &mut PgConnection,
        from: i64,
        to: i64,
    ) -> Result<bool, Error> {
        let moved = sqlx::query(MOVE)
            .bind(&self.source.identity.cluster_id)
            .bind(&self.source.identity.topic_id)
            .bind(&*self.source.partition.topic)
            .bind(self.source.partition.index)
            .bind(from)
            .bind(to)
            .execute(connection)
            .await
            .map_err(retry)?;
        Ok(moved.rows_affected() == 1)
    }

    /// Inserts what the database takes, and finds by halving what it refuses, or the first of that.
    fn insert_halving<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        rows: &'a [Row],
        refused: &'a mut Refused,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
        Box::pin(async move {
            if refused.len() >= REFUSED_IN_A_TRY {
                return Ok(());
            }
            let partition = &self.source.partition;
            let mut savepoint = connection.begin().await.map_err(retry)?;
            let error = match insert(&mut savepoint, &partition.topic, partition.index, rows).await
            {
                Ok(()) => return savepoint.commit().await.map_err(retry),
                Err(error) => error,
            };
            let rejection = self.judge(error)?;
            savepoint.rollback().await.map_err(retry)?;
            match rows {
                [] => {}
                [row] => {
                    refused.insert(row.offset, rejection);
                }
                rows => {
                    let (left, right) = rows.split_at(rows.len() / 2);
                    self.insert_halving(connection, left, refused).await?;
                    self.insert_halving(connection, right, refused).await?;
                }
            }
            Ok(())
        })
    }

    /// Whether an error is the fault of a record; anything else ends the try.
    fn judge(&self, error: sqlx::Error) -> Result<Rejection, Error> {
        let Some(database) = error.as_database_error() else {
            return Err(retry(error));
        };
        let code = database.code().unwrap_or_default().into_owned();
        match code.as_str() {
            "23505" => Err(Error::Stop(anyhow!(
                "the database already holds rows at offsets of {} that ingest_offsets says are still to come: {}. Either set next_offset \
                 behind them, or delete them",
                self.source.partition,
                database.message()
            ))),
            // Data exceptions, violated constraints, and values beyond the limits of an index or a row.
            code if code.starts_with("22") || code.starts_with("23") || code == "54000" => Ok(
                Rejection::refused(&format!("SQLSTATE {code}"), database.message()),
            ),
            _ => Err(retry(error)),
        }
    }

    async fn store(&mut self, batch: &Batch) -> Result<i64, Error> {
        let began = Instant::now();
        let mut unreadable = Refused::new();
        let mut rows = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            match Parsed::of(self.kind, record) {
                Ok(parsed) => rows.push(Row {
                    offset: record.offset,
                    kafka_timestamp: kafka_time(record),
                    parsed,
                }),
                Err(rejection) => drop(unreadable.insert(record.offset, rejection)),
            }
        }
        self.source.stages.decode.observe(began.elapsed());
        self.report(batch, unreadable).await?;
        loop {
            rows.retain(|row| !self.reported.contains_key(&row.offset));
            let mut connection = self.store.pool.acquire().await.map_err(retry)?;
            let server = self.store.pool.connect_options();
            let span = spans::transaction(&server, self.kind, rows.len());
            let storing = span.around(self.try_store(&mut connection, batch, &rows));
            let Ok(tried) = timeout(self.store.answer_timeout, storing).await else {
                span.fail("timeout", || "PostgreSQL gives no answer".to_owned());
                return Err(self.gave_up(connection));
            };
            spans::ended(&span, &tried);
            drop(span);
            // Dead letters take their time, and others need the connection.
            drop(connection);
            match tried? {
                Outcome::Stored => return Ok(batch.next_offset),
                Outcome::Moved(position) => return Ok(position),
                Outcome::Refused(refused) => self.report(batch, refused).await?,
            }
        }
    }

    /// Sends dead letters, each once per batch as long as this process lives.
    async fn report(&mut self, batch: &Batch, refused: Refused) -> Result<(), Error> {
        let new = batch
            .records
            .iter()
            .filter(|record| !self.reported.contains_key(&record.offset));
        let letters: Vec<_> = new
            .filter_map(|record| Some((record, refused.get(&record.offset)?.clone())))
            .collect();
        self.store
            .dead_letters
            .send(&self.source.partition, &letters)
            .await
            .map_err(Error::Retry)?;
        self.reported.extend(refused);
        Ok(())
    }
}

impl Writer for PostgresWriter {
    async fn write(&mut self, batch: &Batch) -> Result<i64, Error> {
        let position = self.store(batch).await?;
        self.reported.retain(|offset, _| *offset >= position);
        Ok(position)
    }

    async fn skip(&mut self, gap: Gap) -> Result<i64, Error> {
        let mut connection = self.store.pool.acquire().await.map_err(retry)?;
        match timeout(
            self.store.answer_timeout,
            self.try_skip(&mut connection, gap),
        )
        .await
        {
            Ok(skipped) => skipped,
            Err(_) => Err(self.gave_up(connection)),
        }
    }
}

impl PostgresWriter {
    async fn try_skip(&self, connection: &mut PgConnection, gap: Gap) -> Result<i64, Error> {
        let mut transaction = connection.begin().await.map_err(retry)?;
        if !self
            .move_position(&mut transaction, gap.from, gap.to)
            .await?
        {
            return self.position(&mut transaction).await;
        }
        sqlx::query(RECORD_GAP)
            .bind(&self.source.identity.cluster_id)
            .bind(&self.source.identity.topic_id)
            .bind(&*self.source.partition.topic)
            .bind(self.source.partition.index)
            .bind(gap.from)
            .bind(gap.to)
            .execute(&mut *transaction)
            .await
            .map_err(retry)?;
        transaction.commit().await.map_err(retry)?;
        Ok(gap.to)
    }
}

fn retry(error: sqlx::Error) -> Error {
    Error::Retry(anyhow::Error::new(error).context("PostgreSQL"))
}
