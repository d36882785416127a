//! What the records of the two topics become, derived anew from the topics' contract: times to the microsecond, addresses
//! in their canonical form, money in whole cents.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use pipeline::Record;
use serde_json::{Value, json};

use super::known_fields::KnownFields;
use super::store::Fields;

const WEB_LOG: KnownFields = KnownFields {
    names: &[
        "ip",
        "timestamp",
        "method",
        "url",
        "status_code",
        "user_agent",
    ],
    lists: &[],
};
const ORDER: KnownFields = KnownFields {
    names: &[
        "id",
        "customer",
        "total",
        "store",
        "payment_method",
        "ordered_at",
    ],
    lists: &[("items", &["product", "quantity", "unit_price"])],
};

/// How a store shows a time, given in microseconds since 1970.
pub type Time = fn(i64) -> Value;

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    WebLogs,
    Orders,
}

impl Content {
    /// Orders where the name says so, as in `bk-orders`; web logs else.
    pub fn of(topic: &str) -> Content {
        if topic.ends_with("orders") {
            Content::Orders
        } else {
            Content::WebLogs
        }
    }

    /// The record's fields, or why it has to be refused.
    pub fn fields(self, record: &Record, time: Time) -> Result<Fields, String> {
        let value = record.value.as_deref().ok_or("it has no value")?;
        let text = std::str::from_utf8(value).map_err(|error| error.to_string())?;
        match self {
            Content::WebLogs => web_log(&WEB_LOG.of(text)?, time),
            Content::Orders => order(&ORDER.of(text)?, time),
        }
    }
}

/// A time as JSON documents have it: RFC 3339 in UTC with milliseconds, or with microseconds where there are some.
pub fn as_text(time_us: i64) -> Value {
    let format = if time_us % 1_000 == 0 {
        SecondsFormat::Millis
    } else {
        SecondsFormat::Micros
    };
    let time = DateTime::<Utc>::from_timestamp_micros(time_us);
    time.map_or(Value::Null, |time| {
        json!(time.to_rfc3339_opts(format, true))
    })
}

/// The record's Kafka timestamp in microseconds; none where it is outside the years 1970 to 9999, which stores know.
pub fn kafka_timestamp_us(record: &Record) -> Option<i64> {
    const END_MS: i64 = 253_402_214_400_000;
    let known = record.timestamp_ms.filter(|ms| (0..END_MS).contains(ms));
    known.map(|ms| ms * 1_000)
}

fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, String> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("{name} is not text"))
}

fn integer(fields: &Fields, name: &str) -> Result<i64, String> {
    fields
        .get(name)
        .and_then(Value::as_i64)
        .ok_or_else(|| format!("{name} is not a whole number"))
}

/// One of 32 bits.
fn small(fields: &Fields, name: &str) -> Result<i32, String> {
    i32::try_from(integer(fields, name)?).map_err(|_| format!("{name} is too large a number"))
}

fn moment(fields: &Fields, name: &str, show: Time) -> Result<Value, String> {
    let value = text(fields, name)?;
    let time = DateTime::parse_from_rfc3339(value)
        .map_err(|error| format!("{name} {value:?}: {error}"))?;
    let time_us = time.timestamp_micros();
    let utc = DateTime::from_timestamp_micros(time_us);
    if utc.is_none_or(|utc| !(0..=9999).contains(&utc.year())) {
        return Err(format!(
            "{name} {value:?} has no year in UTC that RFC 3339 can write"
        ));
    }
    Ok(show(time_us))
}

fn web_log(value: &Fields, time: Time) -> Result<Fields, String> {
    let ip = text(value, "ip")?;
    let ip: IpAddr = ip.parse().map_err(|_| format!("ip {ip:?} is no address"))?;
    Ok(Fields::from_iter([
        ("ip".to_owned(), json!(ip.to_string())),
        ("timestamp".to_owned(), moment(value, "timestamp", time)?),
        ("method".to_owned(), json!(text(value, "method")?)),
        ("url".to_owned(), json!(text(value, "url")?)),
        (
            "status_code".to_owned(),
            json!(small(value, "status_code")?),
        ),
        ("user_agent".to_owned(), json!(text(value, "user_agent")?)),
    ]))
}

