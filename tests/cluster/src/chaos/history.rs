//! What clients tell of themselves while they run: a line for each thing that happened, in a file for each client.
//!
//! A line is written before a record is sent and after its acknowledgement has come, with one write, so that what a
//! client knew is in its file even when it is killed.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};

use super::clock::now_ns;
use super::field::TOPICS;

/// Where a record goes or lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub topic: &'static str,
    pub partition: i32,
}

impl Place {
    /// A partition of one of the load's topics.
    pub fn of(topic: &str, partition: i32) -> Result<Place> {
        let known = TOPICS.iter().find(|known| known.name == topic);
        let topic = known.with_context(|| format!("{topic}: not a topic of the load"))?;
        Ok(Place {
            topic: topic.name,
            partition,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.topic, self.partition)
    }
}

/// One thing that a client tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A record is handed to the producer. Counters begin at 0 in each partition.
    Sent { to: Place, counter: u64 },
    /// The broker has acknowledged it.
    Acked {
        to: Place,
        counter: u64,
        offset: i64,
    },
    /// The producer gives it up.
    GivenUp {
        to: Place,
        counter: u64,
        why: String,
    },
    /// From now on the member reads these.
    Assigned(Vec<Place>),
    /// And these no more.
    Revoked(Vec<Place>),
    /// A record came, with what is in it.
    Polled {
        from: Place,
        offset: i64,
        record: String,
    },
    /// A commit is asked for.
    Committing { of: Place, next: i64 },
    /// The commit that was asked for at `asked_ns` is acknowledged.
    Committed { of: Place, next: i64, asked_ns: u64 },
    /// The client has ended, or was killed.
    Ended,
}

/// When it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at_ns: u64,
    pub told: Told,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, places: &[Place]| {
            f.write_str(word)?;
            places.iter().try_for_each(|place| write!(f, " {place}"))
        };
        match self {
            Told::Sent { to, counter } => write!(f, "sent {to} {counter}"),
            Told::Acked {
                to,
                counter,
                offset,
            } => write!(f, "acked {to} {counter} {offset}"),
            Told::GivenUp { to, counter, why } => write!(f, "given-up {to} {counter} {why}"),
            Told::Assigned(places) => list(f, "assigned", places),
            Told::Revoked(places) => list(f, "revoked", places),
            Told::Polled {
                from,
                offset,
                record,
            } => write!(f, "polled {from} {offset} {record}"),
            Told::Committing { of, next } => write!(f, "committing {of} {next}"),
            Told::Committed { of, next, asked_ns } => write!(f, "committed {of} {next} {asked_ns}"),
            Told::Ended => f.write_str("ended"),
        }
    }
}

impl Line {
    /// Reads a line that a client has written.
    pub fn parse(text: &str) -> Result<Line> {
        let mut words = Words(text.split(' '));
        let at_ns = words.number()?;
        let told = match words.word()? {
            "sent" => Told::Sent {
                to: words.place()?,
                counter: words.number()?,
            },
            "acked" => Told::Acked {
                to: words.place()?,
                counter: words.number()?,
                offset: words.number()?,
            },
            "given-up" => Told::GivenUp {
                to: words.place()?,
                counter: words.number()?,
                why: words.0.collect::<Vec<_>>().join(" "),
            },
            "assigned" => Told::Assigned(words.places()?),
            "revoked" => Told::Revoked(words.places()?),
            "polled" => Told::Polled {
                from: words.place()?,
                offset: words.number()?,
                record: words.word()?.into(),
            },
            "committing" => Told::Committing {
                of: words.place()?,
                next: words.number()?,
            },
            "committed" => Told::Committed {
                of: words.place()?,
                next: words.number()?,
                asked_ns: words.number()?,
            },
            "ended" => Told::Ended,
            other => bail!("{other}: no client tells that"),
        };
        Ok(Line { at_ns, told })
    }
}

struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str> {
        self.0.next().context("a line that ends too early")
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| anyhow::anyhow!("{word}: no number"))
    }

    fn place(&mut self) -> Result<Place> {
        Place::of(self.word()?, self.number()?)
    }

    fn places(&mut self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        while let Some(topic) = self.0.next() {
            places.push(Place::of(topic, self.number()?)?);
        }
        Ok(places)
    }
}

/// Where a client writes; shared by its threads.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Mutex<File>>);

impl Journal {
    /// Goes on with a file that may be there from an earlier life.
    pub fn open(path: &Path) -> Result<Journal> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Journal(Arc::new(Mutex::new(file))))
    }

    /// Writes it down, and gives the time that it has. A file that cannot be written ends the client: what it does could
    /// not be told.
    pub fn tell(&self, told: &Told) -> u64 {
        let mut line = String::new();
        let mut file = self.0.lock().expect("no holder of the lock panics");
        let at_ns = now_ns();
        writeln!(line, "{at_ns} {told}").expect("a string takes everything");
        file.write_all(line.as_bytes())
            .expect("a client must be able to tell what it does");
        at_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let place = Place::of("chaos", 4)?;
        let all = [
            Told::Sent {
                to: place,
                counter: 7,
            },
            Told::Acked {
                to: place,
                counter: 7,
                offset: 12,
            },
            Told::GivenUp {
                to: place,
                counter: 8,
                why: "it took too long".into(),
            },
            Told::Assigned(vec![place, Place::of("chaos-flushed", 0)?]),
            Told::Revoked(vec![]),
            Told::Polled {
                from: place,
                offset: 12,
                record: "p1:4:7".into(),
            },
            Told::Committing {
                of: place,
                next: 13,
            },
            Told::Committed {
                of: place,
                next: 13,
                asked_ns: 99,
            },
            Told::Ended,
        ];
        for told in all {
            let line = Line::parse(&format!("123 {told}"))?;
            assert_eq!(line, Line { at_ns: 123, told });
        }
        assert!(Line::parse("12 sent chaos").is_err());
        Ok(())
    }
}
