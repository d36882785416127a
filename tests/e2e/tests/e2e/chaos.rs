//! `millrace chaos` on the mesh: it asks first, hurts only one that is well, and verifies in the end.

use std::process::Output;

use anyhow::{Result, ensure};

use crate::mesh::{GENERATORS, Mesh};

const FAULTS: [&str; 6] = [
    "millrace",
    "chaos",
    "--only",
    "kill-etl,kill-broker",
    "--seed",
    "1",
];

/// What it was told, and how it ended.
struct Told {
    status: Option<i32>,
    output: String,
    errors: String,
}

pub fn asks_first_hurts_and_verifies(mesh: &Mesh) -> Result<()> {
    // Given a mesh without its generators
    let sick = chaos(mesh, &["--yes"])?;
    ensure!(sick.status == Some(1), "{}", sick.errors);
    ensure!(sick.errors.contains("is stopped"), "{}", sick.errors);

    // When it is well, nothing happens to it unless somebody says yes
    mesh.start_again(GENERATORS)?;
    let before = pids(mesh)?;
    let shown = chaos(mesh, &["--dry-run"])?;
    ensure!(shown.status == Some(0), "{}", shown.errors);
    for line in ["etl: kill -9", "broker-"] {
        ensure!(shown.output.contains(line), "{}", shown.output);
    }
    let unasked = chaos(mesh, &[])?;
    ensure!(unasked.status == Some(2), "{}", unasked.errors);
    ensure!(unasked.errors.contains("--yes"), "{}", unasked.errors);
    let refused = told(mesh.stack.on_terminal(&FAULTS, "n\n")?)?;
    ensure!(refused.status == Some(0), "{}", refused.output);
    ensure!(
        refused.output.contains("nothing was done"),
        "{}",
        refused.output
    );
    ensure!(pids(mesh)? == before, "something was hurt");

    // Then each part is hurt, comes back, and each record is found
    let hurt = told(mesh.stack.on_terminal(&FAULTS, "y\n")?)?;
    ensure!(hurt.status == Some(0), "{}\n{}", hurt.output, hurt.errors);
    let after = pids(mesh)?;
    let changed = before.iter().zip(&after).filter(|(was, is)| was != is);
    ensure!(changed.count() == 2, "{before:?} {after:?}");
    mesh.stop(GENERATORS)
}

fn chaos(mesh: &Mesh, further: &[&str]) -> Result<Told> {
    told(mesh.stack.attempt(&[&FAULTS[..], further].concat())?)
}

fn told(output: Output) -> Result<Told> {
    Ok(Told {
        status: output.status.code(),
        output: String::from_utf8(output.stdout)?,
        errors: String::from_utf8(output.stderr)?,
    })
}

/// The processes that may be hurt.
fn pids(mesh: &Mesh) -> Result<Vec<u64>> {
    let parts = ["broker-1", "broker-2", "broker-3", "etl"];
    parts.iter().map(|part| mesh.stack.pid(part)).collect()
}
