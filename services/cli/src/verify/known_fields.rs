//! The fields of a JSON object that matter. Others may stand beside them and hold anything that is JSON, even what no
//! program can hold in memory, such as 1e999: it is passed over as the sinks pass it over.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::store::Fields;

/// Names of fields, and of fields that are lists of objects with fields of their own.
#[derive(Clone, Copy, Debug)]
pub struct KnownFields {
    pub names: &'static [&'static str],
    pub lists: &'static [(&'static str, &'static [&'static str])],
}

/// A list of objects with these fields.
struct List(&'static [&'static str]);

impl KnownFields {
    /// # Errors
    /// When the text is not one JSON object, or a known field comes twice.
    pub fn of(self, text: &str) -> Result<Fields, String> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = self.deserialize(&mut deserializer);
        let whole = fields.and_then(|fields| deserializer.end().map(|()| fields));
        whole.map_err(|error| error.to_string())
    }
}

impl<'de> DeserializeSeed<'de> for KnownFields {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KnownFields {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key::<String>()? {
            let list = self.lists.iter().find(|(list, _)| *list == name);
            let value = match list {
                Some((_, names)) => map.next_value_seed(List(names))?,
                None if self.names.contains(&name.as_str()) => map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("{name} comes twice")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let object = KnownFields {
            names: self.0,
            lists: &[],
        };
        let mut objects = Vec::new();
        while let Some(fields) = list.next_element_seed(object)? {
            objects.push(Value::Object(fields));
        }
        Ok(Value::Array(objects))
    }
}
