//! A port that is taken stops `up` before it starts anything.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Result, ensure};
use cluster::ports::free;
use e2e::Stack;

const VARIABLES: [&str; 18] = [
    "BROKER_1_PORT",
    "BROKER_2_PORT",
    "BROKER_3_PORT",
    "CONTROLLER_1_PORT",
    "CONTROLLER_2_PORT",
    "CONTROLLER_3_PORT",
    "BROKER_1_HTTP_PORT",
    "BROKER_2_HTTP_PORT",
    "BROKER_3_HTTP_PORT",
    "POSTGRES_PORT",
    "OPENSEARCH_PORT",
    "OPENSEARCH_TRANSPORT_PORT",
    "S3_PORT",
    "PROMETHEUS_PORT",
    "WEBLOG_GENERATOR_HTTP_PORT",
    "BAKERY_PRODUCER_HTTP_PORT",
    "ETL_HTTP_PORT",
    "ARCHIVER_HTTP_PORT",
];

#[test]
fn a_taken_port_is_named_with_its_owner_and_its_variable() -> Result<()> {
    // Given a stack whose PostgreSQL port this test holds
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let ports = free(VARIABLES.len())?;
    let texts: Vec<String> = VARIABLES
        .iter()
        .zip(ports)
        .map(|(name, other)| {
            if *name == "POSTGRES_PORT" {
                port
            } else {
                other
            }
            .to_string()
        })
        .collect();
    let mut variables: Vec<(&str, &str)> = VARIABLES
        .iter()
        .zip(&texts)
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    variables.push(("PORTS", ""));
    let stack = Stack::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "ports", &variables)?;
    // When it is started
    let output = stack.attempt(&["up"])?;
    // Then it says which port, who has it and what to change, and nothing has been started
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it started: {message}");
    for word in [
        format!("port {port}"),
        String::from("set POSTGRES_PORT"),
        format!("(pid {})", std::process::id()),
        String::from("Nothing has been started"),
    ] {
        ensure!(message.contains(&word), "no {word:?} in: {message}");
    }
    let started = stack.processes()?;
    ensure!(started.is_empty(), "left behind: {started:#?}");
    Ok(())
}
