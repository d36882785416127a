//! Typed access to the given keys, with the errors that refuse a start.

use std::collections::BTreeMap;
use std::fmt;

use super::keys;

/// A value that refuses the start: the key, what was given and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The key.
    pub key: String,
    /// The value as given.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl Invalid {
    /// Names the key, the value and what is allowed.
    pub fn new(
        key: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Invalid {
            key: key.into(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={} cannot be used: it takes {}",
            self.key, self.value, self.allowed
        )
    }
}

impl std::error::Error for Invalid {}

/// The keys that were given, all of them known and well-formed.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<String, String>);

/// Keys that were given and have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Kafka knows them; this broker does not act on them.
    pub unsupported: Vec<String>,
    /// Nobody knows them.
    pub unknown: Vec<String>,
}

impl Values {
    /// Sorts the given keys into those with an effect and those without, and checks the values.
    pub fn check(given: BTreeMap<String, String>) -> Result<(Values, Ignored), Invalid> {
        let mut ignored = Ignored::default();
        let mut kept = BTreeMap::new();
        for (name, value) in given {
            let value = value.trim().to_string();
            match keys::find(&name) {
                Some(key) if key.kind.accepts(&value) => {
                    kept.insert(name, value);
                }
                Some(key) => return Err(Invalid::new(name, value, key.kind.to_string())),
                None if keys::is_unsupported(&name) => ignored.unsupported.push(name),
                None => ignored.unknown.push(name),
            }
        }
        Ok((Values(kept), ignored))
    }

    /// The value as given; empty counts as absent.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value or the table's default.
    ///
    /// # Panics
    /// If the table has no default for `key`: those are asked for with [`Values::given`].
    pub fn text(&self, key: &str) -> &str {
        self.given(key)
            .or_else(|| keys::find(key).and_then(|k| k.default))
            .unwrap_or_else(|| panic!("{key} has no default in the table of keys"))
    }

    /// A whole number, by value or default. The table has checked its form.
    pub fn whole<T: TryFrom<i64>>(&self, key: &str) -> T {
        whole(key, self.text(key))
    }

    /// A whole number if it was given.
    pub fn given_whole<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.given(key).map(|value| whole(key, value))
    }

    /// A number, by value or default.
    pub fn decimal(&self, key: &str) -> f64 {
        self.text(key)
            .parse()
            .expect("the table of keys checked the form")
    }

    /// A flag, by value or default.
    pub fn flag(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    /// All given keys, for `DescribeConfigs`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn whole<T: TryFrom<i64>>(key: &str, value: &str) -> T {
    value
        .parse::<i64>()
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .unwrap_or_else(|| panic!("the table of keys checked the form of {key}={value}"))
}
