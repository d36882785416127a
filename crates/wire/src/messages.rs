//! The messages, generated from the tables in `schema/`: one module for each message, which holds its structures;
//! the messages themselves are re-exported here.

/// What every generated module needs.
mod prelude {
    pub(super) use crate::writer::Tags;
    pub(super) use crate::{
        ApiKey, DecodeError, EncodeError, Message, Reader, RecordKey, Records, Request, Str, Uuid,
        Versioned, Writer,
    };
    pub(super) use bytes::Bytes;
}

// Generated: not every message uses every import, and its shape is the generator's, not a person's.
#[allow(unused_imports, clippy::all)]
mod generated {
    use super::prelude;

    include!(concat!(env!("OUT_DIR"), "/messages.rs"));
}

pub use generated::*;

include!(concat!(env!("OUT_DIR"), "/for_each.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    #[test]
    fn headers_and_records_have_kafkas_bytes() {
        let header = RequestHeader {
            request_api_key: 3,
            request_api_version: 12,
            correlation_id: 7,
            client_id: Some("ab".into()),
        };
        let mut w = Writer::new();
        header
            .encode(&mut w, ApiKey::Metadata.request_header_version(12))
            .unwrap();
        assert_eq!(
            w.finish_contiguous().as_ref(),
            [0, 3, 0, 12, 0, 0, 0, 7, 0, 2, b'a', b'b', 0]
        );
        let key = OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 2,
        };
        let bytes = key.to_bytes().unwrap();
        assert_eq!(bytes.as_ref(), [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        assert_eq!(OffsetCommitKey::from_bytes(bytes), Ok(key));
    }

    #[test]
    fn apiversions_response_keeps_its_old_header() {
        assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
        assert_eq!(ApiKey::ApiVersions.request_header_version(4), 2);
        assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
    }
}
