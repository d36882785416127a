//! The ways from the services to their stores: proxies that carry everything on, until a fault has them do otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::{SeedableRng, random};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use super::answers::{Store, answer};

/// What a way does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It carries everything.
    Calm,
    /// Every connection is reset within this time.
    Resets { within: Duration },
    /// The store seems to be too busy: most requests are refused, and of those that it gets some seem to have failed.
    Storm,
}

/// How many have felt it, of whatever kind.
pub type Felt = Arc<AtomicU64>;

/// The way to one store.
#[derive(Debug)]
pub struct Way {
    /// Where services find it.
    pub address: SocketAddr,
    manner: watch::Sender<Manner>,
    felt: Felt,
}

/// The ways to all stores, and the threads that carry.
#[derive(Debug)]
pub struct Ways {
    pub postgres: Way,
    pub opensearch: Way,
    pub s3: Way,
    _carriers: Runtime,
}

impl Ways {
    /// Ways to the stores that `make env` names.
    pub fn open(environment: &BTreeMap<String, String>) -> Result<Ways> {
        let carriers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let way = |variable: &str, store| {
            let to = address_in(environment, variable)?.parse()?;
            carriers.block_on(Way::open(to, store))
        };
        Ok(Ways {
            postgres: way("DATABASE_URL", None)?,
            opensearch: way("OPENSEARCH_URL", Some(Store::Opensearch))?,
            s3: way("S3_ENDPOINT_URL", Some(Store::S3))?,
            _carriers: carriers,
        })
    }

    /// The same environment with these ways in the place of the stores.
    pub fn environment(
        &self,
        mut stores: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        for (variable, way) in [
            ("DATABASE_URL", &self.postgres),
            ("OPENSEARCH_URL", &self.opensearch),
            ("S3_ENDPOINT_URL", &self.s3),
        ] {
            let own = address_in(&stores, variable)?.to_owned();
            let value = stores[variable].replace(&own, &way.address.to_string());
            stores.insert(variable.to_owned(), value);
        }
        Ok(stores)
    }

    /// Everything is carried again.
    pub fn calm(&self) {
        for way in [&self.postgres, &self.opensearch, &self.s3] {
            way.set(Manner::Calm);
        }
    }
}

impl Way {
    async fn open(to: SocketAddr, store: Option<Store>) -> Result<Way> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (manner, seen) = watch::channel(Manner::Calm);
        let felt = Felt::default();
        let carrier = Carrier {
            to,
            store,
            manner: seen,
            felt: felt.clone(),
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let carrier = carrier.clone();
                // Whatever happens to a connection is its own affair.
                tokio::spawn(async move { carrier.carry(socket).await });
            }
        });
        Ok(Way {
            address,
            manner,
            felt,
        })
    }

    pub fn set(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// How many requests or connections have not been carried as they should, so far.
    pub fn felt(&self) -> u64 {
        self.felt.load(Ordering::Relaxed)
    }
}

/// `host:port` of an address such as `postgres://user:password@host:port/name`.
fn address_in<'a>(environment: &'a BTreeMap<String, String>, variable: &str) -> Result<&'a str> {
    let url = environment.get(variable);
    let url = url.with_context(|| format!("the stack has no {variable}"))?;
    let (_, rest) = url.split_once("://").with_context(|| url.clone())?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(authority.rsplit('@').next().unwrap_or_default())
}

#[derive(Debug, Clone)]
struct Carrier {
    to: SocketAddr,
    /// Whose words the way has to know; bytes where nothing is said.
    store: Option<Store>,
    manner: watch::Receiver<Manner>,
    felt: Felt,
}

impl Carrier {
    /// One connection, until it ends.
    async fn carry(self, mut socket: TcpStream) -> Result<()> {
        let Ok(mut store) = TcpStream::connect(self.to).await else {
            // As if it had been refused.
            return reset(&socket);
        };
        socket.set_nodelay(true)?;
        store.set_nodelay(true)?;
        let is_torn = match self.store {
            None => tokio::select! {
                biased;
                () = torn(self.manner.clone()) => true,
                _ = copy_bidirectional(&mut socket, &mut store) => false,
            },
            Some(speaks) => tokio::select! {
                biased;
                () = torn(self.manner.clone()) => true,
                carried = self.requests(&mut socket, &mut store, speaks) => {
                    carried?;
                    false
                }
            },
        };
        if is_torn {
            self.felt.fetch_add(1, Ordering::Relaxed);
            reset(&socket)?;
            reset(&store)?;
        }
        Ok(())
    }

