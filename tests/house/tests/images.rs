//! What the Dockerfile promises, read from its text: it is built by BuildKit and the classic builder alike, and nothing
//! in an image runs as root.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const IMAGES: [&str; 6] = [
    "broker",
    "weblog-generator",
    "bakery-producer",
    "etl",
    "archiver",
    "cli",
];

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A stage's name, what it is from, and its instructions, with continued lines joined.
fn stages(dockerfile: &str) -> Vec<(String, String, Vec<String>)> {
    let joined = dockerfile.replace("\\\n", " ");
    let mut stages: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in joined.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), stages.last_mut()) {
            (["FROM", from, "AS", name], _) => {
                stages.push(((*name).into(), (*from).into(), Vec::new()));
            }
            ([_, ..], Some(stage)) if !line.starts_with('#') => stage.2.push(line.into()),
            _ => {}
        }
    }
    stages
}

/// The instructions that an image is made of: its own and those of the stages it stands on.
fn instructions(stages: &[(String, String, Vec<String>)], name: &str) -> Vec<String> {
    match stages.iter().find(|stage| stage.0 == name) {
        Some((_, from, own)) => [instructions(stages, from), own.clone()].concat(),
        None => Vec::new(),
    }
}

#[test]
fn any_builder_builds_every_image_and_none_runs_as_root() -> Result<()> {
    let text = read("deploy/docker/Dockerfile")?;
    ensure!(
        !text
            .lines()
            .any(|line| !line.starts_with('#') && line.contains("--mount")),
        "--mount needs BuildKit, which not every engine has"
    );
    ensure!(
        !text.to_lowercase().contains("# syntax"),
        "a syntax line needs a public registry"
    );
    for argument in ["BUILDER", "BASE"] {
        ensure!(
            text.contains(&format!("\nARG {argument}=")),
            "ARG {argument} is missing"
        );
    }
    let stages = stages(&text);
    for image in IMAGES {
        let made = instructions(&stages, image);
        let last = |word: &str| made.iter().rfind(|line| line.starts_with(word));
        ensure!(
            last("USER ").is_some_and(|user| user == "USER 1000:1000"),
            "{image} does not end as a numeric user that is not root: {:?}",
            last("USER ")
        );
        for word in [
            "HEALTHCHECK ",
            "STOPSIGNAL SIGTERM",
            "ENTRYPOINT [",
            "LABEL org.opencontainers.image.title",
        ] {
            ensure!(last(word).is_some(), "{image} has no {word}");
        }
    }
    Ok(())
}

#[test]
fn the_builder_has_the_toolchain_that_the_workspace_asks_for() -> Result<()> {
    let toolchain = read("rust-toolchain.toml")?;
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .context("channel")?;
    let channel = channel.trim_matches('"').trim_end_matches(".0");
    let builder = format!("\nARG BUILDER=rust:{channel}-bookworm\n");
    ensure!(
        read("deploy/docker/Dockerfile")?.contains(&builder),
        "the Dockerfile's builder is not {channel}"
    );
    Ok(())
}

#[test]
fn every_program_is_compiled_and_every_kafka_tool_has_its_name() -> Result<()> {
    let text = read("deploy/docker/Dockerfile")?.replace("\\\n", " ");
    let compiled = text
        .lines()
        .find_map(|line| line.split_once("PACKAGES=\""))
        .context("PACKAGES")?;
    let compiled: BTreeSet<&str> = compiled
        .1
        .trim_end_matches('"')
        .split("-p ")
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services");
    for service in fs::read_dir(services)? {
        let manifest = service?.path().join("Cargo.toml");
        let Ok(manifest) = fs::read_to_string(&manifest) else {
            continue;
        };
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .context("name")?
            .trim_matches('"');
        ensure!(
            compiled.contains(name),
            "the Dockerfile does not compile {name}"
        );
    }
    for tool in [
        "topics",
        "console-producer",
        "console-consumer",
        "consumer-groups",
        "configs",
        "broker-api-versions",
    ] {
        ensure!(
            text.contains(tool),
            "kafka-{tool}.sh has no link in /opt/kafka/bin"
        );
    }
    Ok(())
}
