//! docker-compose.yaml: every image pinned in `.env`, every setting documented, and no service without its limits.
//!
//! Read as text, with anchors followed; `make test-compose` checks the same on what Docker Compose makes of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| name.to_string())
}

/// `NAME=value` of the lines that `.env` sets.
fn pinned() -> Result<BTreeMap<String, String>> {
    let lines = read(".env")?;
    let set = lines.lines().filter(|line| !line.starts_with('#'));
    Ok(set
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect())
}

/// The names behind each `${` of `text`.
fn variables(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    // A doubled dollar is one for the container's own shell.
    let text = text.replace("$$", "");
    text.split("${").skip(1).map(name).collect()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The line at `first` and all that are indented deeper than it.
fn block(lines: &[&str], first: usize) -> String {
    let depth = indentation(lines[first]);
    let below = lines[first + 1..]
        .iter()
        .take_while(|line| line.trim().is_empty() || indentation(line) > depth);
    let mut text = lines[first].to_string();
    for line in below {
        text.push('\n');
        text.push_str(line);
    }
    text
}

/// `text` with the blocks behind its `*anchors`, and theirs.
fn resolved(lines: &[&str], text: &str, depth: usize) -> String {
    let mut whole = text.to_string();
    if depth == 0 {
        return whole;
    }
    for word in text.split([' ', '\n', '{', '}', ',']) {
        let Some(anchor) = word.strip_prefix('*') else {
            continue;
        };
        let mark = format!("&{anchor}");
        let found = |line: &&str| line.split_whitespace().any(|word| word == mark);
        if let Some(first) = lines.iter().position(found) {
            whole.push('\n');
            whole.push_str(&resolved(lines, &block(lines, first), depth - 1));
        }
    }
    whole
}

/// Each service's name and its whole text.
fn services(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| *line == "services:");
    let mut found = BTreeMap::new();
    let Some(begin) = begin else { return found };
    for (number, line) in lines.iter().enumerate().skip(begin + 1) {
        if !line.is_empty() && indentation(line) == 0 {
            break;
        }
        let name = line.trim().strip_suffix(':');
        if let (2, Some(name)) = (indentation(line), name) {
            let own = block(&lines, number);
            found.insert(name.to_string(), resolved(&lines, &own, 4));
        }
    }
    found
}

#[test]
fn every_image_is_pinned_in_dotenv_and_says_what_to_do_without_it() -> Result<()> {
    let (text, pinned) = (read("docker-compose.yaml")?, pinned()?);
    let mut used = BTreeSet::new();
    for line in text.lines() {
        let Some(image) = line.trim().strip_prefix("image: ") else {
            continue;
        };
        ensure!(
            image.starts_with("${") && image.contains("_IMAGE:?"),
            "{image}: not ${{X_IMAGE:?message}}"
        );
        used.extend(variables(image));
    }
    used.extend(["BUILDER_IMAGE".to_string(), "BASE_IMAGE".to_string()]);
    let named: BTreeSet<String> = pinned.keys().cloned().collect();
    ensure!(
        used == named,
        "docker-compose.yaml: {used:?}, .env: {named:?}"
    );
    for (name, image) in &pinned {
        let (_, tag) = image.rsplit_once(':').context(name.clone())?;
        let is_version = tag.contains(|c: char| c.is_ascii_digit()) || name == "BASE_IMAGE";
        ensure!(is_version, "{name}={image}: a tag that moves");
    }
    Ok(())
}

#[test]
fn every_variable_is_documented() -> Result<()> {
    let known = format!("{}\n{}", read(".env")?, read(".env.example")?);
    for name in variables(&read("docker-compose.yaml")?) {
        let documented = known.lines().any(|line| {
            line.trim_start_matches('#')
                .starts_with(&format!("{name}="))
        });
        ensure!(
            documented,
            "{name} stands neither in .env nor in .env.example"
        );
    }
    Ok(())
}

#[test]
fn every_service_has_limits_a_restart_policy_and_a_health_check() -> Result<()> {
    let services = services(&read("docker-compose.yaml")?);
    ensure!(services.len() >= 17, "only {:?}", services.keys());
    for (name, text) in &services {
        for wanted in [
            "restart: ",
            "limits: {cpus: ",
            "memory: ",
            "pids: ",
            "read_only: true",
            "cap_drop: [ALL]",
            "no-new-privileges:true",
            "networks: [mesh]",
            "max-size: ",
            "org.millrace.role: ",
        ] {
            ensure!(text.contains(wanted), "{name} lacks {wanted}");
        }
        // A command that ends by itself, and an image whose only program cannot be asked.
        if !["millrace", "otel-collector"].contains(&name.as_str()) {
            ensure!(text.contains("test: [CMD"), "{name} has no health check");
        }
        let published = text
            .lines()
            .filter(|line| line.trim_start().starts_with("ports:"));
        for line in published {
            let ports = line.matches(":-").count();
            let on_loopback = line.matches("\"127.0.0.1:").count();
            ensure!(
                ports == on_loopback,
                "{name}: {line}: others reach this port"
            );
        }
    }
    Ok(())
}

#[test]
fn the_stacks_run_the_same_opensearch_and_the_plugin_is_the_one_named() -> Result<()> {
    let parts = read("deploy/stack/parts.py")?;
    let pinned = pinned()?;
    let (_, version) = pinned["OPENSEARCH_IMAGE"]
        .rsplit_once(':')
        .context("no tag")?;
    ensure!(parts.contains(&format!("OPENSEARCH_VERSION = \"{version}\"")));
    let plugin = read("deploy/stack/compose_plugin.py")?;
    let module = read("deploy/compose/plugin/go.mod")?;
    let version = plugin
        .split_once("VERSION = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .context("no VERSION in compose_plugin.py")?
        .0;
    ensure!(module.contains(&format!("github.com/docker/compose/v2 {version}")));
    Ok(())
}

#[test]
fn the_chart_bundles_the_same_versions_as_compose() -> Result<()> {
    let (values, pinned) = (read("helm/millrace/values.yaml")?, pinned()?);
    for name in ["POSTGRES_IMAGE", "OPENSEARCH_IMAGE", "S3_IMAGE"] {
        let image = pinned.get(name).context(name)?;
        let (repository, version) = image.rsplit_once(':').context(name)?;
        let (_, behind) = values
            .split_once(&format!("repository: {repository}\n"))
            .with_context(|| format!("{repository} is not in the chart's values"))?;
        let tag = behind
            .lines()
            .find_map(|line| line.trim().strip_prefix("tag: "))
            .context("no tag")?;
        ensure!(
            tag.trim_matches('"') == version,
            "{repository}: {version} in .env, {tag} in the chart"
        );
    }
    Ok(())
}
