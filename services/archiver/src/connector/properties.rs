//! The raw properties: both JSON forms, `${env:NAME}`, and the table of those that allow one meaning only.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Error;

const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";
const STRING_CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";

/// Properties of which only the values listed mean what this archiver does.
const FIXED: &[(&str, &[&str])] = &[
    (
        "connector.class",
        &[
            "io.confluent.connect.s3.S3SinkConnector",
            "S3SinkConnector",
            "S3Sink",
        ],
    ),
    (
        "storage.class",
        &["io.confluent.connect.s3.storage.S3Storage"],
    ),
    (
        "format.class",
        &["io.confluent.connect.s3.format.json.JsonFormat"],
    ),
    (
        "partitioner.class",
        &["io.confluent.connect.storage.partitioner.DefaultPartitioner"],
    ),
    ("schema.compatibility", &["NONE"]),
    ("key.converter", &[JSON_CONVERTER, STRING_CONVERTER]),
    ("value.converter", &[JSON_CONVERTER, STRING_CONVERTER]),
    ("key.converter.schemas.enable", &["false", "true"]),
    ("value.converter.schemas.enable", &["false"]),
    ("directory.delim", &["/"]),
    ("file.delim", &["+"]),
    ("filename.offset.zero.pad.width", &["10"]),
    ("rotate.interval.ms", &["-1"]),
    ("timezone", &["UTC"]),
    ("store.kafka.keys", &["false"]),
    ("store.kafka.headers", &["false"]),
    ("errors.tolerance", &["all"]),
    ("errors.deadletterqueue.context.headers.enable", &["true"]),
    ("consumer.override.auto.offset.reset", &["earliest"]),
    ("consumer.override.isolation.level", &["read_committed"]),
];

/// Properties that tune Connect's machinery and change nothing in what is stored.
const WITHOUT_EFFECT: &[&str] = &[
    "s3.part.size",
    "s3.part.retries",
    "s3.retry.backoff.ms",
    "retry.backoff.ms",
    "schema.cache.size",
];

/// Properties that people will look for, with what to do instead.
const EXPLAINED: &[(&str, &str)] = &[
    ("topics.regex", "name each topic in topics"),
    (
        "errors.deadletterqueue.topic.name",
        "a record that is not JSON always goes to <topic>.dlq",
    ),
    (
        "behavior.on.null.values",
        "a record without a value always goes to <topic>.dlq",
    ),
    ("transforms", "records are stored as they are"),
];

pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    pub(super) fn parse(
        text: &[u8],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Properties, Error> {
        let root: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(text).map_err(|error| Error::NotJson(error.to_string()))?;
        let mut properties = BTreeMap::new();
        let inner = match root.get("config") {
            Some(serde_json::Value::Object(config)) => {
                if let Some(name) = root.get("name") {
                    properties.insert("name".to_owned(), scalar("name", name)?);
                }
                if let Some(foreign) = root
                    .keys()
                    .find(|key| !matches!(key.as_str(), "name" | "config"))
                {
                    return Err(Error::Unknown(foreign.clone()));
                }
                config
            }
            _ => &root,
        };
        for (key, value) in inner {
            properties.insert(key.clone(), resolve(key, scalar(key, value)?, &env)?);
        }
        Ok(Properties(properties))
    }

    /// Checks and takes away what the table holds.
    pub(super) fn check_fixed(&mut self) -> Result<(), Error> {
        for (key, allowed) in FIXED {
            if let Some(value) = self.take(key)
                && !allowed.contains(&value.as_str())
            {
                let allowed = format!("allowed: {}", allowed.join(" or "));
                return Err(Error::Unsupported {
                    key: (*key).into(),
                    value,
                    allowed,
                });
            }
        }
        self.take_integer("tasks.max", 1..=i64::from(i32::MAX))?;
        for key in WITHOUT_EFFECT {
            if self.take(key).is_some() {
                tracing::info!(
                    property = key,
                    "this property has no effect here: an object is one PUT"
                );
            }
        }
        for (key, advice) in EXPLAINED {
            if let Some(value) = self.take(key) {
                return Err(Error::Unsupported {
                    key: (*key).into(),
                    value,
                    allowed: (*advice).into(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub(super) fn take_bool(&mut self, key: &str) -> Result<Option<bool>, Error> {
        match self.take(key).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Error::Invalid {
                key: key.into(),
                value: other.into(),
                expected: "true or false".into(),
            }),
        }
    }

    pub(super) fn take_integer(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.trim().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(Error::Invalid {
                    key: key.into(),
                    value,
                    expected,
                })
            }
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.0.into_keys().next() {
            Some(key) => Err(Error::Unknown(key)),
            None => Ok(()),
        }
    }
}

fn scalar(key: &str, value: &serde_json::Value) -> Result<String, Error> {
    match value {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        serde_json::Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::NotScalar(key.into())),
    }
}

fn resolve(
    key: &str,
    value: String,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    let mut resolved = String::new();
    let mut rest = value.as_str();
    while let Some(start) = rest.find("${env:") {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        let variable = &rest[start + "${env:".len()..start + length];
        let found = env(variable).ok_or_else(|| Error::Environment {
            key: key.to_owned(),
            variable: variable.to_owned(),
        })?;
        resolved.push_str(&rest[..start]);
        resolved.push_str(&found);
        rest = &rest[start + length + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}
