//! Sets of offsets as inclusive ranges, written `0-4,7,9-12` in an object's metadata.

use std::fmt;
use std::str::FromStr;

/// Offsets in ascending order, gathered into ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(i64, i64)>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a list of offset ranges such as 0-4,7")]
pub struct Malformed(String);

impl Ranges {
    /// Adds an offset, which must be above all those held.
    pub fn push(&mut self, offset: i64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            last => {
                assert!(
                    last.is_none_or(|(_, last)| *last < offset),
                    "offsets are added in ascending order"
                );
                self.0.push((offset, offset));
            }
        }
    }

    /// Adds a range, both ends included, which must be above all those held.
    pub fn push_span(&mut self, first: i64, last: i64) {
        assert!(first <= last, "a range is not empty");
        self.push(first);
        self.0.last_mut().expect("just pushed").1 = last;
    }

    /// Whether `offset` follows the last one held without a hole.
    pub fn ends_before(&self, offset: i64) -> bool {
        self.0.last().is_some_and(|(_, last)| *last + 1 == offset)
    }

    /// How many ranges there are: what bounds the length of the text.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub fn offsets(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{separator}{first}")?,
                false => write!(f, "{separator}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Ranges {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Ranges, Malformed> {
        let malformed = || Malformed(text.to_owned());
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: i64 = first.parse().map_err(|_| malformed())?;
            let last: i64 = last.parse().map_err(|_| malformed())?;
            let follows = ranges.last().is_none_or(|(_, before)| *before < first);
            // No record has the largest offset, for then there were none to go on at.
            if first > last || !follows || last == i64::MAX {
                return Err(malformed());
            }
            ranges.push((first, last));
        }
        Ok(Ranges(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_gathered_and_read_back() {
        let mut ranges = Ranges::default();
        [0, 1, 2, 5, 7, 8]
            .into_iter()
            .for_each(|offset| ranges.push(offset));
        assert_eq!(ranges.to_string(), "0-2,5,7-8");
        assert_eq!(ranges.to_string().parse(), Ok(ranges.clone()));
        assert_eq!(ranges.offsets().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!("".parse(), Ok(Ranges::default()));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a", "5-3", "3,2", "1-2,2", "-", "0-9223372036854775807"] {
            assert!(text.parse::<Ranges>().is_err(), "{text}");
        }
    }
}
