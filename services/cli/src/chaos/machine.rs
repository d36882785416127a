//! What this machine lets be done to a mesh: the user's rights, the kernel's controllers, the tools.

use std::fs;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::guard::{Guard, Recipe};
use super::plan::Kind;

/// A control group in which a broker is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub hierarchy: Hierarchy,
    /// The file that takes the limit, and the limit.
    pub file: &'static str,
    pub value: String,
    /// The file that counts how often it was hit; none where nothing counts.
    pub count: &'static str,
}

/// A mounted hierarchy of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    pub mount: PathBuf,
    /// Its controller in version 1; empty in version 2, which has them all.
    pub controller: &'static str,
}

/// Why something cannot be done here.
type Lack = String;

/// What is found out where it is asked for: some of it has to be tried.
#[derive(Debug)]
pub struct Machine {
    pub containers: bool,
    pub is_root: bool,
    /// Where the brokers' logs are.
    pub data: PathBuf,
    pub cuts: OnceLock<Result<Hierarchy, Lack>>,
    pub memory: OnceLock<Result<Limit, Lack>>,
    pub disk: OnceLock<Result<Limit, Lack>>,
    pub resets: OnceLock<Result<(), Lack>>,
}

impl Machine {
    pub fn new(containers: bool, data: &Path) -> Machine {
        Machine {
            containers,
            is_root: fs::metadata("/proc/self").is_ok_and(|own| own.st_uid() == 0),
            data: data.into(),
            cuts: OnceLock::new(),
            memory: OnceLock::new(),
            disk: OnceLock::new(),
            resets: OnceLock::new(),
        }
    }

    /// The control groups that the packet filter tells processes apart by.
    pub fn cuts(&self) -> Result<&Hierarchy, &Lack> {
        self.found(&self.cuts, cuts)
    }

    pub fn memory(&self) -> Result<&Limit, &Lack> {
        self.found(&self.memory, memory)
    }

    pub fn disk(&self) -> Result<&Limit, &Lack> {
        self.found(&self.disk, || disk(&self.data))
    }

    pub fn resets(&self) -> Result<&(), &Lack> {
        self.found(&self.resets, resets)
    }

    fn found<'a, T>(
        &self,
        place: &'a OnceLock<Result<T, Lack>>,
        find: impl FnOnce() -> Result<T, Lack>,
    ) -> Result<&'a T, &'a Lack> {
        let found = place.get_or_init(|| match self.is_root {
            true => find(),
            false => Err("only root may do that".to_owned()),
        });
        found.as_ref()
    }

    /// Why faults of this kind cannot be made here; nothing where they can.
    pub fn lacks(&self, kind: Kind) -> Option<Lack> {
        match self.containers {
            true => in_containers(kind).map(str::to_owned),
            false => self.lacks_natively(kind),
        }
    }

    fn lacks_natively(&self, kind: Kind) -> Option<Lack> {
        match kind {
            Kind::PartitionBroker | Kind::OnewayBroker => self.cuts().err().cloned(),
            Kind::ResetsBroker => self.resets().err().cloned(),
            Kind::MemoryBroker => self.memory().err().cloned(),
            Kind::SlowDisk => self.disk().err().cloned(),
            Kind::UnreadableDisk if self.is_root => {
                Some("the brokers run as root, whom no directory's mode keeps out".into())
            }
            _ => None,
        }
    }
}

fn in_containers(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::OnewayBroker => Some("a container's network is taken from it in both directions"),
        Kind::ResetsBroker => Some("a container's connections are in a network of its own"),
        Kind::MemoryBroker => {
            Some("containers have limits already (BROKER_MEMORY), which stay as they are")
        }
        Kind::FullDisk => Some("a container's settings stay as they are as long as it exists"),
        Kind::UnreadableDisk | Kind::SlowDisk => Some("the brokers' disks are volumes of Docker's"),
        _ => None,
    }
}

/// Whether a program is there.
fn program(name: &str) -> Result<(), Lack> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path
        .split(':')
        .any(|directory| Path::new(directory).join(name).is_file());
    match found {
        true => Ok(()),
        false => Err(format!("{name} is not installed")),
    }
}

fn cuts() -> Result<Hierarchy, Lack> {
    ["iptables", "ss", "awk"]
        .into_iter()
        .try_for_each(program)?;
    let hierarchy = Hierarchy::find("")?;
    let name = own_name("try");
    let recipe = Recipe {
        script: include_str!("scripts/try_cut.sh"),
        variables: vec![
            ("GROUP", hierarchy.mount.join(&name).display().to_string()),
            ("CHAIN", name.to_uppercase()),
            ("NAME", name),
        ],
        lasts: Duration::ZERO,
    };
    let tried = Guard::hold(&recipe).and_then(Guard::release);
    tried.map_err(|error| {
        format!("iptables cannot tell a process's packets apart here ({error})")
    })?;
    Ok(hierarchy)
}

/// The name of a control group, or chain, of this run.
pub fn own_name(purpose: &str) -> String {
    format!("millrace-{purpose}-{}", std::process::id())
}

fn memory() -> Result<Limit, Lack> {
    // New memory only, as what a process has had so far is counted where it was.
    const NEW_BYTES: u64 = 2 << 20;
    let limit = |controller, file, count| {
        let hierarchy = Hierarchy::find(controller)?;
        hierarchy.check(file)?;
        Ok(Limit {
            hierarchy,
            file,
            value: NEW_BYTES.to_string(),
            count,
        })
    };
    limit("", "memory.high", "memory.events")
        .or_else(|_: Lack| limit("memory", "memory.limit_in_bytes", "memory.failcnt"))
        .map_err(|_| "no memory controller of the kernel's can be written".to_owned())
}

