//! The migrations, applied under an advisory lock: several processes may start at once.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, SqlSafeStr};

const MIGRATIONS: [(i64, &str, &str); 2] = [
    (
        1,
        "tables",
        include_str!("../../migrations/0001_tables.sql"),
    ),
    (2, "views", include_str!("../../migrations/0002_views.sql")),
];

/// Brings the schema up to date.
///
/// # Errors
/// When the database is away or does not answer in time, or holds a schema that is not ours or newer than ours.
pub(super) async fn migrate(pool: &PgPool, answer_timeout: Duration) -> anyhow::Result<()> {
    let all = MIGRATIONS.map(|(version, name, sql)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(
            version,
            Cow::Borrowed(name),
            MigrationType::Simple,
            sql,
            false,
        )
    });
    // Takes PostgreSQL's advisory lock for the duration.
    let migrator = Migrator::with_migrations(all.to_vec());
    tokio::time::timeout(answer_timeout, migrator.run(pool))
        .await
        .with_context(|| format!("PostgreSQL gives no answer within {answer_timeout:?}"))?
        .context("cannot bring the database's schema up to date")
}