    /// HTTP: the store's connection lasts as long as the service's.
    async fn requests(
        &self,
        socket: &mut TcpStream,
        store: &mut TcpStream,
        speaks: Store,
    ) -> Result<()> {
        let (sender, connection) = client::handshake(TokioIo::new(store)).await?;
        let sender = Mutex::new(sender);
        let service = service_fn(|request| {
            let is_storm = *self.manner.borrow() == Manner::Storm;
            answer(request, &sender, is_storm.then_some(speaks), &self.felt)
        });
        let mut serving =
            pin!(server::Builder::new().serve_connection(TokioIo::new(socket), service));
        tokio::select! {
            biased;
            served = &mut serving => return Ok(served?),
            _ = connection => {}
        }
        // The store has closed: what it said last is still to be delivered.
        serving.as_mut().graceful_shutdown();
        Ok(serving.await?)
    }
}

/// Waits until a connection is to be reset.
async fn torn(mut manner: watch::Receiver<Manner>) {
    let mut dice = SmallRng::seed_from_u64(random());
    loop {
        let now = *manner.borrow_and_update();
        let Manner::Resets { within } = now else {
            if manner.changed().await.is_err() {
                return;
            }
            continue;
        };
        let end = within.mul_f64(dice.random_range(0.05..1.0));
        tokio::select! {
            biased;
            () = sleep(end) => return,
            _ = manner.changed() => {}
        }
    }
}

/// Has a socket reset its connection when it is closed.
fn reset(stream: &TcpStream) -> Result<()> {
    Ok(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener as Listener, TcpStream as Socket};
    use std::thread;

    use cluster::http;

    use super::*;

    fn carriers() -> Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    }

    /// A store that answers each connection with these bytes as soon as it has been asked something.
    fn store(answer: &'static [u8]) -> SocketAddr {
        let listener = Listener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("a connection");
                let mut asked = [0; 1024];
                while matches!(socket.read(&mut asked), Ok(1..)) {
                    if socket.write_all(answer).is_err() {
                        break;
                    }
                }
            }
        });
        address
    }

    #[test]
    fn bytes_are_carried_until_connections_are_reset() {
        let carriers = carriers();
        let way = carriers.block_on(Way::open(store(b"pong"), None));
        let way = way.expect("a way");
        let mut socket = Socket::connect(way.address).expect("it listens");
        let mut ask = || {
            let mut answer = [0; 4];
            socket.write_all(b"ping")?;
            socket.read_exact(&mut answer).map(|()| answer)
        };
        assert_eq!(&ask().expect("it is calm"), b"pong");
        way.set(Manner::Resets {
            within: Duration::from_millis(50),
        });
        let torn = cluster::until(Duration::from_secs(10), "a reset", || Ok(ask().is_err()));
        assert!(torn.is_ok() && way.felt() == 1, "{torn:?}");
    }

    #[test]
    fn a_storm_refuses_most_and_ends() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let carriers = carriers();
        let way = carriers.block_on(Way::open(store(answer), Some(Store::S3)));
        let way = way.expect("a way");
        let carried = || {
            (0..100)
                .filter(|_| http::get(way.address, "/").is_ok())
                .count()
        };
        assert_eq!((carried(), way.felt()), (100, 0));
        way.set(Manner::Storm);
        let in_storm = carried();
        assert!((1..50).contains(&in_storm), "{in_storm}");
        assert_eq!(way.felt(), 100 - in_storm as u64);
        way.set(Manner::Calm);
        assert_eq!(carried(), 100);
    }

    #[test]
    fn a_store_that_is_away_is_away_behind_its_way_too() {
        let nobody = cluster::ports::free(1).expect("a port")[0];
        let carriers = carriers();
        let to = SocketAddr::from(([127, 0, 0, 1], nobody));
        let way = carriers.block_on(Way::open(to, Some(Store::S3)));
        assert!(http::ask(way.expect("a way").address, "/").is_err());
    }

    #[test]
    fn addresses_are_found_in_whatever_names_them() {
        let environment = BTreeMap::from([
            (
                "A".to_owned(),
                "postgres://me:pass@127.0.0.1:5/x".to_owned(),
            ),
            ("B".to_owned(), "http://127.0.0.1:6".to_owned()),
        ]);
        let found = |variable| address_in(&environment, variable).ok();
        assert_eq!(found("A"), Some("127.0.0.1:5"));
        assert_eq!(found("B"), Some("127.0.0.1:6"));
        assert_eq!(found("C"), None);
    }
}
