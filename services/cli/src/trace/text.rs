//! The report for people.

use std::io::Write;

use chrono::DateTime;
use serde_json::Value;

use crate::output::Table;

/// Characters of a value or a row that are shown.
const SHOWN: usize = 200;

fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

pub fn print(out: &mut impl Write, report: &Value) -> anyhow::Result<()> {
    writeln!(
        out,
        "{}-{} offset {}",
        plain(&report["topic"]),
        report["partition"],
        report["offset"]
    )?;
    produced(out, &report["record"])?;
    replicated(out, &report["replication"])?;
    for (name, what) in [
        ("postgres", "row"),
        ("opensearch", "document"),
        ("s3", "object"),
    ] {
        sink(out, name, what, &report["sinks"][name])?;
    }
    spans(out, &report["record"], &report["spans"])?;
    Ok(out.flush()?)
}

fn produced(out: &mut impl Write, record: &Value) -> anyhow::Result<()> {
    if let Some(missing) = record["missing"].as_str() {
        writeln!(out, "produced    no record: {missing}")?;
        return Ok(());
    }
    writeln!(
        out,
        "produced    {}  key {}",
        plain(&record["timestamp"]),
        plain(&record["key"])
    )?;
    writeln!(out, "  value     {}", plain(&record["value"]))?;
    for (name, value) in record["headers"].as_object().into_iter().flatten() {
        writeln!(out, "  header    {name}: {}", plain(value))?;
    }
    match record["trace_id"].as_str() {
        Some(trace) => writeln!(out, "  trace     {trace}")?,
        None => writeln!(
            out,
            "  trace     none: its producer sent no traceparent header"
        )?,
    }
    Ok(())
}

fn replicated(out: &mut impl Write, replication: &Value) -> anyhow::Result<()> {
    let state = match replication["committed"].as_bool() {
        Some(true) => "committed",
        _ => "not in the log",
    };
    writeln!(
        out,
        "replicated  {state}: leader {}, in sync {} of {}, log start {}, high watermark {}",
        replication["leader"],
        replication["isr"],
        replication["replicas"],
        replication["log_start"],
        replication["high_watermark"]
    )?;
    Ok(())
}

fn sink(out: &mut impl Write, name: &str, what: &str, sink: &Value) -> anyhow::Result<()> {
    let place = match name {
        "opensearch" if sink["index"].is_string() => {
            format!("  {}/{}", plain(&sink["index"]), plain(&sink["id"]))
        }
        "s3" if sink["key"].is_string() => {
            format!("  {} line {}", plain(&sink["key"]), sink["line"])
        }
        _ => String::new(),
    };
    match sink["state"].as_str() {
        Some("stored") => {
            let as_expected = match sink["as_expected"].as_bool() {
                Some(true) => "as expected",
                Some(false) => "DIFFERENT from what the record must become",
                None => "not compared, as the record is gone",
            };
            writeln!(out, "{name:<12}{what} stored, {as_expected}{place}")?;
            let stored = match name {
                "s3" => &sink["stored"]["line"],
                _ => &sink["stored"],
            };
            writeln!(out, "  {what:<9} {}", plain(stored))?;
            if sink["expected"].is_object() {
                writeln!(out, "  expected  {}", plain(&sink["expected"]))?;
            }
        }
        state => writeln!(
            out,
            "{name:<12}no {what}: {}{}",
            match state {
                Some("dead-lettered") => "dead-lettered: ",
                _ => "",
            },
            plain(&sink["why"])
        )?,
    }
    if let Some(problem) = sink["problem"].as_str() {
        writeln!(out, "  problem   {problem}")?;
    }
    Ok(())
}

fn spans(out: &mut impl Write, record: &Value, spans: &Value) -> anyhow::Result<()> {
    let Some(found) = spans["found"].as_array() else {
        writeln!(out, "spans       none: {}", plain(&spans["missing"]))?;
        return Ok(());
    };
    let timestamp = record["timestamp"].as_str();
    let begin_us = timestamp
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map(|time| time.timestamp_micros());
    let first_us = found.first().and_then(|span| span["start_us"].as_i64());
    let zero_us = begin_us.or(first_us).unwrap_or(0);
    writeln!(out, "spans       times are from the record's timestamp on")?;
    let mut table = Table::new(["  AT", "TOOK", "SERVICE", "SPAN", "TRACE"]);
    for span in found {
        let at_us = span["start_us"].as_i64().unwrap_or(0) - zero_us;
        let instance = span["instance"].as_str().map(|name| format!(" ({name})"));
        table.row([
            format!("  {}", milliseconds(at_us)),
            milliseconds(span["duration_us"].as_i64().unwrap_or(0)),
            format!(
                "{}{}",
                plain(&span["service"]),
                instance.unwrap_or_default()
            ),
            plain(&span["name"]),
            plain(&span["trace_id"]),
        ]);
    }
    Ok(table.print(out)?)
}

fn milliseconds(us: i64) -> String {
    format!("{:.1} ms", us as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_thing_that_is_not_there_says_why() {
        let report = json!({
            "topic": "t", "partition": 1, "offset": 7,
            "record": {"missing": "retention has taken it"},
            "replication": {"leader": 1, "replicas": [1], "isr": [1], "log_start": 8, "high_watermark": 9, "committed": false},
            "sinks": {
                "postgres": {"state": "dead-lettered", "why": "the sink refused it"},
                "opensearch": {"state": "pending", "why": "not stored yet"},
                "s3": {"state": "stored", "stored": {"line": "{}"}, "key": "topics/t", "line": 3},
            },
            "spans": {"missing": "no tracing backend was asked"},
        });
        let mut text = Vec::new();
        print(&mut text, &report).expect("memory takes everything");
        let text = String::from_utf8(text).expect("text");
        for line in [
            "produced    no record: retention has taken it",
            "replicated  not in the log: leader 1",
            "postgres    no row: dead-lettered: the sink refused it",
            "opensearch  no document: not stored yet",
            "s3          object stored, not compared, as the record is gone  topics/t line 3",
            "spans       none: no tracing backend was asked",
        ] {
            assert!(
                text.lines().any(|found| found.starts_with(line)),
                "{line}\n{text}"
            );
        }
    }
}
