//! The topics of a consumer's subscription: the only part of a member's metadata that the coordinator reads.

use bytes::{Buf, Bytes};
use wire::Str;

/// Topics named by the metadata of a protocol of type `consumer` (ConsumerProtocolSubscription, any version: new
/// versions only append). None when the bytes are not such a subscription, as with other people's protocols.
pub(super) fn topics(metadata: &Bytes) -> Option<Vec<Str>> {
    let mut rest = metadata.clone();
    if rest.remaining() < 6 || rest.get_i16() < 0 {
        return None;
    }
    let count = usize::try_from(rest.get_i32()).ok()?;
    // Each topic takes at least its length field: no memory is reserved for what cannot be there.
    if count > rest.remaining() / 2 {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        if rest.remaining() < 2 {
            return None;
        }
        let len = usize::try_from(rest.get_i16()).ok()?;
        if rest.remaining() < len {
            return None;
        }
        topics.push(Str::copy_from(
            std::str::from_utf8(&rest.split_to(len)).ok()?,
        ));
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::topics;

    #[test]
    fn reads_the_topics_and_refuses_what_is_cut_short() {
        let whole = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff";
        let names: Vec<String> = topics(&Bytes::from_static(whole))
            .expect("a subscription")
            .iter()
            .map(|t| t.to_string())
            .collect();
        assert_eq!(names, ["a", "bc"]);
        for cut in 0..12 {
            assert!(
                topics(&Bytes::copy_from_slice(&whole[..cut])).is_none(),
                "cut at {cut}"
            );
        }
        assert!(topics(&Bytes::from_static(b"\x00\x00\x7f\xff\xff\xff")).is_none());
    }
}
