//! Several brokers that form one cluster, in a directory that goes away with it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::machines::Machines;
use crate::mounts::Mount;
use crate::node::Node;
use crate::settings::{Settings, broker_binary};
use crate::{ports, wait};

/// How long a cluster may take to form or a broker to return, on a machine that does other things too.
pub const READY: Duration = Duration::from_secs(60);

/// With this variable set, directories stay.
const KEEP: &str = "KEEP_CLUSTERS";

/// A cluster of brokers 1 to n, all of them voters.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    // Behind the nodes: their processes end before what they use goes.
    machines: Option<Machines>,
    mounts: Vec<Mount>,
    directory: TempDir,
}

impl Cluster {
    /// Three brokers, ready.
    pub fn start() -> Result<Cluster> {
        Cluster::with(Settings::default())
    }

    /// As chosen, ready.
    pub fn with(settings: Settings) -> Result<Cluster> {
        let mut cluster = Cluster::prepare(&settings)?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Directories and configurations, and no process yet.
    pub fn prepare(settings: &Settings) -> Result<Cluster> {
        let directory = tempfile::Builder::new()
            .prefix("millrace-cluster-")
            // To look at the brokers' logs and files after a test.
            .disable_cleanup(std::env::var_os(KEEP).is_some())
            .tempdir()?;
        let binary = broker_binary()?;
        let ports = ports::free(settings.brokers * 3)?;
        let machines = settings.machines.then(|| Machines::make(settings.brokers));
        let machines = machines.transpose()?;
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let host = |id| machines.as_ref().map_or(loopback, |all| all.address_of(id));
        let mut nodes: Vec<Node> = (0..settings.brokers)
            .map(|index| {
                let id = index as i32 + 1;
                let address = |of: usize| SocketAddr::new(host(id), ports[index * 3 + of]);
                let data = directory.path().join(format!("broker-{id}"));
                Node {
                    id,
                    address: address(0),
                    controller: address(1),
                    http: address(2),
                    dirs: vec![data.clone()],
                    data,
                    launcher: machines.as_ref().map_or(vec![], |all| all.launcher(id)),
                    config: directory.path().join(format!("broker-{id}.properties")),
                    log: directory.path().join(format!("broker-{id}.log")),
                    binary: binary.clone(),
                    process: None,
                }
            })
            .collect();
        let voters: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}@{}", node.id, node.controller))
            .collect();
        for node in &mut nodes {
            fs::create_dir_all(&node.data)?;
            fs::write(
                &node.config,
                properties(node, &voters.join(","), &settings.properties),
            )?;
        }
        Ok(Cluster {
            nodes,
            machines,
            mounts: Vec::new(),
            directory,
        })
    }

    /// Starts every broker and waits until all are ready.
    pub fn start_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.start()?;
        }
        self.wait_ready()
    }

    /// The machines, where the settings asked for them.
    pub fn machines(&self) -> Result<&Machines> {
        self.machines
            .as_ref()
            .context("all brokers are on loopback")
    }

    /// Keeps a file system that brokers use until they have ended.
    pub fn hold(&mut self, mount: Mount) {
        self.mounts.push(mount);
    }

    /// The file systems that are held.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Waits until every broker that runs is ready.
    pub fn wait_ready(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.process.is_some() {
                node.wait_ready(READY)?;
            }
        }
        Ok(())
    }

    /// `bootstrap.servers` of all brokers.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|n| n.address.to_string()).collect();
        addresses.join(",")
    }

    /// Broker `id`, from 1.
    pub fn node(&mut self, id: i32) -> &mut Node {
        self.nodes
            .iter_mut()
            .find(|node| node.id == id)
            .expect("a test names a broker of its own cluster")
    }

    /// Starts a broker that was killed or stopped, and waits until it is ready.
    pub fn restart(&mut self, id: i32) -> Result<()> {
        self.node(id).start()?;
        self.node(id).wait_ready(READY)
    }

    /// A broker that runs.
    pub fn any_running(&mut self) -> Result<SocketAddr> {
        self.nodes
            .iter_mut()
            .find_map(|node| node.is_running().then_some(node.address))
            .context("no broker runs")
    }

    /// Waits with the harness's usual patience.
    pub fn until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Cluster) -> Result<bool>,
    ) -> Result<()> {
        wait::until(READY, what, || condition(self))
    }

    /// Where the brokers' directories, configurations and logs are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The last lines of every broker's log.
    pub fn log_tails(&self) -> String {
        let tails: Vec<String> = self.nodes.iter().map(Node::log_tail).collect();
        tails.join("\n")
    }
}

/// The `server.properties` of one broker.
fn properties(node: &Node, voters: &str, more: &[(String, String)]) -> String {
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id={}\n\
         controller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://{},CONTROLLER://{}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         http.listen={}\n\
         probe.interval.ms=0\n\
         log.dirs={}\n",
        node.id,
        node.address,
        node.controller,
        node.http,
        node.data.display()
    );
    for (key, value) in more {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}
