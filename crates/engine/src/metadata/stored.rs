//! How the protocol's own types are serialised in metadata records: ids as 16 bytes, text as text.

/// For fields of type [`wire::Uuid`].
pub mod uuid {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use wire::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        id.0.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        Ok(Uuid(<[u8; 16]>::deserialize(from)?))
    }
}

/// For fields of type [`wire::Str`].
pub mod text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use wire::Str;

    pub fn serialize<S: Serializer>(text: &Str, to: S) -> Result<S::Ok, S::Error> {
        text.as_str().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Str, D::Error> {
        Ok(Str::from(String::deserialize(from)?))
    }
}

/// For fields of type `Option<wire::Str>`.
pub mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use wire::Str;

    pub fn serialize<S: Serializer>(text: &Option<Str>, to: S) -> Result<S::Ok, S::Error> {
        text.as_ref().map(Str::as_str).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Str>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Str::from))
    }
}
