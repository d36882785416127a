//! What all clients have told so far, read from their files while they write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::history::{Line, Place, Told};

/// One client's.
#[derive(Debug)]
pub struct History {
    pub client: String,
    /// Of a consumer.
    pub group: Option<String>,
    pub lines: Vec<Line>,
    file: PathBuf,
    read_bytes: u64,
}

/// All of them, with what is asked often counted.
#[derive(Debug, Default)]
pub struct Histories {
    all: Vec<History>,
    pub acked: u64,
    pub polled: u64,
    pub committed: u64,
    pub given_up: u64,
    /// The offset behind the last record that a group has read.
    reached: BTreeMap<(String, Place), i64>,
}

impl Histories {
    pub fn add_producer(&mut self, client: &str, file: &Path) {
        self.add(client, None, file);
    }

    pub fn add_member(&mut self, client: &str, group: &str, file: &Path) {
        self.add(client, Some(group.into()), file);
    }

    fn add(&mut self, client: &str, group: Option<String>, file: &Path) {
        self.all.push(History {
            client: client.into(),
            group,
            lines: Vec::new(),
            file: file.into(),
            read_bytes: 0,
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &History> {
        self.all.iter()
    }

    /// Reads what has been written since the last time.
    pub fn read(&mut self) -> Result<()> {
        for number in 0..self.all.len() {
            let before = self.all[number].lines.len();
            let history = &mut self.all[number];
            let what = || format!("the history of {}", history.client);
            let lines = fresh(&history.file, &mut history.read_bytes).with_context(what)?;
            history.lines.extend(lines);
            self.count(number, before);
        }
        Ok(())
    }

    fn count(&mut self, number: usize, from: usize) {
        let history = &self.all[number];
        for line in &history.lines[from..] {
            match &line.told {
                Told::Acked { .. } => self.acked += 1,
                Told::GivenUp { .. } => self.given_up += 1,
                Told::Committed { .. } => self.committed += 1,
                Told::Polled { from, offset, .. } => {
                    self.polled += 1;
                    let group = history.group.clone().unwrap_or_default();
                    let reached = self.reached.entry((group, *from)).or_default();
                    *reached = (*reached).max(offset + 1);
                }
                _ => {}
            }
        }
    }

    /// How far a group has read.
    pub fn reached(&self, group: &str, place: Place) -> i64 {
        let found = self.reached.get(&(group.to_string(), place));
        found.copied().unwrap_or(0)
    }

    /// Every acknowledgement.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        let mut found = Vec::new();
        for history in self.all.iter().filter(|history| history.group.is_none()) {
            let mut sent = BTreeMap::new();
            for line in &history.lines {
                match line.told {
                    Told::Sent { to, counter } => {
                        sent.insert((to, counter), line.at_ns);
                    }
                    Told::Acked { to, counter, .. } => found.push(Acknowledged {
                        place: to,
                        sent_ns: sent.remove(&(to, counter)).unwrap_or(line.at_ns),
                        acked_ns: line.at_ns,
                    }),
                    _ => {}
                }
            }
        }
        found
    }
}

/// A record that a broker has acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub place: Place,
    pub sent_ns: u64,
    pub acked_ns: u64,
}

/// The whole lines behind `read` bytes of a file, which may not be there yet.
fn fresh(path: &Path, read: &mut u64) -> Result<Vec<Line>> {
    let Ok(mut file) = File::open(path) else {
        return Ok(Vec::new());
    };
    file.seek(SeekFrom::Start(*read))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(whole.map_or(0, |end| end + 1));
    *read += bytes.len() as u64;
    let text = String::from_utf8(bytes)?;
    text.lines()
        .map(|line| Line::parse(line).with_context(|| line.to_string()))
        .collect()
}
