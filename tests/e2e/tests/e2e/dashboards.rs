//! What dashboards and alerts ask, they are answered: on this mesh, whose Prometheus has scraped all of it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::mesh::Mesh;

/// Rates and recorded rules need some scrapes after a part has been started anew.
const PATIENCE_S: &str = "120";

pub fn every_query_is_answered(mesh: &Mesh) -> Result<()> {
    run(mesh, "queries.py", &["--wait", PATIENCE_S])
}

/// Metrics and stores are not protected: nobody but this machine may reach them.
pub fn everything_listens_on_loopback(mesh: &Mesh) -> Result<()> {
    let data = mesh.stack.data().display().to_string();
    run(mesh, "loopback.py", &[&data])
}

/// Runs a program of tests/dashboards with the mesh's addresses; it must succeed.
fn run(mesh: &Mesh, program: &str, arguments: &[&str]) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let output = Command::new("python3")
        .arg(folder.join(program))
        .args(arguments)
        .envs(mesh.environment())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.lines().last().unwrap_or_default());
    ensure!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
