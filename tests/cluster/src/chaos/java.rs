//! The Java producer: compiled from `tests/cluster/java` with the client that `scripts/stack install clients` brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machines::program;

const CLASS: &str = "ChaosProducer";

/// A compiled producer.
#[derive(Debug)]
pub struct Java {
    java: PathBuf,
    class_path: String,
}

impl Java {
    /// Compiles it into `directory`. An error says what this system lacks.
    pub fn compile(directory: &Path) -> Result<Java> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let jars = jars(&source.join("../../.cache"))?;
        let (java, javac) = (program("java"), program("javac"));
        let class_path = format!("{}:{}/*", directory.display(), jars.display());
        let done = Command::new(javac.context("javac is missing")?)
            .args(["-cp", &class_path, "-d"])
            .arg(directory)
            .arg(source.join("java").join(format!("{CLASS}.java")))
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "javac: {}", said.trim());
        Ok(Java {
            java: java.context("java is missing")?,
            class_path,
        })
    }

    /// The words that start a producer.
    pub fn producer(
        &self,
        bootstrap: &str,
        number: u32,
        per_second: u32,
        journal: &str,
    ) -> Vec<String> {
        let mut words = vec![self.java.display().to_string()];
        // A small virtual machine that does not take the cores from the brokers.
        let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"];
        words.extend(options.map(String::from));
        words.extend(["-Dlog4j2.level=ERROR", "-cp"].map(String::from));
        words.extend([self.class_path.clone(), CLASS.into(), bootstrap.into()]);
        words.extend([number.to_string(), per_second.to_string(), journal.into()]);
        let places = super::field::places();
        words.extend(
            places
                .iter()
                .map(|p| format!("{}:{}", p.topic, p.partition)),
        );
        words
    }
}

/// Where Kafka's jars are.
fn jars(cache: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("kafka-"))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
        .pop()
        .context("Kafka's jars are missing: scripts/stack install clients")
}
