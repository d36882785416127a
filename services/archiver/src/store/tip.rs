//! Finding the end of a partition's chain of objects.
//!
//! Names sort as text, offsets are numbers: past ten digits the two orders differ. So listed names are compared as
//! numbers, and from the greatest one the chain is followed by its metadata until an object is missing.

use std::collections::HashMap;

use bytes::Bytes;
use pipeline::unfinished;

use super::{Conflict, Error, Objects, Unclear, check_source, foreign, next_offset, put_then_look};
use crate::naming::Place;
use crate::object::{Marker, Source};

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Where the next object starts.
    pub next: i64,
    /// The start of the last object; `None` before the first.
    pub last_start: Option<i64>,
}

/// Finds the tip; `None` when the partition has neither objects nor a marker.
///
/// `hint` is an offset near the tip: what the group has committed. It only says where listing begins, first a little
/// before it, then further and further back: `step` offsets, the usual span of an object, and sixteen times more each time.
pub async fn find<O: Objects>(
    objects: &O,
    place: &Place,
    source: &Source,
    hint: Option<i64>,
    step: i64,
) -> Result<Option<Tip>, Error> {
    let mut back = step;
    let last = loop {
        let from = hint.map_or(0, |hint| hint.saturating_sub(back).max(0));
        let last = greatest_from(objects, place, from).await?;
        if last.is_some() || from == 0 {
            break last;
        }
        back = back.saturating_mul(16);
    };
    match last {
        Some(start) => follow(objects, place, source, start).await.map(Some),
        None => Ok(read_marker(objects, place, source).await?.map(|next| Tip {
            next,
            last_start: None,
        })),
    }
}

/// Fixes the start of a partition that has no chain yet: at `log_start`, or where another owner has fixed it before.
pub async fn fix_start<O: Objects>(
    objects: &O,
    place: &Place,
    source: &Source,
    log_start: i64,
) -> Result<Tip, Error> {
    let marker = Marker {
        source: source.clone(),
        start: log_start,
        extension: place.extension().to_owned(),
    };
    let key = place.marker();
    let found = put_then_look(objects, &key, Bytes::from(marker.body()), marker.encode()).await?;
    Ok(Tip {
        next: check_marker(&key, &found, place, source)?,
        last_start: None,
    })
}

/// The greatest start offset at or above `from`, of which one page is held at a time.
async fn greatest_from<O: Objects>(
    objects: &O,
    place: &Place,
    from: i64,
) -> Result<Option<i64>, Error> {
    let mut greatest = None;
    let mut after = (from > 0).then(|| place.just_before(from));
    loop {
        let page = objects.list(&place.prefix(), after.as_deref()).await?;
        for key in &page {
            match place.parse(key) {
                Some((start, extension)) if extension == place.extension() => {
                    greatest = greatest.max(Some(start).filter(|start| *start >= from));
                }
                Some(_) => return Err(Conflict::OtherCompression { key: key.clone() }.into()),
                None if unfinished(key).is_some_and(|name| place.parse(name).is_some()) => {}
                None => {
                    return Err(Conflict::Foreign {
                        key: key.clone(),
                        reason: "its name is none of ours".into(),
                    }
                    .into());
                }
            }
        }
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(greatest),
        }
    }
}

async fn follow<O: Objects>(
    objects: &O,
    place: &Place,
    source: &Source,
    mut start: i64,
) -> Result<Tip, Error> {
    let mut tip = None;
    loop {
        let key = place.object(start);
        match (objects.head(&key).await?, tip) {
            (Some(fields), _) => {
                let next = next_offset(&key, start, &fields, source)?;
                tip = Some(Tip {
                    next,
                    last_start: Some(start),
                });
                start = next;
            }
            (None, Some(tip)) => return Ok(tip),
            (None, None) => {
                return Err(Unclear::new("HEAD", &key, "it is listed but not there").into());
            }
        }
    }
}

async fn read_marker<O: Objects>(
    objects: &O,
    place: &Place,
    source: &Source,
) -> Result<Option<i64>, Error> {
    let key = place.marker();
    match objects.head(&key).await? {
        Some(fields) => Ok(Some(check_marker(&key, &fields, place, source)?)),
        None => Ok(None),
    }
}

fn check_marker(
    key: &str,
    fields: &HashMap<String, String>,
    place: &Place,
    source: &Source,
) -> Result<i64, Conflict> {
    let marker = Marker::decode(fields).map_err(|malformed| foreign(key, &malformed))?;
    check_source(key, &marker.source, source)?;
    if marker.extension != place.extension() {
        return Err(Conflict::OtherCompression {
            key: key.to_owned(),
        });
    }
    Ok(marker.start)
}

#[cfg(test)]
mod tests;
