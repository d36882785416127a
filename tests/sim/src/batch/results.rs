//! A file of outcomes, by which a long run that was interrupted goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use super::Outcome;

/// Outcomes by seed, and the file where each is written down as it comes.
#[derive(Default)]
pub struct Results {
    lived: BTreeMap<u64, Outcome>,
    file: Option<File>,
}

impl Results {
    /// What is known from an earlier run of this program. A seed that failed then is to be lived again.
    pub fn open(path: &Path, program: &str) -> io::Result<Results> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines = match text.split_once('\n') {
            Some((first, lines)) if first == program => lines,
            _ => "",
        };
        // The last line may have been cut off.
        let outcomes = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let passed = outcomes.filter(|outcome: &Outcome| outcome.failure.is_none());
        let lived: BTreeMap<u64, Outcome> = passed.map(|o| (o.seed, o)).collect();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{program}")?;
        for outcome in lived.values() {
            write(&mut file, outcome)?;
        }
        fs::rename(&fresh, path)?;
        let file = Some(file);
        Ok(Results { lived, file })
    }

    /// Writes an outcome down.
    pub fn add(&mut self, outcome: Outcome) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            write(file, &outcome)?;
        }
        self.lived.insert(outcome.seed, outcome);
        Ok(())
    }

    /// Whether a seed has been lived.
    pub fn has(&self, seed: u64) -> bool {
        self.lived.contains_key(&seed)
    }

    /// Those of some seeds.
    pub fn among(&self, seeds: Range<u64>) -> impl Iterator<Item = &Outcome> {
        self.lived.range(seeds).map(|(_, outcome)| outcome)
    }
}

fn write(file: &mut File, outcome: &Outcome) -> io::Result<()> {
    let mut line = serde_json::to_vec(outcome)?;
    line.push(b'\n');
    file.write_all(&line)
}
