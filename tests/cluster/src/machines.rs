//! A machine for each broker: a network namespace with an address of its own, behind a switch that can pull its cable.
//!
//! The switch is a bridge in a namespace of its own, so that the system's packet filters do not see what it carries.
//! Needs root and iproute2; everything goes away with the value.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};

/// Of RFC 2544's block for tests: 198.18.x.0/24, where x tells runs at the same time apart.
const BLOCK: [u8; 2] = [198, 18];
/// The test's own address in it.
const OWN: u8 = 254;

static MADE: AtomicU8 = AtomicU8::new(0);

/// The namespaces of one cluster.
#[derive(Debug)]
pub struct Machines {
    ip: PathBuf,
    /// Begins every name.
    tag: String,
    net: u8,
    count: usize,
}

impl Machines {
    /// What is missing on this system to have machines, if anything.
    pub fn lacking() -> Option<&'static str> {
        // A namespace that is made and removed at once: root alone may lack the right in a container.
        let name = format!("mr{}-try", process::id());
        let Some(ip) = program("ip") else {
            return Some("iproute2");
        };
        let tried = run(&ip, &format!("netns add {name}"))
            .and_then(|()| run(&ip, &format!("netns delete {name}")));
        tried.err().map(|_| "the right to make network namespaces")
    }

    /// Machines 1 to `count`.
    pub fn make(count: usize) -> Result<Machines> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let machines = Machines {
            ip: program("ip").context("no ip")?,
            tag: format!("mr{}{}", process::id(), (b'a' + number % 26) as char),
            net: (process::id() as u8).wrapping_add(number),
            count,
        };
        let switch = machines.name("sw");
        machines.run(&format!("netns add {switch}"))?;
        machines.run(&format!("-n {switch} link add br0 type bridge"))?;
        machines.run(&format!("-n {switch} link set br0 up"))?;
        machines.plug(&machines.tag, "")?;
        machines.run(&format!(
            "address add {}/24 dev {}",
            machines.address(OWN),
            machines.tag
        ))?;
        machines.run(&format!("link set {} up", machines.tag))?;
        for id in 1..=count {
            let name = machines.name(&id.to_string());
            let inside = format!("-n {name}");
            machines.run(&format!("netns add {name}"))?;
            machines.plug("eth0", &name)?;
            machines.run(&format!("{inside} link set lo up"))?;
            let address = machines.address(id as u8);
            machines.run(&format!("{inside} address add {address}/24 dev eth0"))?;
            machines.run(&format!("{inside} link set eth0 up"))?;
        }
        Ok(machines)
    }

    /// A cable from the switch to `link` in `namespace`; the test's own where that is empty.
    fn plug(&self, link: &str, namespace: &str) -> Result<()> {
        let switch = self.name("sw");
        let port = port(namespace.strip_prefix(&self.tag).unwrap_or(""));
        let place = if namespace.is_empty() {
            String::new()
        } else {
            format!("netns {namespace}")
        };
        self.run(&format!(
            "link add {link} {place} type veth peer name {port} netns {switch}"
        ))?;
        self.run(&format!("-n {switch} link set {port} master br0 up"))
    }

    /// The address of machine `id`.
    pub fn address_of(&self, id: i32) -> IpAddr {
        IpAddr::V4(self.address(id as u8))
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(BLOCK[0], BLOCK[1], self.net, host)
    }

    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.tag)
    }

    /// How a program is started on machine `id`.
    pub(crate) fn launcher(&self, id: i32) -> Vec<String> {
        let ip = self.ip.display().to_string();
        let name = self.name(&id.to_string());
        vec![ip, "netns".into(), "exec".into(), name]
    }

    /// Pulls the cable of machine `id`: nothing reaches it, nothing comes from it, nobody is told.
    pub fn cut(&self, id: i32) -> Result<()> {
        let (switch, port) = (self.name("sw"), port(&id.to_string()));
        self.run(&format!("-n {switch} link set {port} nomaster"))
    }

    /// The name of the namespace of machine `id`.
    pub fn namespace(&self, id: i32) -> String {
        self.name(&id.to_string())
    }

    /// The test's own address among the machines: where its clients come from.
    pub fn own_address(&self) -> IpAddr {
        IpAddr::V4(self.address(OWN))
    }

    /// Puts it back.
    pub fn heal(&self, id: i32) -> Result<()> {
        let (switch, port) = (self.name("sw"), port(&id.to_string()));
        self.run(&format!("-n {switch} link set {port} master br0"))
    }

    fn run(&self, command: &str) -> Result<()> {
        run(&self.ip, command)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        // Whatever was not made cannot be removed. A cable goes with either of its ends.
        for id in 1..=self.count {
            let _ = self.run(&format!("netns delete {}", self.name(&id.to_string())));
        }
        let _ = self.run(&format!("link delete {}", self.tag));
        let _ = self.run(&format!("netns delete {}", self.name("sw")));
    }
}

fn port(of: &str) -> String {
    format!("p{of}")
}

fn run(ip: &Path, command: &str) -> Result<()> {
    let done = Command::new(ip).args(command.split_whitespace()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ip {command}: {}", said.trim());
    Ok(())
}

/// Where a program is, also where only root's PATH has it.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}
