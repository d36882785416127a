//! A minute of real chaos, and as much more as it takes until each kind of fault has occurred: `make chaos` as CI runs it.

use cluster::chaos::{Field, Kind};

use crate::closing;

/// Fewer acknowledged records than this in a minute are no load, however busy the machine is.
const LEAST: u64 = 2_000;

#[test]
fn a_minute_of_chaos_breaks_no_promise() {
    if let Some(lacking) = Field::lacking() {
        println!("SKIPPED: no machines, disks or limits can be made here: {lacking} is missing");
        return;
    }
    let (closing, story) = closing("chaos", &["--duration", "60s", "--seed", "7"]);
    let faults = closing["faults"].as_object();
    assert_eq!(
        faults.map(|kinds| kinds.len()),
        Some(Kind::ALL.len()),
        "{story}"
    );
    assert!(closing["acknowledged"].as_u64() >= Some(LEAST), "{story}");
    assert!(closing["polled"].as_u64() >= Some(LEAST), "{story}");
    assert!(closing["committed"].as_u64() > Some(0), "{story}");
    let looks = &closing["looks"];
    for seen in ["fetches", "ends", "metadata", "commits_of_a_generation"] {
        assert!(looks[seen].as_u64() >= Some(50), "{seen}: {story}");
    }
    let first = &closing["first_acknowledgement_s"];
    assert!(first["n"].as_u64() > Some(0), "no leader was lost: {story}");
}
