//! A small crowd of those that do not behave: `make hostile` as CI runs it.

use crate::closing;

#[test]
fn a_small_crowd_breaks_no_bound() {
    let small = [
        "--seconds",
        "1",
        "--idle",
        "500",
        "--busy",
        "50",
        "--slow",
        "50",
    ];
    let (closing, story) = closing("hostile", &small);
    let crowds = closing["crowds"].as_array().map_or(0, Vec::len);
    assert_eq!(crowds, 17, "{story}");
    let compared = closing["latency"]["comparisons"].as_array();
    // Eight attacks and the idle ones; three kinds of waits, two quantiles of each.
    assert_eq!(compared.map_or(0, Vec::len), 9 * 6, "{story}");
    assert!(closing["consumed"].as_u64() > Some(0), "{story}");
}
