//! The rows that the ETL writes into PostgreSQL, derived here anew from the topics' contract.

use anyhow::{Context, anyhow};
use clap::Args;
use pipeline::{Record, Secret};
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::derive::{Content, kafka_timestamp_us};
use super::source::{Range, Topic};
use super::store::{Answer, Below, Fields, Gap, Loaded, Store, check_identity};

/// Where the tables are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// The ETL's PostgreSQL database
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "postgres://localhost/millrace"
    )]
    database_url: String,

    /// A file with the password of the user in --database-url
    #[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::from_file)]
    database_password_file: Option<Secret>,
}

pub struct Postgres {
    url: String,
    password: Option<Secret>,
    pool: Option<PgPool>,
}

/// A table, and a query that gives a row's fields as JSON. Times are in microseconds since 1970.
struct Table {
    name: &'static str,
    fields: &'static str,
}

const WEB_LOGS: Table = Table {
    name: "web_logs",
    fields: "json_build_object('ip', host(t.ip), 'timestamp', (extract(epoch FROM t.timestamp) * 1000000)::bigint, \
             'method', t.method, 'url', t.url, 'status_code', t.status_code, 'user_agent', t.user_agent, \
             'kafka_timestamp', (extract(epoch FROM t.kafka_timestamp) * 1000000)::bigint)",
};

const ORDERS: Table = Table {
    name: "orders",
    fields: "json_build_object('id', t.order_id, 'customer', t.customer, 'total', t.total, 'store', t.store, \
             'payment_method', t.payment_method, \
             'ordered_at', (extract(epoch FROM t.ordered_at) * 1000000)::bigint, \
             'kafka_timestamp', (extract(epoch FROM t.kafka_timestamp) * 1000000)::bigint, \
             'items', (SELECT coalesce(json_agg(json_build_object('line', i.line, 'product', i.product, \
             'quantity', i.quantity, 'unit_price', i.unit_price) ORDER BY i.line), '[]') FROM order_items i \
             WHERE i.topic = t.topic AND i.partition = t.partition AND i.\"offset\" = t.\"offset\"))",
};

fn table(topic: &str) -> &'static Table {
    match Content::of(topic) {
        Content::WebLogs => &WEB_LOGS,
        Content::Orders => &ORDERS,
    }
}

impl Postgres {
    pub fn new(options: &Options) -> Postgres {
        Postgres {
            url: options.database_url.clone(),
            password: options.database_password_file.clone(),
            pool: None,
        }
    }

    async fn pool(&mut self) -> anyhow::Result<PgPool> {
        if let Some(pool) = &self.pool {
            return Ok(pool.clone());
        }
        let timeout = std::time::Duration::from_secs(10);
        let url = match &self.password {
            Some(password) => password.in_url(&self.url).map_err(|why| anyhow!(why))?,
            None => self.url.clone(),
        };
        let connect = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(timeout)
            .connect(&url);
        let pool = connect.await.context("cannot connect to PostgreSQL")?;
        self.pool = Some(pool.clone());
        Ok(pool)
    }
}

/// PostgreSQL writes some addresses of IPv6 otherwise than we do: ::1.2.3.4 for ::102:304.
fn with_canonical_ip(mut fields: Fields) -> Fields {
    if let Some(ip) = fields.get_mut("ip")
        && let Some(Ok(parsed)) = ip.as_str().map(str::parse::<std::net::IpAddr>)
    {
        *ip = json!(parsed.to_string());
    }
    fields
}

