//! A minute of real chaos: `make chaos` as CI runs it.

use std::process::Command;

use cluster::binary;
use cluster::chaos::Field;
use serde_json::Value;

/// Fewer acknowledged records than this in a minute are no load, however busy the machine is.
const LEAST: u64 = 2_000;

#[test]
fn a_minute_of_chaos_breaks_no_promise() {
    if let Some(lacking) = Field::lacking() {
        println!("SKIPPED: no machines, disks or limits can be made here: {lacking} is missing");
        return;
    }
    let chaos = binary("chaos").expect("it is built with this test");
    let run = Command::new(chaos)
        .args(["--duration", "60s", "--seed", "7", "--format", "json"])
        .output()
        .expect("it can be started");
    let story = String::from_utf8_lossy(&run.stderr);
    let closing = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}\n{story}\n{closing}", run.status);
    let closing: Value = serde_json::from_str(&closing).expect("the closing lines are JSON");
    println!("{closing:#}");
    assert!(closing["acknowledged"].as_u64() >= Some(LEAST), "{story}");
    assert!(closing["polled"].as_u64() >= Some(LEAST), "{story}");
    assert!(closing["committed"].as_u64() > Some(0), "{story}");
    let first = &closing["first_acknowledgement_s"];
    assert!(first["n"].as_u64() > Some(0), "no leader was lost: {story}");
}
