//! The archiver's configuration file: Kafka Connect's S3-sink properties as JSON.
//!
//! Both forms that Connect users keep are read: the flat map that `PUT /connectors/{name}/config` takes and the
//! envelope `{"name", "config"}` that `POST /connectors` takes. A property whose value means something that this
//! archiver does not do is an error that says what is allowed: silence would be a promise.

mod properties;

use std::time::Duration;

use properties::Properties;

/// Connect's own default for `s3.region`.
const DEFAULT_REGION: &str = "us-west-2";
/// Default of `flush.size`, in records.
const DEFAULT_FLUSH_SIZE: usize = 10;
/// Upper bound of `flush.size`: an object is one PUT, cut at 64 MiB long before this many lines.
const MAX_FLUSH_SIZE: i64 = 100_000_000;

/// What is wrong with the configuration file. Every message names the property, the value and what is allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("not a JSON object: {0}")]
    NotJson(String),
    #[error("property {0} has a value that is neither text, a number nor a boolean")]
    NotScalar(String),
    #[error("property {0} is required")]
    Missing(&'static str),
    #[error("property {key} = {value:?} is not supported: {allowed}")]
    Unsupported {
        key: String,
        value: String,
        allowed: String,
    },
    #[error("property {key} = {value:?} is not valid: {expected}")]
    Invalid {
        key: String,
        value: String,
        expected: String,
    },
    #[error("property {0} is not known to this archiver")]
    Unknown(String),
    #[error("property {key} refers to ${{env:{variable}}}, which is not set")]
    Environment { key: String, variable: String },
}

/// How the lines of an object are compressed (`s3.compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    /// zlib's levels 0 to 9 (`s3.compression.level`, -1 is zlib's own default 6).
    Gzip(u32),
}

impl Compression {
    /// The end of an object's name, as Connect's JsonFormat chooses it.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => ".json",
            Compression::Gzip(_) => ".json.gz",
        }
    }
}

/// Access keys written into the file (`aws.access.key.id`, `aws.secret.access.key`).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, secret)", self.access_key_id)
    }
}

/// A validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// `name`: the consumer group is `connect-<name>`, as in Connect. Default `s3-sink`.
    pub name: String,
    /// `topics`: at least one.
    pub topics: Vec<String>,
    /// `s3.bucket.name`; absent when it is to come from the environment.
    pub bucket: Option<String>,
    /// `s3.region`, where given.
    pub region: Option<String>,
    /// `store.url`: the endpoint of a store other than AWS.
    pub store_url: Option<String>,
    /// `s3.path.style.access.enabled`, default true as in Connect.
    pub path_style: bool,
    /// `topics.dir`, default `topics`.
    pub topics_dir: String,
    /// `flush.size`, records in an object. Default 10.
    pub flush_size: usize,
    /// `rotate.schedule.interval.ms`: the longest that a record waits for its object. Default -1, which is never.
    pub rotate_interval: Option<Duration>,
    pub compression: Compression,
    pub credentials: Option<Credentials>,
}

impl Connector {
    /// Reads the file's text. `env` resolves `${env:NAME}`, as Connect's EnvVarConfigProvider does.
    pub fn parse(text: &[u8], env: impl Fn(&str) -> Option<String>) -> Result<Connector, Error> {
        let mut properties = Properties::parse(text, env)?;
        properties.check_fixed()?;
        let connector = Connector {
            name: properties.take("name").unwrap_or_else(|| "s3-sink".into()),
            topics: topics(&mut properties)?,
            bucket: properties.take("s3.bucket.name"),
            region: properties.take("s3.region"),
            store_url: store_url(&mut properties)?,
            path_style: properties
                .take_bool("s3.path.style.access.enabled")?
                .unwrap_or(true),
            topics_dir: topics_dir(&mut properties)?,
            flush_size: flush_size(&mut properties)?,
            rotate_interval: rotate_interval(&mut properties)?,
            compression: compression(&mut properties)?,
            credentials: credentials(&mut properties)?,
        };
        properties.finish()?;
        Ok(connector)
    }