impl Store for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn begin<'a>(&'a mut self, topic: &'a Topic) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let pool = self.pool().await?;
            let query = "SELECT partition, cluster_id, topic_id FROM ingest_offsets WHERE topic = $1 ORDER BY partition";
            let found: Vec<(i32, String, String)> = sqlx::query_as(query)
                .bind(&topic.name)
                .fetch_all(&pool)
                .await?;
            let mut problems = Vec::new();
            for (partition, cluster_id, topic_id) in found {
                let what = format!("ingest_offsets of partition {partition}");
                problems.extend(check_identity(topic, &what, &cluster_id, &topic_id));
            }
            let count = i32::try_from(topic.ranges.len()).unwrap_or(i32::MAX);
            let query = format!(
                "SELECT DISTINCT partition FROM {} WHERE topic = $1 AND (partition < 0 OR partition >= $2)",
                table(&topic.name).name
            );
            let foreign: Vec<(i32,)> = sqlx::query_as(sqlx::AssertSqlSafe(query))
                .bind(&topic.name)
                .bind(count)
                .fetch_all(&pool)
                .await?;
            problems.extend(foreign.iter().map(|(partition,)| {
                format!("there are rows of partition {partition}, which the topic does not have")
            }));
            Ok(problems)
        })
    }

    fn expect(&self, topic: &Topic, _: i32, record: &Record) -> Result<Fields, String> {
        let mut fields = Content::of(&topic.name).fields(record, |time_us| json!(time_us))?;
        fields.insert("kafka_timestamp".into(), json!(kafka_timestamp_us(record)));
        for (position, item) in fields
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .enumerate()
        {
            item["line"] = json!(position + 1);
        }
        Ok(fields)
    }

    fn load<'a>(
        &'a mut self,
        topic: &'a Topic,
        partition: i32,
        from: i64,
        below: i64,
        _: bool,
    ) -> Answer<'a, Loaded> {
        Box::pin(async move {
            let pool = self.pool().await?;
            let Table { name, fields } = table(&topic.name);
            let query = format!(
                "SELECT t.\"offset\", ({fields})::text FROM {name} t \
                 WHERE t.topic = $1 AND t.partition = $2 AND t.\"offset\" >= $3 AND t.\"offset\" < $4 ORDER BY t.\"offset\""
            );
            let query = sqlx::query_as::<_, (i64, String)>(sqlx::AssertSqlSafe(query));
            let rows = query
                .bind(&topic.name)
                .bind(partition)
                .bind(from)
                .bind(below)
                .fetch_all(&pool)
                .await?;
            let mut loaded = Loaded::default();
            for (offset, text) in rows {
                let fields = serde_json::from_str(&text).context("a row is not JSON")?;
                loaded.stored.push((offset, with_canonical_ip(fields)));
            }
            Ok(loaded)
        })
    }

    fn position<'a>(&'a mut self, topic: &'a Topic, partition: i32) -> Answer<'a, Option<i64>> {
        Box::pin(async move {
            let pool = self.pool().await?;
            let query =
                "SELECT next_offset FROM ingest_offsets WHERE topic = $1 AND partition = $2";
            let found: Option<(i64,)> = sqlx::query_as(query)
                .bind(&topic.name)
                .bind(partition)
                .fetch_optional(&pool)
                .await?;
            Ok(found.map(|(next,)| next))
        })
    }

    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below> {
        Box::pin(async move {
            let pool = self.pool().await?;
            let name = table(&topic.name).name;
            let query = format!(
                "SELECT \"offset\" FROM {name} WHERE topic = $1 AND partition = $2 AND \"offset\" < $3 \
                 GROUP BY \"offset\" HAVING count(*) > 1 ORDER BY \"offset\" LIMIT 100000"
            );
            let query = sqlx::query_as::<_, (i64,)>(sqlx::AssertSqlSafe(query));
            let doubled = query
                .bind(&topic.name)
                .bind(range.partition)
                .bind(range.start)
                .fetch_all(&pool)
                .await?;
            let query = "SELECT from_offset, to_offset FROM ingest_gaps WHERE topic = $1 AND partition = $2 \
                         AND topic_id = $3 ORDER BY from_offset";
            let query = sqlx::query_as::<_, (i64, i64)>(query)
                .bind(&topic.name)
                .bind(range.partition);
            let gaps = query
                .bind(&topic.identity.topic_id)
                .fetch_all(&pool)
                .await?;
            let gap = |(from, to)| Gap::between(range.partition, from, to);
            Ok(Below {
                doubled: doubled.into_iter().map(|(offset,)| offset).collect(),
                gaps: gaps.into_iter().map(gap).collect(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_one_text() {
        for (found, canonical) in [
            ("::1.2.3.4", "::102:304"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            let fields = Fields::from_iter([("ip".to_owned(), json!(found))]);
            assert_eq!(with_canonical_ip(fields)["ip"], canonical);
        }
    }
}
