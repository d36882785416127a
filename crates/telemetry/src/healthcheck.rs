//! What a container's health check runs: one GET of the process's own /readyz, by the binary itself, as an image of
//! ours has neither curl nor wget.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long connecting, asking and answering may take each; Docker's own limit for a check is above their sum.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Of the answer, no more is read.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Asks the server that listens on `listen` (`host:port`, as [`crate::serve_http`] takes it) whether it is ready, and
/// gives the text of its answer.
///
/// # Errors
/// When it cannot be asked, or is not ready; then with the reasons that /readyz gives.
pub fn healthcheck(listen: &str) -> anyhow::Result<String> {
    let addr = own_address(listen).with_context(|| format!("{listen} is not an address"))?;
    let answer = get(addr, "/readyz").with_context(|| format!("http://{addr}/readyz"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(body.trim_end().to_owned()),
        "503" => bail!("not ready: {}", body.trim_end().replace('\n', "; ")),
        _ => bail!("http://{addr}/readyz answered {:?}", head.lines().next()),
    }
}

/// A server that listens on all addresses is asked on loopback.
fn own_address(listen: &str) -> io::Result<SocketAddr> {
    let mut addr = listen
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(addr)
}

fn get(addr: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Readiness, Registry, serve_http};

    async fn ask(listen: String) -> anyhow::Result<String> {
        tokio::task::spawn_blocking(move || healthcheck(&listen))
            .await
            .expect("the check does not panic")
    }

    #[tokio::test]
    async fn it_says_ready_or_why_not_or_that_nobody_answers() {
        let readiness = Readiness::waiting_for(["postgres", "store"]);
        let server = serve_http("0.0.0.0:0", Registry::new(), readiness.clone())
            .await
            .expect("a free port");
        let listen = server.local_addr().to_string();

        let waiting = ask(listen.clone()).await.expect_err("not ready yet");
        assert_eq!(
            format!("{waiting:#}"),
            "not ready: postgres: starting; store: starting"
        );

        readiness.ready("postgres");
        readiness.ready("store");
        assert_eq!(ask(listen.clone()).await.expect("ready"), "ready");

        server.stop().await;
        assert!(ask(listen).await.is_err());
        assert!(ask("nowhere".into()).await.is_err());
    }
}
