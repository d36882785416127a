//! The command lines of Kafka's tools: long options, as jopt-simple reads them (`--name value`, `--name=value`, and
//! unambiguous beginnings of a name), errors with its words.

use std::fmt::Write;
use std::str::FromStr;

/// One option of a tool.
pub struct Flag {
    pub name: &'static str,
    pub takes: Takes,
    pub help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
    /// A value, if one follows.
    Optional,
    /// Kafka's tool has it; this one says that it has not.
    Unsupported,
}

pub const fn switch(name: &'static str, help: &'static str) -> Flag {
    flag(name, Takes::Nothing, help)
}

pub const fn value(name: &'static str, help: &'static str) -> Flag {
    flag(name, Takes::Value, help)
}

pub const fn optional(name: &'static str, help: &'static str) -> Flag {
    flag(name, Takes::Optional, help)
}

pub const fn unsupported(name: &'static str, help: &'static str) -> Flag {
    flag(name, Takes::Unsupported, help)
}

const fn flag(name: &'static str, takes: Takes, help: &'static str) -> Flag {
    Flag { name, takes, help }
}

/// Why a command line cannot be used; Kafka's tools end with 1 then.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

pub fn usage<T>(why: impl Into<String>) -> Result<T, Usage> {
    Err(Usage(why.into()))
}

/// What was given, in its order.
#[derive(Debug, Default)]
pub struct Given {
    options: Vec<(&'static str, Option<String>)>,
}

impl Given {
    /// Reads a command line.
    pub fn parse(flags: &'static [Flag], words: &[String]) -> Result<Given, Usage> {
        let mut given = Given::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(word) = word.strip_prefix("--") else {
                return usage(format!(
                    "{word} is not an option; all options begin with --"
                ));
            };
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            let flag = find(flags, name)?;
            let follows = |next: &&String| !next.starts_with('-');
            let value = match flag.takes {
                Takes::Unsupported => {
                    return usage(format!("--{} is not supported: {}", flag.name, flag.help));
                }
                Takes::Nothing => match joined {
                    Some(_) => return usage(format!("Option {} takes no argument", flag.name)),
                    None => None,
                },
                Takes::Optional => joined.or_else(|| words.next_if(follows).cloned()),
                Takes::Value => match joined.or_else(|| words.next().cloned()) {
                    Some(value) => Some(value),
                    None => return usage(format!("Option {} requires an argument", flag.name)),
                },
            };
            given.options.push((flag.name, value));
        }
        Ok(given)
    }

    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// Every value of an option that may be repeated.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.options
            .iter()
            .filter(move |(given, _)| *given == name)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// The value of an option that is given once.
    pub fn one<'a>(&'a self, name: &str) -> Result<Option<&'a str>, Usage> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => usage(format!(
                "Found multiple arguments for option {name}, but you asked for only one"
            )),
        }
    }

    pub fn required<'a>(&'a self, name: &str) -> Result<&'a str, Usage> {
        match self.one(name)? {
            Some(value) => Ok(value),
            None => usage(format!("Missing required argument \"[{name}]\"")),
        }
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Usage> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => usage(format!("Cannot parse argument '{text}' of option {name}")),
        }
    }

    /// Fails when one of `others` is given together with `name`.
    pub fn excludes(&self, name: &str, others: &[&str]) -> Result<(), Usage> {
        match others
            .iter()
            .find(|other| self.has(name) && self.has(other))
        {
            Some(other) => usage(format!(
                "Option \"[{name}]\" can't be used with option \"[{other}]\""
            )),
            None => Ok(()),
        }
    }
}

fn find(flags: &'static [Flag], name: &str) -> Result<&'static Flag, Usage> {
    if let Some(flag) = flags.iter().find(|flag| flag.name == name) {
        return Ok(flag);
    }
    let mut longer = flags.iter().filter(|flag| flag.name.starts_with(name));
    match (longer.next(), longer.next()) {
        (Some(flag), None) if !name.is_empty() => Ok(flag),
        _ => usage(format!("{name} is not a recognized option")),
    }
}

/// The list of options, as `--help` shows it.
pub fn help(purpose: &str, flags: &[Flag]) -> String {
    let mut text = format!("{purpose}\nOption\n------\n");
    for flag in flags {
        let value = match flag.takes {
            Takes::Nothing => "",
            Takes::Value => " <value>",
            Takes::Optional => " [value]",
            Takes::Unsupported => continue,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<38} {}",
            format!("--{}{value}", flag.name),
            flag.help
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        value("topic", "A topic."),
        value("topic-id", "An id."),
        switch("list", "All."),
        optional("state", "States."),
        value("shift-by", "How far."),
        unsupported("bootstrap-controller", "controllers are not asked"),
    ];

    fn parse(line: &str) -> Result<Given, Usage> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Given::parse(FLAGS, &words)
    }

    #[test]
    fn options_are_read_as_jopt_simple_reads_them() {
        let given = parse("--li --topic=a --state --shift-by -1 --topic b").expect("all are known");
        assert!(given.has("list") && given.has("state") && !given.has("topic-id"));
        assert_eq!(given.all("topic").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(given.number::<i64>("shift-by").expect("a number"), Some(-1));
        assert!(given.one("topic").is_err());
        let given = parse("--state stable,empty").expect("all are known");
        assert_eq!(given.one("state").expect("once"), Some("stable,empty"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (line, expected) in [
            ("--nonsense", "nonsense is not a recognized option"),
            ("--t x", "t is not a recognized option"),
            ("--topic", "Option topic requires an argument"),
            ("--list=1", "Option list takes no argument"),
            ("topic", "topic is not an option"),
            (
                "--bootstrap-controller x",
                "--bootstrap-controller is not supported: ",
            ),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
