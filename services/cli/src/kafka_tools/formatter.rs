//! How `kafka-console-consumer.sh` prints a record: Kafka's DefaultMessageFormatter and its properties.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, bail};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message};

/// What is printed of a record, and what stands between.
pub struct Formatter {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null: Vec<u8>,
    key_type: Type,
    value_type: Type,
}

/// What bytes stand for, by the name of a Java deserializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
}

impl Type {
    fn of(class: &str) -> anyhow::Result<Type> {
        let simple = class.rsplit('.').next().unwrap_or_default();
        Ok(match simple {
            "StringDeserializer" | "ByteArrayDeserializer" | "BytesDeserializer" => Type::Text,
            "ShortDeserializer" => Type::Short,
            "IntegerDeserializer" => Type::Integer,
            "LongDeserializer" => Type::Long,
            "FloatDeserializer" => Type::Float,
            "DoubleDeserializer" => Type::Double,
            _ => bail!(
                "the deserializer {class} is not supported: of Kafka's own String, ByteArray, Bytes, Short, Integer, Long, \
                 Float and Double are"
            ),
        })
    }

    fn write(self, out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<()> {
        fn fixed<const N: usize>(bytes: &[u8]) -> anyhow::Result<[u8; N]> {
            bytes
                .try_into()
                .with_context(|| format!("Size of data received is not {N}"))
        }
        match self {
            Type::Text => out.write_all(bytes)?,
            Type::Short => write!(out, "{}", i16::from_be_bytes(fixed(bytes)?))?,
            Type::Integer => write!(out, "{}", i32::from_be_bytes(fixed(bytes)?))?,
            Type::Long => write!(out, "{}", i64::from_be_bytes(fixed(bytes)?))?,
            Type::Float => write!(out, "{:?}", f32::from_be_bytes(fixed(bytes)?))?,
            Type::Double => write!(out, "{:?}", f64::from_be_bytes(fixed(bytes)?))?,
        }
        Ok(())
    }
}

impl Formatter {
    pub fn new(properties: &BTreeMap<String, String>) -> anyhow::Result<Formatter> {
        let is = |name: &str, default: bool| {
            properties
                .get(name)
                .map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
        };
        let text = |name: &str, default: &str| {
            let value = properties.get(name).map_or(default, String::as_str);
            value.as_bytes().to_vec()
        };
        let class = |name: &str| {
            properties
                .get(name)
                .map_or(Ok(Type::Text), |class| Type::of(class))
        };
        if is("print.epoch", false) {
            bail!(
                "print.epoch is not supported: the client does not know the leader epoch of a record"
            );
        }
        Ok(Formatter {
            timestamp: is("print.timestamp", false),
            partition: is("print.partition", false),
            offset: is("print.offset", false),
            headers: is("print.headers", false),
            key: is("print.key", false),
            value: is("print.value", true),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null: text("null.literal", "null"),
            key_type: class("key.deserializer")?,
            value_type: class("value.deserializer")?,
        })
    }

    pub fn write(&self, out: &mut impl Write, record: &BorrowedMessage) -> anyhow::Result<()> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            parts.push(timestamp(record.timestamp()).into_bytes());
        }
        if self.partition {
            parts.push(format!("Partition:{}", record.partition()).into_bytes());
        }
        if self.offset {
            parts.push(format!("Offset:{}", record.offset()).into_bytes());
        }
        if self.headers {
            parts.push(self.headers(record)?);
        }
        for (shown, bytes, of) in [
            (self.key, record.key(), self.key_type),
            (self.value, record.payload(), self.value_type),
        ] {
            if shown {
                parts.push(self.bytes(bytes, of)?);
            }
        }
        let line = parts.join(&self.key_separator[..]);
        out.write_all(&line)?;
        out.write_all(&self.line_separator)?;
        Ok(())
    }

    fn headers(&self, record: &BorrowedMessage) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for (at, header) in record
            .headers()
            .into_iter()
            .flat_map(Headers::iter)
            .enumerate()
        {
            if at > 0 {
                text.write_all(&self.headers_separator)?;
            }
            write!(text, "{}:", header.key)?;
            text.write_all(header.value.unwrap_or(&self.null))?;
        }
        Ok(if text.is_empty() {
            b"NO_HEADERS".to_vec()
        } else {
            text
        })
    }

    fn bytes(&self, bytes: Option<&[u8]>, of: Type) -> anyhow::Result<Vec<u8>> {
        let Some(bytes) = bytes else {
            return Ok(self.null.clone());
        };
        let mut text = Vec::new();
        of.write(&mut text, bytes)?;
        Ok(text)
    }
}

fn timestamp(timestamp: Timestamp) -> String {
    match timestamp {
        Timestamp::NotAvailable => "NO_TIMESTAMP".into(),
        Timestamp::CreateTime(ms) => format!("CreateTime:{ms}"),
        Timestamp::LogAppendTime(ms) => format!("LogAppendTime:{ms}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(class: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let mut text = Vec::new();
        Type::of(class)?.write(&mut text, bytes)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn bytes_are_shown_as_the_deserializer_reads_them() -> anyhow::Result<()> {
        let package = "org.apache.kafka.common.serialization";
        assert_eq!(
            shown(&format!("{package}.LongDeserializer"), &7i64.to_be_bytes())?,
            "7"
        );
        assert_eq!(shown("IntegerDeserializer", &(-7i32).to_be_bytes())?, "-7");
        assert_eq!(shown("DoubleDeserializer", &1.0f64.to_be_bytes())?, "1.0");
        assert_eq!(shown("StringDeserializer", b"seven")?, "seven");
        assert!(
            shown("LongDeserializer", b"seven").is_err() && shown("com.example.Mine", b"").is_err()
        );
        Ok(())
    }

    #[test]
    fn a_property_that_cannot_be_had_is_refused() {
        let properties = BTreeMap::from([("print.epoch".to_owned(), "true".to_owned())]);
        assert!(Formatter::new(&properties).is_err());
    }
}
