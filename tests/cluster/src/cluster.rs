//! Several brokers that form one cluster, in a directory that goes away with it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::machines::Machines;
use crate::mounts::Mount;
use crate::node::Node;
use crate::settings::{Settings, binary, broker_binary};
use crate::{ports, wait};

/// How long a cluster may take to form or a broker to return, on a machine that does other things too.
pub const READY: Duration = Duration::from_secs(60);

/// With this variable set, directories stay.
const KEEP: &str = "KEEP_CLUSTERS";

/// A cluster of brokers 1 to n, all of them voters, and of those that join later, which are not.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    // Behind the nodes: their processes end before what they use goes.
    machines: Option<Machines>,
    mounts: Vec<Mount>,
    directory: TempDir,
    /// `controller.quorum.voters`.
    voters: String,
    properties: Vec<(String, String)>,
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
                    environment: vec![],
                    process: None,
                }
            })
            .collect();
        let voters: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}@{}", node.id, node.controller))
            .collect();
        let voters = voters.join(",");
        for node in &mut nodes {
            fs::create_dir_all(&node.data)?;
            let text = properties(node, Some(&voters), &settings.properties);
            fs::write(&node.config, text)?;
        }
        Ok(Cluster {
            voters,
            properties: settings.properties.clone(),
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

    /// Adds a broker without a vote, on loopback, and waits until it is ready; gives its id.
    pub fn add_broker(&mut self) -> Result<i32> {
        let id = self.nodes.iter().map(|node| node.id).max().unwrap_or(0) + 1;
        let free = ports::free(3)?;
        let address = |of: usize| SocketAddr::from(([127, 0, 0, 1], free[of]));
        let data = self.directory.path().join(format!("broker-{id}"));
        let node = Node {
            id,
            address: address(0),
            controller: address(1),
            http: address(2),
            dirs: vec![data.clone()],
            data,
            launcher: vec![],
            config: self
                .directory
                .path()
                .join(format!("broker-{id}.properties")),
            log: self.directory.path().join(format!("broker-{id}.log")),
            binary: broker_binary()?,
            environment: vec![],
            process: None,
        };
        fs::create_dir_all(&node.data)?;
        let text = properties(&node, None, &self.properties);
        let text = format!("{text}controller.quorum.voters={}\n", self.voters);
        fs::write(&node.config, text)?;
        self.nodes.push(node);
        self.restart(id)?;
        Ok(id)
    }

    /// Runs our command line against this cluster; what it printed on standard output.
    pub fn millrace(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(binary("millrace")?)
            .args(arguments)
            .env("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "millrace {arguments:?}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
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

    /// The directory stays, to be looked at.
    pub fn keep(&mut self) {
        self.directory.disable_cleanup(true);
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

/// The `server.properties` of one broker: a voter, or without `voters` one that is none.
fn properties(node: &Node, voters: Option<&str>, more: &[(String, String)]) -> String {
    let (roles, controller) = match voters {
        Some(voters) => (
            format!("broker,controller\ncontroller.quorum.voters={voters}"),
            format!(",CONTROLLER://{}", node.controller),
        ),
        None => ("broker".into(), String::new()),
    };
    let mut text = format!(
        "process.roles={roles}\n\
         node.id={}\n\
         listeners=PLAINTEXT://{}{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         http.listen={}\n\
         probe.interval.ms=0\n\
         log.dirs={}\n",
        node.id,
        node.address,
        node.http,
        node.data.display()
    );
    for (key, value) in more {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}
