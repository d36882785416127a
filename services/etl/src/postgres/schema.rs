//! The migrations, applied under an advisory lock: several processes may start at once.

use std::borrow::Cow;

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
/// When the database is away, or holds a schema that is not ours or newer than ours.
pub(super) async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
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
    Migrator::with_migrations(all.to_vec())
        .run(pool)
        .await
        .context("cannot bring the database's schema up to date")
}
