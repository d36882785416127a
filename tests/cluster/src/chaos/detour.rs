//! A broker's connections led through a proxy on its machine: those of its clients, and its own to other brokers.
//!
//! The packet filter redirects new connections to the proxy and resets those that were there before, so that nobody
//! needs another address and nothing stands between when the network is well: then a refused connection is refused.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::field::Field;
use super::packet_filter::PacketFilter;
use super::proxy::{Manner, Route};
use crate::machines::program;

/// The proxy's ports; nobody else has any on these machines.
const FIRST_PORT: u16 = 8_001;
/// The group by which the packet filter knows the proxy's own connections.
const GROUP: u32 = 59_123;

/// The proxy and the rules that lead to it.
#[derive(Debug)]
pub struct Detour {
    filter: PacketFilter,
    proxy: Child,
}

impl Detour {
    pub fn open(field: &mut Field, victim: i32, manner: Manner) -> Result<Detour> {
        let own = [
            field.cluster.node(victim).address,
            field.cluster.node(victim).controller,
        ];
        let mut theirs = Vec::new();
        for (other, _) in field.others(victim)? {
            let node = field.cluster.node(other);
            theirs.extend([node.address, node.controller]);
        }
        let routes: Vec<Route> = own
            .iter()
            .chain(&theirs)
            .zip(FIRST_PORT..)
            .map(|(to, port)| Route { port, to: *to })
            .collect();
        let namespace = field.cluster.machines()?.namespace(victim);
        let mut detour = Detour {
            proxy: start(&namespace, &routes, manner)?,
            filter: field.filter(victim)?,
        };
        for route in &routes {
            match own.contains(&route.to) {
                true => detour.lead_in(route)?,
                false => detour.lead_out(route)?,
            }
        }
        Ok(detour)
    }

    /// Connections of others to the broker.
    fn lead_in(&mut self, route: &Route) -> Result<()> {
        let to = route.to.port();
        let redirect = format!(
            "-i eth0 -p tcp --dport {to} -j REDIRECT --to-ports {}",
            route.port
        );
        self.filter.add("nat", "PREROUTING", &redirect)?;
        // Redirected packets have another port by now: these are of older connections.
        let reset = format!("-i eth0 -p tcp --dport {to} -j REJECT --reject-with tcp-reset");
        self.filter.add("filter", "INPUT", &reset)
    }

    /// Connections of the broker to others.
    fn lead_out(&mut self, route: &Route) -> Result<()> {
        let SocketAddr::V4(to) = route.to else {
            anyhow::bail!("machines have IPv4 addresses");
        };
        let who = format!(
            "-d {} -p tcp --dport {} -m owner ! --gid-owner {GROUP}",
            to.ip(),
            to.port()
        );
        let redirect = format!("{who} -j REDIRECT --to-ports {}", route.port);
        self.filter.add("nat", "OUTPUT", &redirect)?;
        let reset = format!("{who} -j REJECT --reject-with tcp-reset");
        self.filter.add("filter", "OUTPUT", &reset)
    }

    /// Whether anybody has come this way.
    pub fn has_been_taken(&self) -> Result<bool> {
        self.filter.has_matched()
    }

    /// Everything is as before; connections through the proxy are closed.
    pub fn close(mut self) -> Result<()> {
        let gone = self.proxy.try_wait()?;
        self.filter.clear()?;
        ensure!(gone.is_none(), "the proxy has ended by itself: {gone:?}");
        Ok(())
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn start(namespace: &str, routes: &[Route], manner: Manner) -> Result<Child> {
    let (ip, setpriv) = (program("ip"), program("setpriv"));
    let mut child = Command::new(ip.context("no ip")?)
        .args(["netns", "exec", namespace])
        .arg(setpriv.context("no setpriv")?)
        .args(["--pdeathsig", "KILL", "--clear-groups"])
        .arg(format!("--regid={GROUP}"))
        .arg(std::env::current_exe()?)
        .args(["proxy", "--manner", &manner.to_string()])
        .args(routes.iter().map(Route::to_string))
        // A signal for the run is none for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("its output is piped")?;
    let read = BufReader::new(output).read_line(&mut line);
    if read.is_err() || line.trim() != "listening" {
        let _ = child.kill();
        let _ = child.wait();
        anyhow::bail!("the proxy does not listen");
    }
    Ok(child)
}
