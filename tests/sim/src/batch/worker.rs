//! A worker's own side: seeds come in, one a line, and outcomes go out.

use std::io::{self, BufRead, Write};

use super::Outcome;

/// Lives every seed that comes, until no more come.
pub fn serve(seeds: impl BufRead, mut outcomes: impl Write, shrinks: bool) -> io::Result<()> {
    for line in seeds.lines() {
        let seed = line?.trim().parse();
        let seed = seed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        serde_json::to_writer(&mut outcomes, &Outcome::of(seed, shrinks))?;
        outcomes.write_all(b"\n")?;
        outcomes.flush()?;
    }
    Ok(())
}
