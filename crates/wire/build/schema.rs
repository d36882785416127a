//! What a table says: messages, structures, fields, types.

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

#[derive(Debug)]
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

    /// The condition on `version` that holds within these versions, given that `outer` holds; `None` when it
    /// always does.
    pub fn condition(self, outer: Versions) -> Option<String> {
        match (self.min > outer.min, self.max < outer.max) {
            (false, false) => None,
            (true, false) => Some(format!("version >= {}", self.min)),
            (false, true) => Some(format!("version <= {}", self.max)),
            (true, true) if self.min == self.max => Some(format!("version == {}", self.min)),
            (true, true) => Some(format!("({}..={}).contains(&version)", self.min, self.max)),
        }
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

    /// The Rust expression that tells whether `version` is flexible; a constant where it can be.
    pub fn is_flexible(&self) -> String {
        match self.flexible {
            None => "false".to_owned(),
            Some(from) if from <= self.versions.min => "true".to_owned(),
            Some(from) => format!("version >= {from}"),
        }
    }

    /// The fewest bytes of an element, over all versions.
    pub fn min_size(&self, kind: &Type) -> usize {
        (self.versions.min..=self.versions.max)
            .map(|v| self.min_size_at(kind, v))
            .min()
            .unwrap_or(1)
            .max(1)
    }

    fn min_size_at(&self, kind: &Type, version: i16) -> usize {
        let flexible = self.flexible.is_some_and(|from| version >= from);
        match kind {
            Type::Plain(_, "i8" | "bool") => 1,
            Type::Plain(_, "i16" | "u16") => 2,
            Type::Plain(_, "i32" | "u32") => 4,
            Type::Plain(_, "i64" | "f64") => 8,
            Type::Plain(_, "Uuid") => 16,
            Type::Plain(_, other) => panic!("no size for {other}"),
            Type::String if !flexible => 2,
            Type::Bytes | Type::Records | Type::Array(_) if !flexible => 4,
            Type::String | Type::Bytes | Type::Records | Type::Array(_) => 1,
            Type::Structure(name) => {
                let present = |f: &&Field| {
                    f.tag.is_none() && f.versions.min <= version && version <= f.versions.max
                };
                let structure = self.structure(name);
                let size = |f: &Field| match (&f.kind, f.nullable) {
                    (Type::Structure(_), Some(_)) => 1,
                    (kind, _) => self.min_size_at(kind, version),
                };
                structure
                    .fields
                    .iter()
                    .filter(present)
                    .map(size)
                    .sum::<usize>()
                    + usize::from(flexible)
            }
        }
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

    /// The Rust type, without `Option`.
    pub fn rust(&self) -> String {
        match self {
            Type::Plain(_, rust) => (*rust).to_owned(),
            Type::String => "Str".to_owned(),
            Type::Bytes => "Bytes".to_owned(),
            Type::Records => "Records".to_owned(),
            Type::Structure(name) => name.clone(),
            Type::Array(element) => format!("Vec<{}>", element.rust()),
        }
    }
}

impl Field {
    /// Records may be null whatever the table says: clients send null where they have none.
    pub fn is_option(&self) -> bool {
        self.nullable.is_some() || self.kind == Type::Records
    }

    /// The field's name as Rust wants it.
    pub fn ident(&self) -> String {
        match self.name.as_str() {
            "match" | "type" => format!("r#{}", self.name),
            name => name.to_owned(),
        }
    }
}

/// `FetchRequest` to `fetch_request`.
pub fn snake(name: &str) -> String {
    let mut text = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}
