//! A way to PostgreSQL that breaks at the worst moment: at a COMMIT, before it arrives or before its answer does, or falls
//! silent there without closing anything, as when a machine loses its power.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    None = 0,
    BeforeCommit = 1,
    AfterCommit = 2,
    Silence = 3,
}

/// Passes bytes on until it is told to cut, once.
#[derive(Clone)]
pub struct Proxy {
    next: Arc<AtomicU8>,
    pub port: u16,
}

impl Proxy {
    pub async fn to(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let proxy = Proxy {
            next: Arc::new(AtomicU8::new(Cut::None as u8)),
            port,
        };
        let shared = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("PostgreSQL");
                tokio::spawn(shared.clone().pass(client, server));
            }
        });
        proxy
    }

    pub fn cut_next(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// Ends with the connection, or when it was cut; dropping both sides closes them.
    async fn pass(self, mut client: TcpStream, mut server: TcpStream) {
        let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut from_client) => {
                    let Ok(count @ 1..) = read else { return };
                    let bytes = &from_client[..count];
                    let commits = bytes.windows(6).any(|window| window == b"COMMIT");
                    let cut = if commits { self.next.swap(Cut::None as u8, Ordering::SeqCst) } else { 0 };
                    if cut == Cut::Silence as u8 {
                        drop(server);
                        return std::future::pending().await;
                    }
                    if cut == Cut::BeforeCommit as u8 || server.write_all(bytes).await.is_err() {
                        return;
                    }
                    if cut == Cut::AfterCommit as u8 {
                        let answered = server.read(&mut from_server).await;
                        assert!(answered.is_ok_and(|count| count > 0), "PostgreSQL answers a COMMIT");
                        return;
                    }
                }
                read = server.read(&mut from_server) => {
                    let Ok(count @ 1..) = read else { return };
                    if client.write_all(&from_server[..count]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
