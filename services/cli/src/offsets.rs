//! Where to begin reading: beginning, end, an offset, or a number of records before the end.

use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// How long one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a question is put again that got no answer: longer than a broker that falls silent takes to be replaced.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Beginning,
    End,
    At(i64),
    /// That many offsets before the end.
    Last(i64),
}

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Begin, String> {
        match (text, text.parse::<i64>()) {
            ("beginning" | "earliest", _) => Ok(Begin::Beginning),
            ("end" | "latest", _) => Ok(Begin::End),
            (_, Ok(offset)) if offset < 0 => Ok(Begin::Last(offset.saturating_neg())),
            (_, Ok(offset)) => Ok(Begin::At(offset)),
            _ => Err("an offset, beginning, end, or -N for the last N".into()),
        }
    }
}

/// The offsets that can be read now: from the first to before the second.
pub fn range(consumer: &BaseConsumer, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
    consumer
        .fetch_watermarks(topic, partition, TIMEOUT)
        .with_context(|| format!("cannot look up the offsets of {topic}-{partition}"))
}

/// Puts a question that fails again for a while, and says so: whoever was asked may have been replaced meanwhile. What
/// time does not mend is told at once.
pub fn patiently<T>(question: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    within(PATIENCE, question)
}

fn within<T>(
    patience: Duration,
    mut question: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let since = Instant::now();
    let mut told = false;
    loop {
        match question() {
            Err(error) if since.elapsed() < patience && may_pass(&error) => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("{error:#}; asking again for {} s", patience.as_secs());
                }
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

/// Whether the same question may be answered later: not where the cluster does not know, or not trust, who asks.
fn may_pass(error: &anyhow::Error) -> bool {
    let kafka = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<KafkaError>());
    !matches!(
        kafka.and_then(KafkaError::rdkafka_error_code),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TopicAuthorizationFailed
        )
    )
}

impl Begin {
    /// The offset in a log that holds `start` to before `end`.
    pub fn resolve(self, start: i64, end: i64) -> anyhow::Result<i64> {
        match self {
            Begin::Beginning => Ok(start),
            Begin::End => Ok(end),
            Begin::Last(count) => Ok((end - count).max(start)),
            Begin::At(offset) if offset < start => {
                bail!("offset {offset} is gone: the log starts at {start}")
            }
            Begin::At(offset) if offset > end => {
                bail!("offset {offset} is beyond the end of the log, {end}")
            }
            Begin::At(offset) => Ok(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_fails_is_put_again_and_not_for_ever() {
        let mut asked = 0;
        let answer = within(PATIENCE, || {
            asked += 1;
            if asked < 3 {
                bail!("the broker is gone")
            }
            Ok(asked)
        });
        assert_eq!(answer.expect("an answer at last"), 3);
        let never: anyhow::Result<()> = within(Duration::ZERO, || bail!("nobody is there"));
        assert_eq!(
            never.expect_err("no patience").to_string(),
            "nobody is there"
        );
    }

    #[test]
    fn who_may_not_ask_is_told_at_once() {
        let mut asked = 0;
        let answer: anyhow::Result<()> = within(PATIENCE, || {
            asked += 1;
            Err(KafkaError::MetadataFetch(Code::TopicAuthorizationFailed)).context("no answer")
        });
        assert!(answer.is_err() && asked == 1);
    }

    #[test]
    fn every_way_to_say_it_is_understood() {
        for (text, offset) in [
            ("beginning", 5),
            ("end", 20),
            ("7", 7),
            ("-3", 17),
            ("-100", 5),
            ("20", 20),
        ] {
            let begin: Begin = text.parse().expect(text);
            assert_eq!(
                begin.resolve(5, 20).expect("inside the log"),
                offset,
                "{text}"
            );
        }
        assert!("somewhere".parse::<Begin>().is_err());
        assert!(Begin::At(4).resolve(5, 20).is_err() && Begin::At(21).resolve(5, 20).is_err());
    }
}
