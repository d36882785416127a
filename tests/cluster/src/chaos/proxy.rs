//! The TCP proxy that stands between a broker and everybody else while the network is bad: a program of its own, on the
//! broker's machine.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Chunks on their way in one direction of one connection; what comes faster waits in the sender's socket.
const ON_THE_WAY: usize = 256;
const CHUNK: usize = 16 << 10;
/// A connection that is to fall silent does so within this time.
const ONSET_MS: u64 = 1_500;

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Every chunk comes so much later.
    Late { least: Duration, most: Duration },
    /// Every connection is reset within this time.
    Reset { within: Duration },
    /// At some time within a second or two, every connection carries no requests (or no answers) any more, and stays open.
    Silent { requests: bool },
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Manner::Late { least, most } => {
                write!(f, "late:{}:{}", least.as_millis(), most.as_millis())
            }
            Manner::Reset { within } => write!(f, "reset:{}", within.as_millis()),
            Manner::Silent { requests: true } => write!(f, "silent:requests"),
            Manner::Silent { requests: false } => write!(f, "silent:answers"),
        }
    }
}

impl FromStr for Manner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Manner> {
        let words: Vec<&str> = text.split(':').collect();
        let time = |word: &str| word.parse().map(Duration::from_millis);
        match words[..] {
            ["late", least, most] => Ok(Manner::Late {
                least: time(least)?,
                most: time(most)?,
            }),
            ["reset", within] => Ok(Manner::Reset {
                within: time(within)?,
            }),
            ["silent", "requests"] => Ok(Manner::Silent { requests: true }),
            ["silent", "answers"] => Ok(Manner::Silent { requests: false }),
            _ => bail!("{text}: no manner of a proxy"),
        }
    }
}

/// A port to listen on, and where its connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub port: u16,
    pub to: SocketAddr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.port, self.to)
    }
}

impl FromStr for Route {
    type Err = Error;

    fn from_str(text: &str) -> Result<Route> {
        let (port, to) = text.split_once('=').context("PORT=ADDRESS:PORT")?;
        Ok(Route {
            port: port.parse()?,
            to: to.parse()?,
        })
    }
}

/// Listens on all routes and does not come back.
pub fn run(routes: &[Route], manner: Manner, seed: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut dice = SmallRng::seed_from_u64(seed);
        let mut listeners = Vec::new();
        for route in routes {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, route.port));
            let listener = TcpListener::bind(any).await;
            let listener = listener.with_context(|| format!("listening on {any}"))?;
            let own = SmallRng::seed_from_u64(dice.random());
            listeners.push(tokio::spawn(listen(listener, route.to, manner, own)));
        }
        // Whoever started it waits for this line.
        println!("listening");
        for listener in listeners {
            listener.await??;
        }
        Ok(())
    })
}

async fn listen(
    listener: TcpListener,
    to: SocketAddr,
    manner: Manner,
    mut dice: SmallRng,
) -> Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let own = SmallRng::seed_from_u64(dice.random());
        tokio::spawn(async move {
            // Whatever happens to a connection is its own affair.
            let _ = carry(client, to, manner, own).await;
        });
    }
}

/// One connection, until it ends.
async fn carry(
    client: TcpStream,
    to: SocketAddr,
    manner: Manner,
    mut dice: SmallRng,
) -> Result<()> {
    let server = TcpStream::connect(to).await;
    let Ok(server) = server else {
        // As if it had been refused.
        return reset(&client);
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if let Manner::Reset { .. } = manner {
        // What is set now decides how the sockets are closed in the end.
        reset(&client)?;
        reset(&server)?;
    }
    let end = match manner {
        Manner::Reset { within } => Some(within.mul_f64(dice.random_range(0.05..1.0))),
        _ => None,
    };
    let onset = Instant::now() + Duration::from_millis(dice.random_range(0..ONSET_MS));
    let way = |is_request: bool, dice: &mut SmallRng| Way {
        late: match manner {
            Manner::Late { least, most } => Some((least, most)),
            _ => None,
        },
        mute_from: match manner {
            Manner::Silent { requests } if requests == is_request => Some(onset),
            _ => None,
        },
        dice: SmallRng::seed_from_u64(dice.random()),
    };
    let (there, back) = (way(true, &mut dice), way(false, &mut dice));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let both = async {
        tokio::join!(
            there.run(client_in, server_out),
            back.run(server_in, client_out)
        )
    };
    match end {
        Some(end) => tokio::select! {
            biased;
            () = sleep(end) => {}
            _ = both => {}
        },
        None => {
            both.await;
        }
    }
    Ok(())
}

/// Has a socket reset its connection when it is closed.
fn reset(stream: &TcpStream) -> Result<()> {
    Ok(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

/// One direction of a connection.
struct Way {
    late: Option<(Duration, Duration)>,
    mute_from: Option<Instant>,
    dice: SmallRng,
}

impl Way {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let read = async move {
            let mut chunk = vec![0; CHUNK];
            while let Ok(size @ 1..) = from.read(&mut chunk).await {
                if self.mute_from.is_some_and(|at| Instant::now() >= at) {
                    continue;
                }
                let at = Instant::now() + self.lateness();
                if queue.send((at, chunk[..size].to_vec())).await.is_err() {
                    break;
                }
            }
        };
        let write = async move {
            while let Some((at, chunk)) = due.recv().await {
                // In order: one that is due earlier than the one before it waits for that.
                sleep_until(at).await;
                if to.write_all(&chunk).await.is_err() {
                    break;
                }
            }
            let _ = to.shutdown().await;
        };
        tokio::join!(read, write);
    }

    fn lateness(&mut self) -> Duration {
        match self.late {
            Some((least, most)) => self.dice.random_range(least..=most),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_the_program_is_understood_by_it() {
        let time = Duration::from_millis;
        for manner in [
            Manner::Late {
                least: time(3),
                most: time(70),
            },
            Manner::Reset { within: time(900) },
            Manner::Silent { requests: true },
            Manner::Silent { requests: false },
        ] {
            let told: Manner = manner.to_string().parse().expect("its own words");
            assert_eq!(told, manner);
        }
        let route = Route {
            port: 17,
            to: SocketAddr::from(([198, 18, 0, 1], 9092)),
        };
        let told: Route = route.to_string().parse().expect("its own words");
        assert_eq!(told, route);
    }
}
