//! Compares one stretch of the log with what a sink holds of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::findings::{Findings, Kind};
use super::store::Fields;

/// What each record of a stretch must have become.
pub type Expected = BTreeMap<i64, Result<Fields, String>>;

/// How many records of a stretch the sink has stored and refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub stored: u64,
    pub dead: u64,
}

/// Whether every record is stored or dead-lettered, so that waiting would change nothing.
pub fn is_complete(expected: &Expected, stored: &[(i64, Fields)], dead: &BTreeSet<i64>) -> bool {
    let there: BTreeSet<i64> = stored.iter().map(|(offset, _)| *offset).collect();
    expected
        .keys()
        .all(|offset| there.contains(offset) || dead.contains(offset))
}

/// Compares field by field and reports each offset at which something is wrong.
pub fn compare(
    findings: &mut Findings,
    partition: i32,
    expected: &Expected,
    stored: Vec<(i64, Fields)>,
    dead: &BTreeSet<i64>,
) -> Tally {
    let mut by_offset: BTreeMap<i64, Vec<Fields>> = BTreeMap::new();
    for (offset, fields) in stored {
        by_offset.entry(offset).or_default().push(fields);
    }
    let mut tally = Tally::default();
    let offsets: BTreeSet<i64> = expected
        .keys()
        .chain(by_offset.keys())
        .chain(dead)
        .copied()
        .collect();
    for offset in offsets {
        let copies = by_offset.get(&offset).map_or(&[][..], Vec::as_slice);
        let is_dead = dead.contains(&offset);
        tally.stored += u64::from(!copies.is_empty());
        tally.dead += u64::from(is_dead);
        let mut report =
            |kind, example: Option<String>| findings.add(kind, partition, offset, || example);
        let Some(wanted) = expected.get(&offset) else {
            report(
                Kind::NotInLog,
                Some(format!(
                    "{} stored, {} dead-lettered",
                    copies.len(),
                    u8::from(is_dead)
                )),
            );
            continue;
        };
        match (copies.len(), is_dead) {
            (0, true) => {}
            (0, false) => report(Kind::Missing, None),
            (_, true) => report(Kind::StoredAndDead, None),
            (1, false) => {}
            (copies, false) => report(Kind::Doubled, Some(format!("{copies} times"))),
        }
        let differences = copies.iter().find_map(|copy| match wanted {
            Ok(wanted) => difference(wanted, copy),
            Err(reason) => Some(format!("it should have been refused: {reason}")),
        });
        if let Some(difference) = differences {
            report(Kind::Different, Some(difference));
        }
    }
    tally
}

/// The fields that differ, with both values; `None` when all agree.
fn difference(wanted: &Fields, found: &Fields) -> Option<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let texts: Vec<String> = names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name))
        .map(|name| {
            format!(
                "{name} is {}, should be {}",
                shown(found.get(name)),
                shown(wanted.get(name))
            )
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn shown(value: Option<&Value>) -> String {
    const LONGEST: usize = 200;
    let text = value.map_or_else(|| "absent".to_owned(), Value::to_string);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: i64) -> Fields {
        Fields::from_iter([("n".to_owned(), json!(value))])
    }

    /// A log of offsets 0, 1, 2 and 4, of which 2 is free text.
    fn expected() -> Expected {
        let log = [
            (0, Ok(fields(0))),
            (1, Ok(fields(1))),
            (2, Err("free text".to_owned())),
            (4, Ok(fields(4))),
        ];
        log.into_iter().collect()
    }

    fn run(stored: &[(i64, i64)], dead: &[i64]) -> (Vec<(Kind, String)>, Tally) {
        let mut findings = Findings::default();
        let stored = stored
            .iter()
            .map(|(offset, value)| (*offset, fields(*value)))
            .collect();
        let tally = compare(
            &mut findings,
            0,
            &expected(),
            stored,
            &dead.iter().copied().collect(),
        );
        (
            findings
                .iter()
                .map(|(kind, _, offsets)| (kind, offsets.text()))
                .collect(),
            tally,
        )
    }

    #[test]
    fn a_faithful_store_has_no_findings() {
        let (found, tally) = run(&[(0, 0), (1, 1), (4, 4)], &[2]);
        assert_eq!((found, tally), (vec![], Tally { stored: 3, dead: 1 }));
        // A store may refuse what could have been stored.
        assert_eq!(run(&[(0, 0), (1, 1)], &[2, 4]).0, []);
    }

    #[test]
    fn every_way_of_being_wrong_is_told_apart() {
        assert_eq!(
            run(&[(1, 1), (4, 4)], &[2]).0,
            [(Kind::Missing, "0".into())]
        );
        assert_eq!(
            run(&[(0, 0), (1, 1), (4, 4)], &[]).0,
            [(Kind::Missing, "2".into())]
        );
        assert_eq!(
            run(&[(0, 0), (0, 0), (1, 1), (4, 4)], &[2]).0,
            [(Kind::Doubled, "0".into())]
        );
        assert_eq!(
            run(&[(0, 7), (1, 1), (4, 4)], &[2]).0,
            [(Kind::Different, "0".into())]
        );
        assert_eq!(
            run(&[(0, 0), (1, 1), (4, 4)], &[1, 2]).0,
            [(Kind::StoredAndDead, "1".into())]
        );
        assert_eq!(
            run(&[(0, 0), (1, 1), (3, 3), (4, 4)], &[2]).0,
            [(Kind::NotInLog, "3".into())]
        );
        assert_eq!(
            run(&[(0, 0), (1, 1), (2, 2), (4, 4)], &[]).0,
            [(Kind::Different, "2".into())]
        );
    }

    #[test]
    fn the_differing_fields_are_named_with_both_values() {
        let found = Fields::from_iter([("a".to_owned(), json!("x")), ("c".to_owned(), json!(1))]);
        let wanted =
            Fields::from_iter([("a".to_owned(), json!("y")), ("b".to_owned(), json!(null))]);
        let text = difference(&wanted, &found).expect("they differ");
        assert_eq!(
            text,
            r#"a is "x", should be "y"; b is absent, should be null; c is 1, should be absent"#
        );
    }
}