fn order(value: &Fields, time: Time) -> Result<Fields, String> {
    let items = value
        .get("items")
        .and_then(Value::as_array)
        .ok_or("items is not a list")?;
    let item = |item: &Value| -> Result<Value, String> {
        let item = item.as_object().ok_or("an item is not an object")?;
        let (quantity, unit_price) = (small(item, "quantity")?, integer(item, "unit_price")?);
        Ok(
            json!({"product": text(item, "product")?, "quantity": quantity, "unit_price": unit_price}),
        )
    };
    Ok(Fields::from_iter([
        ("id".to_owned(), json!(text(value, "id")?)),
        ("customer".to_owned(), json!(text(value, "customer")?)),
        (
            "items".to_owned(),
            Value::Array(items.iter().map(item).collect::<Result<_, _>>()?),
        ),
        ("total".to_owned(), json!(integer(value, "total")?)),
        ("store".to_owned(), json!(text(value, "store")?)),
        (
            "payment_method".to_owned(),
            json!(text(value, "payment_method")?),
        ),
        ("ordered_at".to_owned(), moment(value, "ordered_at", time)?),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &Value) -> Record {
        Record {
            offset: 0,
            timestamp_ms: Some(1),
            key: None,
            value: Some(value.to_string().into()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_web_log_has_its_canonical_form() {
        let value = json!({
            "ip": "2001:DB8::0:1", "timestamp": "2026-01-02T05:04:05.678+02:00", "method": "GET", "url": "/",
            "status_code": 200, "user_agent": "x", "unknown": 1,
        });
        let fields = Content::of("web-logs")
            .fields(&record(&value), as_text)
            .expect("a web log");
        assert_eq!(fields["ip"], json!("2001:db8::1"));
        assert_eq!(fields["timestamp"], json!("2026-01-02T03:04:05.678Z"));
        assert!(!fields.contains_key("unknown"));
        let micros = Content::WebLogs
            .fields(&record(&value), |us| json!(us))
            .expect("a web log");
        assert_eq!(micros["timestamp"], json!(1_767_323_045_678_000_i64));
    }

    #[test]
    fn what_is_not_exact_is_to_be_refused() {
        let order = json!({
            "id": "o-1", "customer": "Ada", "items": [{"product": "rye", "quantity": 2, "unit_price": 450}], "total": 900,
            "store": "s", "payment_method": "cash", "ordered_at": "2026-01-02T03:04:05Z",
        });
        let content = Content::of("bk-orders");
        assert!(content.fields(&record(&order), as_text).is_ok());
        for broken in ["id", "items", "total", "ordered_at"] {
            let mut order = order.clone();
            order[broken] = json!(1.5);
            assert!(
                content.fields(&record(&order), as_text).is_err(),
                "{broken}"
            );
        }
        assert!(
            content
                .fields(&record(&json!("three rolls")), as_text)
                .is_err()
        );
    }

    /// The ETL has the same test: both must see these records in the same way.
    #[test]
    fn odd_records_are_judged_as_the_etl_judges_them() {
        let judged = |topic, value: &[u8]| {
            let value = Some(value.to_vec().into());
            let record = Record {
                value,
                ..record(&Value::Null)
            };
            Content::of(topic).fields(&record, as_text).is_ok()
        };
        let line = r#"{"ip":"203.0.113.7","timestamp":"2026-01-01T12:00:00.000Z","method":"GET","url":"/","status_code":200,"user_agent":"x"}"#;
        let more = |field: &str| line.replace('{', &format!("{{{field},"));
        let web_log = |value: &str| judged("web-logs", value.as_bytes());
        let deep = format!("\"x\":{}{}", "[".repeat(1_000), "]".repeat(1_000));
        for ignored in [r#""x":1e999"#, r#""x":"\ud800""#, r#""x":1,"x":2"#, &deep] {
            assert!(web_log(&more(ignored)), "{ignored}");
        }
        for refused in [
            r#"["203.0.113.7","2026-01-01T12:00:00.000Z","GET","/",200,"x"]"#,
            &more(r#""url":"/twice""#),
            &line.replace("200", "-0"),
            &line.replace("200", "3000000000"),
            &line.replace("2026-01-01T12:00:00.000Z", "0000-01-01T00:00:00+00:01"),
            &line.replace("2026-01-01T12:00:00.000Z", "9999-12-31T23:59:60Z"),
        ] {
            assert!(!web_log(refused), "{refused}");
        }
        let mut not_utf8 = more(r#""x":"?""#).into_bytes();
        let at = not_utf8.iter().position(|byte| *byte == b'?');
        not_utf8[at.expect("it is there")] = 0xff;
        assert!(!judged("web-logs", &not_utf8));
        let order = r#"{"id":"1","customer":"c","items":[ITEM],"total":195,"store":"s","payment_method":"cash","ordered_at":"2026-01-01T12:00:00Z"}"#;
        let with = |item| judged("bk-orders", order.replace("ITEM", item).as_bytes());
        assert!(!with(r#"["p",1,195]"#));
        assert!(with(
            r#"{"product":"p","quantity":1,"unit_price":195,"x":1e999}"#
        ));
        assert!(!with(
            r#"{"product":"p","quantity":3000000000,"unit_price":195}"#
        ));
        let leap = line.replace("12:00:00.000", "23:59:60.250");
        let value = Some(leap.into());
        let record = Record {
            value,
            ..record(&Value::Null)
        };
        let fields = Content::WebLogs.fields(&record, as_text);
        assert_eq!(
            fields.expect("a web log")["timestamp"],
            json!("2026-01-02T00:00:00.250Z")
        );
    }

    #[test]
    fn times_are_shown_to_the_microsecond() {
        assert_eq!(as_text(1_500_000), json!("1970-01-01T00:00:01.500Z"));
        assert_eq!(as_text(1_500_001), json!("1970-01-01T00:00:01.500001Z"));
        let at = |timestamp_ms| {
            kafka_timestamp_us(&Record {
                timestamp_ms,
                ..record(&Value::Null)
            })
        };
        assert_eq!(
            (at(None), at(Some(-1)), at(Some(i64::MAX)), at(Some(7))),
            (None, None, None, Some(7_000))
        );
    }
}
