//! Makes valid messages of every kind and version straight from the tables, without the generated codec, and
//! hostile variants of them: for the tests of the codec and of what stands on it.

use crate::schema::{Field, Message, Type, parse};

/// The tables of `schema/`.
const TABLES: &[&str] = include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Every message of the tables, requests first, by ascending key.
pub fn messages() -> Vec<Message> {
    let parsed = TABLES
        .iter()
        .map(|table| parse(table).expect("the build script has read the same table"));
    let mut all: Vec<_> = parsed.flatten().collect();
    all.sort_by(|a, b| (a.kind, a.key, &a.name).cmp(&(b.kind, b.key, &b.name)));
    all
}

/// A count that no frame can hold.
pub const HUGE: u32 = i32::MAX as u32;

/// The bytes of one message.
#[derive(Debug)]
pub struct Generator<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    state: u64,
    /// Which array (counted in the order of writing) gets the count [`HUGE`].
    hostile: Option<usize>,
    /// Names of the arrays written so far.
    pub arrays: Vec<String>,
}

impl<'a> Generator<'a> {
    pub fn new(message: &'a Message, version: i16, seed: u64) -> Generator<'a> {
        let flexible = message.flexible.is_some_and(|from| version >= from);
        Generator {
            message,
            version,
            flexible,
            state: seed,
            hostile: None,
            arrays: Vec::new(),
        }
    }

    /// Gives the array with this index a count of 2^31 - 1.
    pub fn with_hostile_array(mut self, index: usize) -> Generator<'a> {
        self.hostile = Some(index);
        self
    }

    pub fn write(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.structure(&self.message.name, &mut out);
        out
    }

    /// splitmix64
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    fn structure(&mut self, name: &str, out: &mut Vec<u8>) {
        let version = self.version;
        let mut fields = self.message.structure(name).fields;
        fields.retain(|f| f.versions.min <= version && version <= f.versions.max);
        for field in fields.iter().filter(|f| f.tag.is_none()) {
            self.field(field, false, out);
        }
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<_> = fields.iter().filter(|f| f.tag.is_some()).collect();
        tagged.retain(|_| self.hostile.is_some() || self.below(2) == 0);
        tagged.sort_by_key(|f| f.tag);
        varint(tagged.len() as u32, out);
        for field in tagged {
            let mut content = Vec::new();
            self.field(field, true, &mut content);
            varint(field.tag.unwrap_or_default(), out);
            varint(content.len() as u32, out);
            out.extend(content);
        }
    }

    /// `set`: never null, empty or a default, for tagged fields are left out when they are.
    fn field(&mut self, field: &Field, set: bool, out: &mut Vec<u8>) {
        let version = self.version;
        let nullable = field
            .nullable
            .is_some_and(|n| n.min <= version && version <= n.max);
        let flexible = self.flexible && !field.rigid;
        let null = nullable && !set && self.hostile.is_none() && self.below(4) == 0;
        match &field.kind {
            Type::Structure(_) if null => out.push(0xff),
            Type::Structure(name) => {
                if field.nullable.is_some() {
                    out.push(1);
                }
                self.structure(name, out);
            }
            Type::Array(_) | Type::Bytes | Type::Records if null => length(None, flexible, out),
            Type::String if null && !flexible => out.extend((-1i16).to_be_bytes()),
            Type::String if null => out.push(0),
            Type::Array(element) => self.array(element, &field.name, set, flexible, out),
            kind => self.value(kind, set, flexible, out),
        }
    }

    fn array(&mut self, element: &Type, name: &str, set: bool, flexible: bool, out: &mut Vec<u8>) {
        let count = if set || self.hostile.is_some() {
            1 + self.below(2)
        } else {
            self.below(3)
        } as u32;
        let hostile = self.hostile == Some(self.arrays.len());
        self.arrays.push(name.to_owned());
        length(Some(if hostile { HUGE } else { count }), flexible, out);
        for _ in 0..count {
            match element {
                Type::Structure(name) => self.structure(name, out),
                kind => self.value(kind, set, flexible, out),
            }
        }
    }

    fn value(&mut self, kind: &Type, set: bool, flexible: bool, out: &mut Vec<u8>) {
        let random = if set {
            100 + self.below(27)
        } else {
            self.random()
        };
        match kind {
            Type::Plain(_, "bool") => out.push(if set { 1 } else { random as u8 & 1 }),
            Type::Plain(_, "f64") => out.extend((random as f64).to_be_bytes()),
            Type::Plain(_, "i8") => out.push(random as u8),
            Type::Plain(_, "i16" | "u16") => out.extend((random as u16).to_be_bytes()),
            Type::Plain(_, "i32" | "u32") => out.extend((random as u32).to_be_bytes()),
            Type::Plain(_, "i64") => out.extend(random.to_be_bytes()),
            Type::Plain(_, "Uuid") => out.extend(u128::from(random | 1).to_be_bytes()),
            Type::String => {
                let text = "abcdefghij\u{e9}";
                let text = &text[..1 + (random % 10) as usize];
                if flexible {
                    varint(text.len() as u32 + 1, out)
                } else {
                    out.extend((text.len() as i16).to_be_bytes())
                }
                out.extend(text.as_bytes());
            }
            Type::Bytes | Type::Records => {
                let bytes = vec![random as u8; 1 + (random % 600) as usize];
                length(Some(bytes.len() as u32), flexible, out);
                out.extend(bytes);
            }
            other => panic!("{other:?} has no plain value"),
        }
    }
}

fn length(count: Option<u32>, flexible: bool, out: &mut Vec<u8>) {
    match (count, flexible) {
        (Some(count), true) => varint(count + 1, out),
        (Some(count), false) => out.extend(count.to_be_bytes()),
        (None, true) => out.push(0),
        (None, false) => out.extend((-1i32).to_be_bytes()),
    }
}

fn varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
