//! The log subscriber: lines for people on a terminal, one JSON object per line otherwise.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::traces;

/// What is logged when neither `RUST_LOG` nor `LOG_LEVEL` says otherwise. librdkafka repeats every lost connection at
/// level error; the services report outages themselves.
const DEFAULT_FILTER: &str = "info,rdkafka=warn,librdkafka=warn,openraft=off,sqlx=error";

/// Installs the process's log subscriber. Call it once, from `main` only.
///
/// Logs go to standard error, because standard output belongs to what a program produces (records, tables). `RUST_LOG`
/// takes `tracing-subscriber` directives (`info,etl=debug`), `LOG_LEVEL` a plain level; the former wins. A line that is
/// written during a span carries its `trace_id` and `span_id`.
///
/// # Errors
/// When the filter cannot be parsed, or a subscriber is installed already.
pub fn init_logs(service: &'static str) -> anyhow::Result<()> {
    let lines = if std::io::stderr().is_terminal() {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .map_event_format(|format| WithIds {
                format,
                style: Style::Plain,
            })
            .boxed()
    } else {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .map_event_format(|format| WithIds {
                format,
                style: Style::Json,
            })
            .boxed()
    };
    tracing_subscriber::registry()
        .with(filter()?)
        .with(lines)
        .try_init()
        .context("a log subscriber is installed already")?;
    tracing::info!(
        service,
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        "starting"
    );
    Ok(())
}

#[derive(Clone, Copy)]
enum Style {
    Plain,
    Json,
}

/// A line's format, and the ids of the span that the line was written during.
struct WithIds<F> {
    format: F,
    style: Style,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let Some((trace_id, span_id)) = traces::current_ids() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        match (self.style, line.strip_prefix('{')) {
            (Style::Json, Some(fields)) => write!(
                writer,
                r#"{{"trace_id":"{trace_id}","span_id":"{span_id}",{fields}"#
            ),
            _ => writeln!(
                writer,
                "{} trace_id={trace_id} span_id={span_id}",
                line.trim_end()
            ),
        }
    }
}

fn filter() -> anyhow::Result<EnvFilter> {
    let set = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    let directives = set("RUST_LOG")
        .or_else(|| set("LOG_LEVEL"))
        .unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    parse(&directives)
}

fn parse(directives: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(directives)
        .with_context(|| format!("RUST_LOG or LOG_LEVEL is {directives:?}; allowed are error, warn, info, debug, trace, or directives such as info,etl=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_and_plain_levels_are_filters_and_nonsense_is_refused_by_name() {
        assert!(parse(DEFAULT_FILTER).is_ok());
        assert!(parse("debug").is_ok());
        let refused = format!("{:#}", parse("etl=loudly").expect_err("not a level"));
        assert!(refused.contains("etl=loudly"), "{refused}");
    }
}
