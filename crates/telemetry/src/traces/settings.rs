//! The standard environment variables: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//! As there, an empty variable is one that is not set.

use std::time::Duration;

use anyhow::{anyhow, bail};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use super::Identity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http/protobuf",
        }
    }
}

/// How spans are gathered (`OTEL_BSP_*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batches {
    /// Spans that wait at most (`OTEL_BSP_MAX_QUEUE_SIZE`, 2048).
    pub queue: usize,
    /// Spans of one export at most (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, 512).
    pub size: usize,
    /// How long a batch waits for more (`OTEL_BSP_SCHEDULE_DELAY`, 5 s).
    pub delay: Duration,
    /// How long one export may take (`OTEL_BSP_EXPORT_TIMEOUT`, 30 s).
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Sampling {
    pub name: String,
    /// The part of root spans that is recorded.
    pub ratio: f64,
    pub sampler: Box<dyn ShouldSample>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// For the log: exporters read the address by themselves, with the rules for paths.
    pub endpoint: String,
    pub protocol: Protocol,
    pub sampler: Sampling,
    pub batches: Batches,
    service_name: Option<String>,
    instance_id: Option<String>,
}

impl Settings {
    /// `None` where traces are off: no endpoint is set, or they are switched off by name.
    pub(super) fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<Settings>> {
        let set = |name: &str| {
            variable(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let either = |name: &str| {
            set(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let is_disabled =
            set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        match set("OTEL_TRACES_EXPORTER").as_deref() {
            _ if is_disabled => return Ok(None),
            Some("none") => return Ok(None),
            None | Some("otlp") => {}
            Some(other) => bail!("OTEL_TRACES_EXPORTER is {other:?}; allowed are otlp and none"),
        }
        let Some(endpoint) = either("ENDPOINT") else {
            return Ok(None);
        };
        let protocol = match either("PROTOCOL").as_deref() {
            Some("grpc") => Protocol::Grpc,
            None | Some("http/protobuf") => Protocol::Http,
            Some(other) => {
                bail!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL is {other:?}; allowed are grpc and http/protobuf"
                )
            }
        };
        Ok(Some(Settings {
            endpoint,
            protocol,
            sampler: sampling(&set)?,
            batches: batches(&set)?,
            service_name: set("OTEL_SERVICE_NAME"),
            instance_id: set("INSTANCE_ID"),
        }))
    }

    pub(super) fn exporter(&self) -> anyhow::Result<SpanExporter> {
        let exporter = match self.protocol {
            Protocol::Grpc => SpanExporter::builder().with_tonic().build()?,
            Protocol::Http => SpanExporter::builder()
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .build()?,
        };
        Ok(exporter)
    }

    /// Who makes the spans. What the environment says wins.
    pub(super) fn resource(&self, identity: &Identity) -> Resource {
        let instance = identity
            .instance
            .clone()
            .or_else(|| self.instance_id.clone())
            .unwrap_or_else(host_and_process);
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", identity.service),
                KeyValue::new("service.namespace", "millrace"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance),
            ])
            .with_detectors(&[
                Box::new(TelemetryResourceDetector),
                Box::new(EnvResourceDetector::new()),
            ]);
        match &self.service_name {
            Some(name) => resource.with_service_name(name.clone()).build(),
            None => resource.build(),
        }
    }
}

/// The host's name as the kernel has it, and the process.
fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn sampling(set: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Sampling> {
    let name = set("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name.as_str()),
    };
    let (ratio, root) = match root {
        "always_on" => (1.0, Sampler::AlwaysOn),
        "always_off" => (0.0, Sampler::AlwaysOff),
        "traceidratio" => {
            let ratio = ratio(set("OTEL_TRACES_SAMPLER_ARG"))?;
            (ratio, Sampler::TraceIdRatioBased(ratio))
        }
        _ => bail!(
            "OTEL_TRACES_SAMPLER is {name:?}; allowed are always_on, always_off and traceidratio, each also behind parentbased_"
        ),
    };
    let sampler: Box<dyn ShouldSample> = match is_parent_based {
        true => Box::new(Sampler::ParentBased(Box::new(root))),
        false => Box::new(root),
    };
    Ok(Sampling {
        name,
        ratio,
        sampler,
    })
}

fn ratio(text: Option<String>) -> anyhow::Result<f64> {
    let Some(text) = text else { return Ok(1.0) };
    let ratio = text
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| anyhow!("OTEL_TRACES_SAMPLER_ARG is {text:?}, not a number from 0 to 1"))
}

fn batches(set: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Batches> {
    let number = |name: &str, default: u64| match set(name) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(anyhow!("{name} is {text:?}, not a number above 0")),
        },
    };
    let size = |name: &str, default: u64| -> anyhow::Result<usize> {
        // A queue of spans is memory; beyond this somebody has mistyped.
        Ok(usize::try_from(number(name, default)?.min(1 << 20))?)
    };
    let queue = size("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)?;
    Ok(Batches {
        queue,
        size: size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?.min(queue),
        delay: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000)?),
        timeout: Duration::from_millis(number("OTEL_BSP_EXPORT_TIMEOUT", 30_000)?),
    })
}
