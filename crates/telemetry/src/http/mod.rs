//! The HTTP server of /metrics, /healthz and /readyz.
//!
//! [`router`] has no socket and [`serve`] takes any listener, so that a simulated network can carry it too.

mod limited;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Readiness;
use crate::metrics::{ReadySource, Registry};
use limited::Limited;

/// How long [`HttpServer::stop`] waits for answers under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Watched {
    registry: Registry,
    readiness: Readiness,
}

/// The three routes. /healthz answers 200 as long as the process runs; /readyz answers 200 when every part is ready, and
/// otherwise 503 with one line for each part that is not.
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    registry.source("ready", ReadySource(readiness.clone()));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(Watched {
            registry,
            readiness,
        })
}

/// Serves `router` on any listener until `stop` ends, to 64 connections at a time: when one more comes, the oldest goes once it has had 100 ms.
///
/// # Errors
/// What the listener's accept loop ends with.
pub async fn serve<L>(
    listener: L,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    axum::serve(Limited::new(listener), router)
        .with_graceful_shutdown(stop)
        .await
}

/// A server on a TCP port of the host, running until it is stopped or dropped.
pub struct HttpServer {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

/// Binds `addr` (`host:port`, port 0 for any free one) and serves the three routes there.
///
/// # Errors
/// When the address cannot be resolved or bound.
pub async fn serve_http(
    addr: &str,
    registry: Registry,
    readiness: Readiness,
) -> io::Result<HttpServer> {
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot serve metrics on {addr} (METRICS_ADDR): {error}"),
        )
    })?;
    let addr = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, router(registry, readiness), async move {
        // A dropped sender means the same as a sent value.
        let _ = stopped.await;
    }));
    tracing::info!(%addr, "serving /metrics, /healthz and /readyz");
    Ok(HttpServer {
        addr,
        stop: Some(stop),
        task,
    })
}

impl HttpServer {
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops the server; answers under way get two seconds.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

async fn metrics(State(watched): State<Watched>) -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (format, watched.registry.render()).into_response()
}

async fn readyz(State(watched): State<Watched>) -> Response {
    let reasons = watched.readiness.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let text: String = reasons
        .iter()
        .map(|(part, reason)| format!("{part}: {reason}\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Family;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    const WAIT: Duration = Duration::from_secs(30);

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.expect("the server listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("request sent");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("an answer in UTF-8");
        answer
    }

    #[tokio::test]
    async fn a_server_shows_metrics_and_says_why_it_is_not_ready() {
        let registry = Registry::new();
        static TEST: Family = Family::counter("millrace_test_total", &[], "A test");
        let counter = registry.counter(&TEST);
        counter.inc();
        let readiness = Readiness::waiting_for(["postgres"]);

        let server = serve_http("127.0.0.1:0", registry, readiness.clone())
            .await
            .expect("a free port");
        let addr = server.local_addr();
        assert!(
            get(addr, "/metrics")
                .await
                .contains("millrace_test_total 1")
        );
        assert!(get(addr, "/metrics").await.contains("millrace_ready 0"));
        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waiting = get(addr, "/readyz").await;
        assert!(
            waiting.starts_with("HTTP/1.1 503") && waiting.contains("postgres: starting"),
            "{waiting}"
        );

        readiness.ready("postgres");
        assert!(get(addr, "/readyz").await.starts_with("HTTP/1.1 200"));

        server.stop().await;
        assert!(TcpStream::connect(addr).await.is_err());
    }

    #[tokio::test]
    async fn a_crowd_that_stays_locks_nobody_out() {
        let server = serve_http("127.0.0.1:0", Registry::new(), Readiness::default())
            .await
            .expect("a free port");
        let addr = server.local_addr();
        let mut crowd = Vec::new();
        for _ in 0..3 * limited::MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(addr).await.expect("it accepts");
            let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await;
            sent.expect("the first bytes of a request");
            crowd.push(stream);
        }

        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
        // The oldest are gone, and the youngest are still there.
        let mut byte = [0];
        let closed = timeout(WAIT, crowd[0].read(&mut byte)).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
        let last = crowd.last_mut().expect("a crowd");
        last.write_all(b" test\r\nConnection: close\r\n\r\n")
            .await
            .expect("the rest of a request");
        let mut answer = String::new();
        let read = timeout(WAIT, last.read_to_string(&mut answer)).await;
        read.expect("in time").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
