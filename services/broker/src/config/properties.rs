//! Reading `server.properties` (the format of `java.util.Properties`) and `KAFKA_*` variables.

use std::collections::BTreeMap;

/// Variables that the `apache/kafka` image keeps for its own start scripts.
const NOT_CONFIGURATION: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_BOOTSTRAP_SERVERS",
];

/// Parses a properties file. Of a key that is given twice the last value holds, as in Java.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_string();
        while ends_with_odd_backslashes(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let (key, value) = split(&logical);
        map.insert(unescape(key), unescape(value).trim_end().to_string());
    }
    map
}

/// Maps environment variables by the rule of the `apache/kafka` image: `KAFKA_` is cut off, `___`
/// means a dash, `__` an underscore and `_` a dot, and letters become lower case.
pub fn from_environment<I>(variables: I) -> BTreeMap<String, String>
where
    I: IntoIterator<Item = (String, String)>,
{
    variables
        .into_iter()
        .filter(|(name, _)| !NOT_CONFIGURATION.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix("KAFKA_")?;
            let key = rest
                .replace("___", "-")
                .replace("__", "\u{0}")
                .replace('_', ".");
            Some((key.replace('\u{0}', "_").to_lowercase(), value))
        })
        .collect()
}

fn ends_with_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Splits at the first `=`, `:` or white space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' => return (&line[..at], line[at + 1..].trim_start()),
            c if c.is_whitespace() => {
                let rest = line[at..].trim_start();
                let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (&line[..at], rest.trim_start());
            }
            _ => {}
        }
    }
    (line, "")
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let hex: String = chars.by_ref().take(4).collect();
                let decoded = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                out.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_properties_file_is_read_as_java_reads_it() {
        let text = "# comment\n! too\nnode.id=1\n listeners = PLAINTEXT://:9092,\\\n    CONTROLLER://:9093\n\
                    a:b\nspaced key\nlog.dirs=C\\:\\\\data\nempty=\nnode.id=2\n";
        let map = parse(text);
        assert_eq!(map["node.id"], "2");
        assert_eq!(map["listeners"], "PLAINTEXT://:9092,CONTROLLER://:9093");
        assert_eq!(map["a"], "b");
        assert_eq!(map["spaced"], "key");
        assert_eq!(map["log.dirs"], "C:\\data");
        assert_eq!(map["empty"], "");
    }

    #[test]
    fn variables_map_by_the_rule_of_the_image() {
        let map = from_environment([
            ("KAFKA_NODE_ID".into(), "3".into()),
            ("KAFKA_A__B".into(), "underscore".into()),
            ("KAFKA_A___B".into(), "dash".into()),
            ("KAFKA_HEAP_OPTS".into(), "-Xmx1G".into()),
            ("PATH".into(), "/bin".into()),
        ]);
        let want = [("a-b", "dash"), ("a_b", "underscore"), ("node.id", "3")];
        let got: Vec<_> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, want);
    }
}
