//! What the tables in `schema/` say: messages, structures, fields, types. The build script makes the codec from
//! this; tests go through all messages with it.

mod parse;

pub use parse::parse;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Request,
    Response,
    Key,
    Value,
    Data,
}

/// Inclusive at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    /// The API's key, or the type of a record; -1 for data that has neither.
    pub key: i16,
    pub versions: Versions,
    /// The first flexible version.
    pub flexible: Option<i16>,
    /// The first version that is defined but not offered.
    pub unstable: Option<i16>,
    pub fields: Vec<Field>,
    pub shared: Vec<Structure>,
}

#[derive(Clone, Debug)]
pub struct Structure {
    pub name: String,
    pub versions: Versions,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub rigid: bool,
    /// Of a structure defined in place.
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A number, a bool or a uuid: the reader's and writer's method and the Rust type.
    Plain(&'static str, &'static str),
    String,
    Bytes,
    Records,
    Structure(String),
    Array(Box<Type>),
}

impl Versions {
    pub fn contains(self, other: Versions) -> bool {
        self.min <= other.min && other.max <= self.max
    }
}

impl Message {
    /// The message itself and every structure in it, each once.
    pub fn structures(&self) -> Vec<Structure> {
        let mut all = vec![Structure {
            name: self.name.clone(),
            versions: self.versions,
            fields: self.fields.clone(),
        }];
        all.extend(self.shared.iter().cloned());
        let mut next = 0;
        while next < all.len() {
            for field in all[next].fields.clone() {
                if let (Some(name), false) = (field.kind.structure(), field.fields.is_empty()) {
                    all.push(Structure {
                        name: name.to_owned(),
                        versions: field.versions,
                        fields: field.fields,
                    });
                }
            }
            next += 1;
        }
        all
    }

    pub fn structure(&self, name: &str) -> Structure {
        let found = self.structures().into_iter().find(|s| s.name == name);
        found.unwrap_or_else(|| panic!("{}: no structure {name}", self.name))
    }
}

impl Type {
    pub fn structure(&self) -> Option<&str> {
        match self {
            Type::Structure(name) => Some(name),
            Type::Array(element) => element.structure(),
            _ => None,
        }
    }
}
