//! Many rows in one statement each: columns go as arrays and come back as rows through UNNEST.

use sqlx::PgConnection;

use crate::model::{Moment, Order, Parsed, WebLog};

const INSERT_WEB_LOGS: &str = r#"
INSERT INTO web_logs (topic, partition, "offset", kafka_timestamp, ip, timestamp, method, url, status_code, user_agent)
SELECT $1, $2, row."offset", row.kafka_timestamp, row.ip::inet, row.timestamp, row.method, row.url, row.status_code, row.user_agent
FROM unnest($3::bigint[], $4::timestamptz[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::integer[], $10::text[])
     AS row("offset", kafka_timestamp, ip, timestamp, method, url, status_code, user_agent)"#;

const INSERT_ORDERS: &str = r#"
INSERT INTO orders (topic, partition, "offset", kafka_timestamp, order_id, customer, total, store, payment_method, ordered_at)
SELECT $1, $2, row.*
FROM unnest($3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::timestamptz[])
     AS row"#;

const INSERT_ORDER_ITEMS: &str = r#"
INSERT INTO order_items (topic, partition, "offset", line, product, quantity, unit_price)
SELECT $1, $2, row.*
FROM unnest($3::bigint[], $4::integer[], $5::text[], $6::integer[], $7::bigint[]) AS row"#;

/// A record that became rows.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub offset: i64,
    pub kafka_timestamp: Option<Moment>,
    pub parsed: Parsed,
}

/// Inserts all rows of one partition, or none.
pub(super) async fn insert(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let (mut web_logs, mut orders) = (Vec::new(), Vec::new());
    for row in rows {
        match &row.parsed {
            Parsed::WebLog(line) => web_logs.push((row, line)),
            Parsed::Order(order) => orders.push((row, order)),
        }
    }
    if !web_logs.is_empty() {
        insert_web_logs(connection, topic, partition, &web_logs).await?;
    }
    if !orders.is_empty() {
        insert_orders(connection, topic, partition, &orders).await?;
        insert_order_items(connection, topic, partition, &orders).await?;
    }
    Ok(())
}

fn column<'a, T, V>(rows: &[(&'a Row, &'a T)], value: impl Fn(&'a Row, &'a T) -> V) -> Vec<V> {
    rows.iter()
        .map(|(row, content)| value(row, content))
        .collect()
}

async fn insert_web_logs(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    rows: &[(&Row, &WebLog)],
) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT_WEB_LOGS)
        .bind(topic)
        .bind(partition)
        .bind(column(rows, |row, _| row.offset))
        .bind(column(rows, |row, _| row.kafka_timestamp.map(Moment::utc)))
        .bind(column(rows, |_, line| line.ip.to_string()))
        .bind(column(rows, |_, line| line.timestamp.utc()))
        .bind(column(rows, |_, line| line.method.as_str()))
        .bind(column(rows, |_, line| line.url.as_str()))
        .bind(column(rows, |_, line| line.status_code))
        .bind(column(rows, |_, line| line.user_agent.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_orders(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    rows: &[(&Row, &Order)],
) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT_ORDERS)
        .bind(topic)
        .bind(partition)
        .bind(column(rows, |row, _| row.offset))
        .bind(column(rows, |row, _| row.kafka_timestamp.map(Moment::utc)))
        .bind(column(rows, |_, order| order.id.as_str()))
        .bind(column(rows, |_, order| order.customer.as_str()))
        .bind(column(rows, |_, order| order.total))
        .bind(column(rows, |_, order| order.store.as_str()))
        .bind(column(rows, |_, order| order.payment_method.as_str()))
        .bind(column(rows, |_, order| order.ordered_at.utc()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_order_items(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    rows: &[(&Row, &Order)],
) -> Result<(), sqlx::Error> {
    let items: Vec<_> = rows
        .iter()
        .flat_map(|(row, order)| {
            (1..)
                .zip(&order.items)
                .map(|(line, item)| (row.offset, line, item))
        })
        .collect();
    sqlx::query(INSERT_ORDER_ITEMS)
        .bind(topic)
        .bind(partition)
        .bind(
            items
                .iter()
                .map(|(offset, _, _)| *offset)
                .collect::<Vec<i64>>(),
        )
        .bind(items.iter().map(|(_, line, _)| *line).collect::<Vec<i32>>())
        .bind(
            items
                .iter()
                .map(|(_, _, item)| item.product.as_str())
                .collect::<Vec<&str>>(),
        )
        .bind(
            items
                .iter()
                .map(|(_, _, item)| item.quantity)
                .collect::<Vec<i32>>(),
        )
        .bind(
            items
                .iter()
                .map(|(_, _, item)| item.unit_price)
                .collect::<Vec<i64>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}
