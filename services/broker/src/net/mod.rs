//! Sockets: listeners, connections, framing, and the limits that protect memory.

mod answers;
mod complaints;
mod connection;
mod frame;
mod limits;
mod share;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::Peer;
use crate::config::Endpoint;
use crate::env::{Env, Listener, Plane, watch};
use crate::server::Broker;
pub use answers::Answers;
pub use complaints::Complaints;
use connection::Shared;
pub use frame::{Frame, FrameError, FrameReader};
pub use limits::{ByteBudget, Connections, Place, Refused};
pub use share::{Cut, Held, Share, Usage};

/// A listener that is bound and does not accept yet, so that the port it got can be advertised.
pub struct Bound {
    endpoint: Endpoint,
    listener: Box<dyn Listener>,
    address: SocketAddr,
}

impl Bound {
    /// Binds one of `listeners`.
    pub async fn bind(env: &Env, endpoint: &Endpoint) -> io::Result<Bound> {
        let address = endpoint.bind_address();
        let listener = env.listen(&address).await.map_err(|error| {
            let text = format!("listener {} cannot bind {address}: {error}", endpoint.name);
            io::Error::new(error.kind(), text)
        })?;
        let address = listener.local_addr()?;
        Ok(Bound {
            endpoint: endpoint.clone(),
            listener,
            address,
        })
    }

    /// The listener's name.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// The port, as chosen by the system where 0 was asked for.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// The running listeners.
pub struct Net {
    stop: watch::Sender<Stop>,
    accepting: Vec<JoinHandle<()>>,
}

/// How long a connection may take to end once it is told to.
const CUT: Duration = Duration::from_millis(500);

/// What connections are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    No,
    /// When nothing waits any more.
    AfterAnswers,
    AtOnce,
}

impl Net {
    /// Starts to accept on every bound listener.
    pub fn start(broker: &Arc<Broker>, bound: Vec<Bound>) -> Net {
        let stop = watch::Sender::new(Stop::No);
        let stopping = stop.subscribe();
        let connections = Arc::new(Connections::default());
        let shared = Shared {
            broker: broker.clone(),
            budget: broker.requests.clone(),
            complaints: Arc::default(),
            stopping,
        };
        let accepting = bound
            .into_iter()
            .map(|bound| {
                let accept = accept(bound, shared.clone(), connections.clone());
                broker.env.spawn(Plane::Data, "accept", accept)
            })
            .collect();
        Net { stop, accepting }
    }

    /// Stops to accept, lets every connection finish the requests it has, up to `grace`. Whoever still waits then has
    /// its connection closed without an answer: what became of its records is not known here.
    pub async fn stop(self, grace: Duration) {
        for task in &self.accepting {
            task.abort();
        }
        self.tell(Stop::AfterAnswers);
        let _ = timeout(grace, self.stop.closed()).await;
        self.tell(Stop::AtOnce);
        let _ = timeout(CUT, self.stop.closed()).await;
    }

    fn tell(&self, connections: Stop) {
        self.stop.send_if_modified(|told| {
            *told = connections;
            true
        });
    }
}

async fn accept(mut bound: Bound, shared: Shared, connections: Arc<Connections>) {
    let listener: Arc<str> = bound.endpoint.name.as_str().into();
    let counts = shared.broker.metrics.connections(&listener);
    let env = &shared.broker.env;
    loop {
        let accepted = shared
            .complaints
            .accept(env, &mut *bound.listener, &listener);
        let (stream, address) = accepted.await;
        let broker = &shared.broker;
        let limits = broker.config.connection_limits(&broker.quorum.image());
        match connections.admit(address.ip(), limits) {
            Ok(place) => {
                let peer = Peer {
                    address,
                    listener: listener.clone(),
                };
                let serve = connection::task(shared.clone(), stream, peer);
                counts.created.inc();
                let closed = counts.closed.clone();
                shared
                    .broker
                    .env
                    .spawn(Plane::Data, "connection", async move {
                        serve.await;
                        drop(place);
                        closed.inc();
                    });
            }
            Err(reason) => {
                match reason {
                    Refused::Total(_) => broker.metrics.refused_total.inc(),
                    Refused::PerIp(_) => broker.metrics.refused_per_ip.inc(),
                }
                if shared.complaints.may_write(env.now()) {
                    tracing::warn!(peer = %address, listener = &*listener, %reason, "connection refused");
                }
            }
        }
    }
}
