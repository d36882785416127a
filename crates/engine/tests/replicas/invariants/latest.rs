//! Invariant 2: the latest offset never goes back for one client, and nothing is shown that is not committed (KIP-207).

use engine::ids::Offset;

use crate::clients::Consumer;

pub fn check(consumer: &mut Consumer, latest: Offset, committed_end: i64) {
    assert!(
        latest >= consumer.latest,
        "the latest offset went back from {} to {latest}",
        consumer.latest
    );
    assert!(
        latest.0 <= committed_end,
        "shown {latest}, but committed is only {committed_end}"
    );
    consumer.latest = latest;
}