    pub fn default_region() -> &'static str {
        DEFAULT_REGION
    }
}

fn topics(properties: &mut Properties) -> Result<Vec<String>, Error> {
    let value = properties.take("topics").ok_or(Error::Missing("topics"))?;
    let mut topics: Vec<String> = Vec::new();
    for topic in value
        .split(',')
        .map(str::trim)
        .filter(|topic| !topic.is_empty())
    {
        if !is_topic_name(topic) {
            let expected = format!(
                "{topic:?} is not a topic name (letters, digits, '.', '_' and '-', at most 249)"
            );
            return Err(Error::Invalid {
                key: "topics".into(),
                value,
                expected,
            });
        }
        if !topics.iter().any(|known| known == topic) {
            topics.push(topic.to_owned());
        }
    }
    if topics.is_empty() {
        return Err(Error::Missing("topics"));
    }
    Ok(topics)
}

fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= 249 && name != "." && name != ".." && name.chars().all(legal)
}

fn store_url(properties: &mut Properties) -> Result<Option<String>, Error> {
    let Some(value) = properties.take("store.url") else {
        return Ok(None);
    };
    if !(value.starts_with("http://") || value.starts_with("https://")) {
        let expected = "an http:// or https:// address".into();
        return Err(Error::Invalid {
            key: "store.url".into(),
            value,
            expected,
        });
    }
    Ok(Some(value.trim_end_matches('/').to_owned()))
}

fn topics_dir(properties: &mut Properties) -> Result<String, Error> {
    let value = properties
        .take("topics.dir")
        .unwrap_or_else(|| "topics".into());
    let legal = !value.is_empty()
        && value
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if !legal {
        let expected = "a path without empty parts, such as topics or archive/topics".into();
        return Err(Error::Invalid {
            key: "topics.dir".into(),
            value,
            expected,
        });
    }
    Ok(value)
}

fn flush_size(properties: &mut Properties) -> Result<usize, Error> {
    match properties.take_integer("flush.size", 1..=MAX_FLUSH_SIZE)? {
        Some(records) => {
            Ok(usize::try_from(records).expect("checked to be between 1 and 100 million"))
        }
        None => Ok(DEFAULT_FLUSH_SIZE),
    }
}

fn rotate_interval(properties: &mut Properties) -> Result<Option<Duration>, Error> {
    const KEY: &str = "rotate.schedule.interval.ms";
    let interval_ms = properties
        .take_integer(KEY, -1..=i64::from(u32::MAX))?
        .unwrap_or(-1);
    match u64::try_from(interval_ms) {
        Ok(0) => Err(Error::Invalid {
            key: KEY.into(),
            value: "0".into(),
            expected: "-1 (never) or at least 1".into(),
        }),
        Ok(interval_ms) => Ok(Some(Duration::from_millis(interval_ms))),
        Err(_) => Ok(None),
    }
}

fn compression(properties: &mut Properties) -> Result<Compression, Error> {
    const KEY: &str = "s3.compression.type";
    let level = properties
        .take_integer("s3.compression.level", -1..=9)?
        .unwrap_or(-1);
    match properties.take(KEY).as_deref() {
        None | Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip(u32::try_from(level).unwrap_or(6))),
        Some(other) => Err(Error::Unsupported {
            key: KEY.into(),
            value: other.into(),
            allowed: "none or gzip".into(),
        }),
    }
}

fn credentials(properties: &mut Properties) -> Result<Option<Credentials>, Error> {
    match (
        properties.take("aws.access.key.id"),
        properties.take("aws.secret.access.key"),
    ) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(Credentials {
            access_key_id,
            secret_access_key,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::Missing("aws.secret.access.key")),
        (None, Some(_)) => Err(Error::Missing("aws.access.key.id")),
    }
}

#[cfg(test)]
mod tests;
