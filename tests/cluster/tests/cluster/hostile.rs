//! A small crowd of those that do not behave: `make hostile` as CI runs it.

use std::process::Command;

use cluster::binary;
use serde_json::Value;

#[test]
fn a_small_crowd_breaks_no_bound() {
    let hostile = binary("hostile").expect("it is built with this test");
    let run = Command::new(hostile)
        .args(["--seconds", "1", "--idle", "500", "--busy", "50"])
        .args(["--slow", "50", "--format", "json"])
        .output()
        .expect("it can be started");
    let story = String::from_utf8_lossy(&run.stderr);
    let closing = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}\n{story}\n{closing}", run.status);
    let closing: Value = serde_json::from_str(&closing).expect("the closing lines are JSON");
    println!("{closing:#}");
    let crowds = closing["crowds"].as_array().map_or(0, Vec::len);
    assert_eq!(crowds, 14, "{story}");
    assert!(closing["consumed"].as_u64() > Some(0), "{story}");
}
