//! What the records of the two topics must be, and their canonical form.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use anyhow::anyhow;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use pipeline::{Error, Record, Rejection};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WebLogs,
    Orders,
}

/// The topics and what they hold.
#[derive(Clone, Debug)]
pub struct Topics {
    pub web_logs: String,
    pub orders: String,
}

impl Topics {
    pub fn names(&self) -> Vec<String> {
        vec![self.web_logs.clone(), self.orders.clone()]
    }

    /// # Errors
    /// When it is a topic that was not asked for.
    pub fn kind(&self, topic: &str) -> Result<Kind, Error> {
        if topic == self.web_logs {
            Ok(Kind::WebLogs)
        } else if topic == self.orders {
            Ok(Kind::Orders)
        } else {
            Err(Error::Stop(anyhow!("nobody said what topic {topic} holds")))
        }
    }
}

/// A line of a web server's access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebLog {
    pub ip: IpAddr,
    pub timestamp: Moment,
    pub method: String,
    pub url: String,
    pub status_code: i32,
    pub user_agent: String,
}

/// An order. Money is in cents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub customer: String,
    #[serde(deserialize_with = "objects")]
    pub items: Vec<Item>,
    pub total: i64,
    pub store: String,
    pub payment_method: String,
    pub ordered_at: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub product: String,
    pub quantity: i32,
    pub unit_price: i64,
}

/// What is read from a JSON object only: what serde derives takes an array with the values in their order as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

fn objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    let items = Vec::<Object<Item>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Object(item)| item).collect())
}

/// A point in time to the microsecond, which is what PostgreSQL holds. In JSON: RFC 3339, written in UTC with
/// milliseconds, or with microseconds where there are some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime<Utc>);

/// Those that RFC 3339 can write.
const YEARS: RangeInclusive<i32> = 0..=9999;

impl Moment {
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Moment {
        // A leap second is the first of the next minute, as PostgreSQL has it; OpenSearch knows none.
        let known = DateTime::from_timestamp_micros(time.timestamp_micros());
        Moment(known.expect("a time that was read is within chrono's years"))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole_milliseconds = self.0.timestamp_subsec_micros().is_multiple_of(1_000);
        let format = if whole_milliseconds {
            SecondsFormat::Millis
        } else {
            SecondsFormat::Micros
        };
        f.write_str(&self.0.to_rfc3339_opts(format, true))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(|error| {
            serde::de::Error::custom(format!("{text:?} is not a time in RFC 3339: {error}"))
        })?;
        let moment = Moment::from(time.with_timezone(&Utc));
        // A time at the edge may be beyond it in UTC, where RFC 3339 has no way to write it.
        match YEARS.contains(&moment.0.year()) {
            true => Ok(moment),
            false => Err(serde::de::Error::custom(format!(
                "{text:?} is not in the years 0 to 9999 in UTC"
            ))),
        }
    }
}

/// A record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    WebLog(WebLog),
    Order(Order),
}

impl Parsed {
    /// # Errors
    /// When the record is not what its topic holds.
    pub fn of(kind: Kind, record: &Record) -> Result<Parsed, Rejection> {
        let value = record
            .value
            .as_deref()
            .ok_or_else(|| Rejection::unreadable("NoValue", "the record has no value"))?;
        let unreadable = |error: serde_json::Error| {
            let class = if error.is_data() {
                "WrongShape"
            } else {
                "BadJson"
            };
            Rejection::unreadable(class, error)
        };
        // All of it, not only the fields that are kept: what is not UTF-8 is not JSON.
        let text = std::str::from_utf8(value)
            .map_err(|error| Rejection::unreadable("InvalidUtf8", error))?;
        match kind {
            Kind::WebLogs => serde_json::from_str(text)
                .map(|Object(line)| Parsed::WebLog(line))
                .map_err(unreadable),
            Kind::Orders => serde_json::from_str(text)
                .map(|Object(order)| Parsed::Order(order))
                .map_err(unreadable),
        }
    }
}

