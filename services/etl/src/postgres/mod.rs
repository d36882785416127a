//! The PostgreSQL sink: rows and position in one transaction.

mod insert;
mod schema;
mod writer;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pipeline::{DeadLetters, Error, Sink, Source};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::OnceCell;

use crate::model::Topics;
use writer::PostgresWriter;

/// The sink's name in metrics, dead letters and messages.
pub const NAME: &str = "postgres";

/// A store that does not answer within this is treated as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A transaction, or a look at the position, that takes longer has lost its server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) struct Store {
    pool: PgPool,
    topics: Topics,
    dead_letters: DeadLetters,
    migrated: OnceCell<()>,
    answer_timeout: Duration,
}

/// Stores records in PostgreSQL.
pub struct Postgres(Arc<Store>);

impl Postgres {
    /// Does not connect yet; the store may come later.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(
        url: &str,
        connections: u32,
        topics: Topics,
        dead_letters: DeadLetters,
    ) -> anyhow::Result<Postgres> {
        // The server ends what a stopped process holds: the next owner of the partition must not wait for it forever.
        let options = PgConnectOptions::from_str(url)
            .context("DATABASE_URL cannot be read")?
            .application_name("millrace-etl")
            .options([
                ("statement_timeout", "60s"),
                ("lock_timeout", "15s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Postgres(Arc::new(Store {
            pool,
            topics,
            dead_letters,
            migrated: OnceCell::new(),
            answer_timeout: ANSWER_TIMEOUT,
        })))
    }

    /// Another time than 90 seconds after which a server that gives no answer is treated as away.
    #[must_use]
    pub fn with_answer_timeout(mut self, answer_timeout: Duration) -> Postgres {
        let store = Arc::get_mut(&mut self.0).expect("no writer has it before it is opened");
        store.answer_timeout = answer_timeout;
        self
    }
}

impl Sink for Postgres {
    type Writer = PostgresWriter;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn open(&self, source: &Source) -> Result<(PostgresWriter, i64), Error> {
        let store = &self.0;
        let kind = store.topics.kind(&source.partition.topic)?;
        store
            .migrated
            .get_or_try_init(|| schema::migrate(&store.pool, store.answer_timeout))
            .await
            .map_err(Error::Retry)?;
        let mut writer = PostgresWriter::new(store.clone(), kind, source.clone());
        let position = writer.claim().await?;
        Ok((writer, position))
    }
}
