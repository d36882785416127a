//! `ApiKey`, generated from the tables, and the header versions that follow from it.

include!(concat!(env!("OUT_DIR"), "/api_key.rs"));

impl ApiKey {
    pub const fn code(self) -> i16 {
        self as i16
    }

    const fn is_flexible(self, version: i16) -> bool {
        match self.flexible_from() {
            Some(from) => version >= from,
            None => false,
        }
    }

    /// The version of the request header in front of this request.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header. ApiVersions always has 0: its client does not know yet what the broker
    /// speaks (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, ApiKey::ApiVersions) {
            1
        } else {
            0
        }
    }
}
