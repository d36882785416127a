//! One GET to a broker's HTTP port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a 200 answer; anything else is an error that holds the answer's first line and body.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    get_within(address, path, PATIENCE)
}

/// The same, with less or more patience for each step.
pub fn get_within(address: SocketAddr, path: &str, patience: Duration) -> Result<String> {
    let (status, body) = exchange(address, path, patience)?;
    if !status.starts_with("HTTP/1.1 200") {
        bail!("{path}: {status}: {body}");
    }
    Ok(body)
}

/// The body of the answer, whatever its status.
pub fn ask(address: SocketAddr, path: &str) -> Result<String> {
    exchange(address, path, PATIENCE).map(|(_, body)| body)
}

/// The answer's first line and its body.
fn exchange(address: SocketAddr, path: &str, patience: Duration) -> Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without a head")?;
    let status = head.lines().next().unwrap_or_default();
    Ok((status.to_string(), body.to_string()))
}