/// The record's Kafka timestamp, where it has one within the years that stores know.
pub fn kafka_time(record: &Record) -> Option<Moment> {
    let time = DateTime::from_timestamp_millis(record.timestamp_ms?)?;
    let known = "1970-01-01T00:00:00Z".."9999-12-31T00:00:00Z";
    let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    // Years of more than four digits begin with a sign, which sorts before every digit.
    (known.start <= text.as_str() && text.as_str() < known.end).then(|| time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> Record {
        Record {
            offset: 0,
            timestamp_ms: Some(0),
            key: None,
            value: Some(value.to_owned().into()),
            headers: Vec::new(),
        }
    }

    const LINE: &str = r#"{"ip":"203.0.113.7","timestamp":"2026-01-01T12:00:00.000Z","method":"GET","url":"/","status_code":200,"user_agent":"x"}"#;

    #[test]
    fn a_log_line_is_read_and_written_the_same() {
        let Ok(Parsed::WebLog(line)) = Parsed::of(Kind::WebLogs, &record(LINE)) else {
            panic!("a log line")
        };
        assert_eq!(serde_json::to_string(&line).expect("JSON"), LINE);
    }

    #[test]
    fn what_is_no_log_line_is_refused_with_its_reason() {
        let class = |value: &str| {
            Parsed::of(Kind::WebLogs, &record(value))
                .expect_err("refused")
                .class
        };
        assert_eq!(class("hello"), "BadJson");
        assert_eq!(class(""), "BadJson");
        assert_eq!(class(&LINE[..40]), "BadJson");
        assert_eq!(class("{}"), "WrongShape");
        assert_eq!(class(&LINE.replace("200", "\"200\"")), "WrongShape");
        assert_eq!(class(&LINE.replace("200", "2e99")), "WrongShape");
        assert_eq!(class(&LINE.replace("203.0.113.7", "nowhere")), "WrongShape");
        assert_eq!(
            class(&LINE.replace("2026-01-01T12", "yesterday")),
            "WrongShape"
        );
        let none = Record {
            value: None,
            ..record("")
        };
        assert_eq!(
            Parsed::of(Kind::WebLogs, &none).expect_err("refused").class,
            "NoValue"
        );
    }

    /// `millrace verify` has the same test: both must see these records in the same way.
    #[test]
    fn odd_records_are_judged_as_verify_judges_them() {
        let judged = |kind, value: &[u8]| {
            let value = Some(value.to_vec().into());
            Parsed::of(
                kind,
                &Record {
                    value,
                    ..record("")
                },
            )
            .map(drop)
            .map_err(|rejection| rejection.class)
        };
        let more = |field: &str| LINE.replace('{', &format!("{{{field},"));
        let web_log = |value: &str| judged(Kind::WebLogs, value.as_bytes());
        let deep = format!("\"x\":{}{}", "[".repeat(1_000), "]".repeat(1_000));
        for ignored in [r#""x":1e999"#, r#""x":"\ud800""#, r#""x":1,"x":2"#, &deep] {
            assert_eq!(web_log(&more(ignored)), Ok(()), "{ignored}");
        }
        for refused in [
            r#"["203.0.113.7","2026-01-01T12:00:00.000Z","GET","/",200,"x"]"#,
            &more(r#""url":"/twice""#),
            &LINE.replace("200", "-0"),
            &LINE.replace("200", "3000000000"),
            &LINE.replace("2026-01-01T12:00:00.000Z", "0000-01-01T00:00:00+00:01"),
            &LINE.replace("2026-01-01T12:00:00.000Z", "9999-12-31T23:59:60Z"),
        ] {
            assert_eq!(web_log(refused), Err("WrongShape".to_owned()), "{refused}");
        }
        let mut not_utf8 = more(r#""x":"?""#).into_bytes();
        let at = not_utf8.iter().position(|byte| *byte == b'?');
        not_utf8[at.expect("it is there")] = 0xff;
        assert_eq!(
            judged(Kind::WebLogs, &not_utf8),
            Err("InvalidUtf8".to_owned())
        );
        let order = r#"{"id":"1","customer":"c","items":[ITEM],"total":195,"store":"s","payment_method":"cash","ordered_at":"2026-01-01T12:00:00Z"}"#;
        let with = |item| judged(Kind::Orders, order.replace("ITEM", item).as_bytes());
        assert_eq!(with(r#"["p",1,195]"#), Err("WrongShape".to_owned()));
        assert_eq!(
            with(r#"{"product":"p","quantity":1,"unit_price":195,"x":1e999}"#),
            Ok(())
        );
        assert_eq!(
            with(r#"{"product":"p","quantity":3000000000,"unit_price":195}"#),
            Err("WrongShape".to_owned())
        );
        let leap = LINE.replace("12:00:00.000", "23:59:60.250");
        let Ok(Parsed::WebLog(line)) = Parsed::of(Kind::WebLogs, &record(&leap)) else {
            panic!("a log line")
        };
        assert_eq!(line.timestamp.to_string(), "2026-01-02T00:00:00.250Z");
    }

    #[test]
    fn money_that_is_not_an_integer_is_refused() {
        let order = r#"{"id":"1","customer":"c","items":[{"product":"p","quantity":1,"unit_price":195}],"total":195,"store":"s","payment_method":"cash","ordered_at":"2026-01-01T12:00:00+01:00"}"#;
        let Ok(Parsed::Order(read)) = Parsed::of(Kind::Orders, &record(order)) else {
            panic!("an order")
        };
        assert_eq!(read.ordered_at.to_string(), "2026-01-01T11:00:00.000Z");
        assert!(
            Parsed::of(
                Kind::Orders,
                &record(&order.replace("195,\"st", "1.95,\"st"))
            )
            .is_err()
        );
    }

    #[test]
    fn a_moment_keeps_microseconds_and_no_more() {
        let moment: Moment =
            serde_json::from_str("\"2026-01-01T00:00:00.123456789Z\"").expect("a time");
        assert_eq!(moment.to_string(), "2026-01-01T00:00:00.123456Z");
    }

    #[test]
    fn a_kafka_timestamp_outside_the_known_years_counts_as_none() {
        let at = |timestamp_ms| {
            kafka_time(&Record {
                timestamp_ms,
                ..record("")
            })
        };
        assert_eq!(at(None), None);
        assert_eq!(at(Some(-1)), None);
        assert_eq!(at(Some(i64::MAX)), None);
        assert_eq!(at(Some(300_000_000_000_000)), None);
        assert_eq!(
            at(Some(1_500)).map(|time| time.to_string()),
            Some("1970-01-01T00:00:01.500Z".to_owned())
        );
    }
}
