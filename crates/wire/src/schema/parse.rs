//! Reads the line format of the tables. Every mistake in a table is an error with its line.

use super::{Field, Kind, Message, Structure, Type, Versions};

pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut lines = Lines {
        lines: Vec::new(),
        next: 0,
    };
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        if !content.is_empty() && !content.starts_with('#') {
            lines.lines.push(Line {
                number: number + 1,
                indent: line.len() - content.len(),
                content,
            });
        }
    }
    let mut messages = Vec::new();
    while let Some(line) = lines.take(0) {
        messages.push(message(line, &mut lines).map_err(|e| format!("line {}: {e}", line.number))?);
    }
    match lines.lines.get(lines.next) {
        Some(line) => Err(format!("line {}: unexpected indentation", line.number)),
        None => Ok(messages),
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    content: &'a str,
}

struct Lines<'a> {
    lines: Vec<Line<'a>>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line if it has this indentation.
    fn take(&mut self, indent: usize) -> Option<Line<'a>> {
        let line = *self
            .lines
            .get(self.next)
            .filter(|line| line.indent == indent)?;
        self.next += 1;
        Some(line)
    }
}

fn message(line: Line, lines: &mut Lines) -> Result<Message, String> {
    let mut words = line.content.split(' ').peekable();
    let kind = match words.next() {
        Some("request") => Kind::Request,
        Some("response") => Kind::Response,
        Some("key") => Kind::Key,
        Some("value") => Kind::Value,
        Some("data") => Kind::Data,
        _ => return Err("a message begins with its kind".to_owned()),
    };
    let name = words.next().ok_or("a message has a name")?.to_owned();
    let key = match words.next_if(|word| *word != "versions") {
        Some(key) => key.parse().map_err(|_| format!("`{key}` is not a key"))?,
        None => -1,
    };
    let everything = Versions {
        min: 0,
        max: i16::MAX,
    };
    let (mut range, mut flexible, mut unstable) = (None, None, None);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("`{word}` needs a value"))?;
        match word {
            "versions" => range = Some(versions(value, everything)?),
            "flexible" => flexible = Some(versions(value, everything)?.min),
            "unstable" => unstable = Some(versions(value, everything)?.min),
            _ => return Err(format!("`{word}` is unknown")),
        }
    }
    let versions = range.ok_or("a message has versions")?;
    let (mut all, mut shared) = (Vec::new(), Vec::new());
    while let Some(line) = lines.take(2) {
        match line.content.strip_prefix("struct ") {
            Some(name) => shared.push(Structure {
                name: name.to_owned(),
                versions,
                fields: fields(lines, 4, versions)?,
            }),
            None => all.push(field(line, lines, versions)?),
        }
    }
    Ok(Message {
        kind,
        name,
        key,
        versions,
        flexible,
        unstable,
        fields: all,
        shared,
    })
}

fn fields(lines: &mut Lines, indent: usize, outer: Versions) -> Result<Vec<Field>, String> {
    let mut all = Vec::new();
    while let Some(line) = lines.take(indent) {
        all.push(field(line, lines, outer)?);
    }
    Ok(all)
}

fn field(line: Line, lines: &mut Lines, outer: Versions) -> Result<Field, String> {
    let mut words = line.content.split(' ');
    let name = words.next().ok_or("a field has a name")?.to_owned();
    let word = words
        .next()
        .ok_or_else(|| format!("{name}: a field has a type"))?;
    let (word, null) = match word.split_once('?') {
        Some((word, null)) => (word, Some(null)),
        None => (word, None),
    };
    let (mut range, mut tag, mut default, mut rigid) = (outer, None, None, false);
    while let Some(word) = words.next() {
        match word {
            "tag" => {
                let value = words.next().and_then(|tag| tag.parse().ok());
                tag = Some(value.ok_or_else(|| format!("{name}: a tag is a number"))?);
            }
            "=" => {
                default = Some(
                    words
                        .next()
                        .ok_or_else(|| format!("{name}: no default"))?
                        .to_owned(),
                )
            }
            "rigid" => rigid = true,
            word => range = versions(word, outer).map_err(|e| format!("{name}: {e}"))?,
        }
    }
    if !outer.contains(range) {
        return Err(format!("{name}: its versions are outside of its parent's"));
    }
    let nullable = match null {
        None => None,
        Some("") => Some(range),
        Some(null) => Some(versions(null, range)?),
    };
    let inner = fields(lines, line.indent + 2, range)?;
    Ok(Field {
        name,
        kind: kind(word)?,
        versions: range,
        nullable,
        tag,
        default,
        rigid,
        fields: inner,
    })
}

fn kind(word: &str) -> Result<Type, String> {
    Ok(match word {
        "bool" => Type::Plain("bool", "bool"),
        "int8" => Type::Plain("i8", "i8"),
        "int16" => Type::Plain("i16", "i16"),
        "int32" => Type::Plain("i32", "i32"),
        "int64" => Type::Plain("i64", "i64"),
        "uint16" => Type::Plain("u16", "u16"),
        "uint32" => Type::Plain("u32", "u32"),
        "float64" => Type::Plain("f64", "f64"),
        "uuid" => Type::Plain("uuid", "Uuid"),
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        word => match word.strip_prefix("[]") {
            Some(element) => Type::Array(Box::new(kind(element)?)),
            None if word.starts_with(char::is_uppercase) => Type::Structure(word.to_owned()),
            None => return Err(format!("`{word}` is not a type")),
        },
    })
}

/// `3`, `3+` or `3-5`; the plus reaches to the end of `outer`.
fn versions(word: &str, outer: Versions) -> Result<Versions, String> {
    let number = |text: &str| {
        text.parse::<i16>()
            .map_err(|_| format!("`{word}` is not a range of versions"))
    };
    if let Some(min) = word.strip_suffix('+') {
        return Ok(Versions {
            min: number(min)?,
            max: outer.max,
        });
    }
    let (min, max) = word.split_once('-').unwrap_or((word, word));
    Ok(Versions {
        min: number(min)?,
        max: number(max)?,
    })
}