fn disk(data: &Path) -> Result<Limit, Lack> {
    let (file, count) = ("io.max", "");
    let hierarchy = Hierarchy::find("")?;
    hierarchy.check(file)?;
    let device = fs::metadata(data)
        .map_err(|error| error.to_string())?
        .st_dev();
    let disk = disk_of(device)
        .map_err(|_| "the data is on no disk that the kernel could slow down".to_owned())?;
    let value = format!("{disk} rbps=262144 wbps=262144 riops=20 wiops=20");
    Ok(Limit {
        hierarchy,
        file,
        value,
        count,
    })
}

/// The whole disk that a device number belongs to, as the kernel writes it.
fn disk_of(device: u64) -> io::Result<String> {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    let place = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let whole = match place.join("partition").exists() {
        true => place.join("../dev"),
        false => place.join("dev"),
    };
    Ok(fs::read_to_string(whole)?.trim().to_owned())
}

/// Whether a connection of our own can be reset from outside.
fn resets() -> Result<(), Lack> {
    program("ss")?;
    match is_reset() {
        Ok(true) => Ok(()),
        _ => Err("this kernel does not let connections be reset from outside (`ss -K`)".into()),
    }
}

fn is_reset() -> io::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect(address)?;
    let _accepted = listener.accept()?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let filter = format!("sport = :{}", address.port());
    Command::new("ss")
        .args(["-K", "-tnH", "state", "connected", &filter])
        .output()?;
    let read = client.read(&mut [0]);
    Ok(read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset))
}

impl Hierarchy {
    fn find(controller: &'static str) -> Result<Hierarchy, Lack> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let mount = mounted(&mounts, controller);
        let mount =
            mount.ok_or_else(|| "the kernel's control groups are not mounted".to_owned())?;
        Ok(Hierarchy { mount, controller })
    }

    /// Whether groups can be made that have this file.
    fn check(&self, file: &str) -> Result<(), Lack> {
        let group = self.mount.join(own_name("try"));
        fs::create_dir(&group).map_err(|error| format!("no control group can be made: {error}"))?;
        let has_it = group.join(file).exists();
        let _ = fs::remove_dir(&group);
        match has_it {
            true => Ok(()),
            false => Err(format!("the kernel's control groups have no {file} here")),
        }
    }

    /// The group that a process is in.
    pub fn of(&self, pid: u64) -> io::Result<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = path_in(&text, self.controller).unwrap_or_default();
        Ok(self.mount.join(path.trim_start_matches('/')))
    }
}

/// Where a hierarchy is mounted.
fn mounted(mounts: &str, controller: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else {
            return None;
        };
        let is_it = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        is_it.then(|| PathBuf::from(place))
    })
}

/// A process's path in a hierarchy, out of its `/proc/<pid>/cgroup`.
fn path_in<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn machine(containers: bool, is_root: bool) -> Machine {
        Machine {
            is_root,
            ..Machine::new(containers, Path::new("."))
        }
    }

    fn possible(machine: &Machine) -> Vec<Kind> {
        let all = Kind::value_variants().iter().copied();
        all.filter(|kind| machine.lacks(*kind).is_none()).collect()
    }

    #[test]
    fn whoever_may_little_still_has_the_faults_that_need_nothing() {
        let possible = possible(&machine(false, false));
        for kind in [
            Kind::KillBroker,
            Kind::StopBroker,
            Kind::StormBroker,
            Kind::FullDisk,
            Kind::UnreadableDisk,
        ] {
            assert!(possible.contains(&kind), "{kind:?}");
        }
        let lack = machine(false, false).lacks(Kind::PartitionBroker);
        assert!(lack.is_some_and(|why| why.contains("root")));
    }

    #[test]
    fn root_is_told_that_modes_do_not_hold_root_back() {
        let lack = machine(false, true).lacks(Kind::UnreadableDisk);
        assert!(lack.is_some_and(|why| why.contains("root")));
    }

    #[test]
    fn containers_can_be_ended_held_cut_off_and_done_without() {
        use Kind::*;
        let wanted = [
            KillBroker,
            StopBroker,
            PauseBroker,
            StormBroker,
            PartitionBroker,
            KillEtl,
            KillArchiver,
            CrashPostgres,
            OutageOpensearch,
            OutageS3,
        ];
        assert_eq!(possible(&machine(true, true)), wanted);
    }

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(mounted(mounts, ""), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(
            mounted(mounts, "memory"),
            Some("/sys/fs/cgroup/memory".into())
        );
        assert_eq!(mounted(mounts, "io"), None);
        let of_a_process = "4:memory:/user\n1:cpu,cpuacct:/\n0::/system.slice/some:thing\n";
        assert_eq!(path_in(of_a_process, "memory"), Some("/user"));
        assert_eq!(path_in(of_a_process, ""), Some("/system.slice/some:thing"));
    }

    #[test]
    fn whatever_this_machine_is_each_fault_is_possible_or_its_lack_is_named() {
        let machine = Machine::new(false, Path::new("."));
        for kind in Kind::value_variants() {
            println!(
                "{kind:?}: {}",
                machine.lacks(*kind).unwrap_or("possible".into())
            );
            assert_ne!(machine.lacks(*kind).as_deref(), Some(""));
        }
        assert!(machine.is_root || machine.cuts().is_err());
    }
}
