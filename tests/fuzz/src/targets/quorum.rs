//! What nodes say to one another over the controller listener, and the layouts of what they store.

use broker::quorum::untrusted::{LAYOUTS, applied, read_frames, rewritten, transferred};
use engine::metadata::Image;
use tokio::runtime::Builder;

use super::take::Take;
use crate::memory;

const FLOOR: usize = 1 << 20;
/// Postcard's smallest elements take a byte and become a hundred.
const PER_BYTE: usize = 512;

/// Bytes as they come over a connection.
pub fn frames(input: &[u8]) {
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    memory::within(
        FLOOR + PER_BYTE * input.len(),
        "frames of the quorum",
        || {
            let mut from = input;
            let _ = runtime.block_on(read_frames(&mut from));
        },
    );
}

/// A layout (a byte), and its bytes. Then the same as a command: each chunk behind its length is applied to the metadata.
pub fn layouts(input: &[u8]) {
    let Some((layout, body)) = input.split_first() else {
        return;
    };
    let layout = LAYOUTS[usize::from(*layout) % LAYOUTS.len()];
    memory::within(FLOOR + PER_BYTE * input.len(), "a layout", || {
        if let Some(once) = rewritten(layout, body) {
            assert_eq!(rewritten(layout, &once).as_ref(), Some(&once), "{layout}");
        }
        history(body);
    });
}

/// Any commands of any peer, one after the other: none panics, and a snapshot carries what has become of them.
fn history(body: &[u8]) {
    let mut take = Take(body);
    let mut image = Image::default();
    let mut changed = false;
    while !take.is_empty() {
        if let Some(next) = applied(&image, take.chunk()) {
            assert!(next.index() > image.index(), "metadata only moves forward");
            (image, changed) = (next, true);
        }
    }
    if changed {
        assert_eq!(transferred(&image), image);
    }
}
