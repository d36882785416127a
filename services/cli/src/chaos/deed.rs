//! How each fault is made: by a signal, or by a script that a guard begins and ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::guard::Recipe;
use super::machine::{Hierarchy, Limit, Machine, own_name};
use super::plan::{Fault, Kind};
use super::stack::{Part, Stack};

/// Longer than the session after which a silent broker is fenced (`broker.session.timeout.ms`, 9 s).
const LONG: Duration = Duration::from_secs(12);
/// How long a store, or a directory, is away.
const AWAY: Duration = Duration::from_secs(8);
/// Something that is over as soon as it has happened.
const AT_ONCE: Duration = Duration::ZERO;
/// More free space than any disk has: an exbibyte.
const FLOOR_BYTES: u64 = 1 << 60;
/// How often a broker is killed in a storm.
pub const STORM: u32 = 4;
/// How often connections are reset, half a second apart.
const RESETS: u32 = 16;

/// What is done to a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Deed {
    /// Ends the process; its supervisor starts another.
    Signal(&'static str),
    /// Kills each process of the part that its supervisor starts, [`STORM`] times.
    Storm,
    Held(Recipe),
}

/// What carries out a fault on a part.
pub fn deed(fault: &Fault, part: &Part, stack: &Stack, machine: &Machine) -> anyhow::Result<Deed> {
    let away = [
        ("STACK_COMMAND", stack.command.clone()),
        ("PART", part.name.clone()),
    ];
    match fault.kind {
        Kind::OutageOpensearch | Kind::OutageS3 => {
            Ok(held(include_str!("scripts/outage.sh"), away, AWAY))
        }
        kind if stack.containers => to_a_container(kind, part),
        kind => to_a_process(kind, part, stack, machine),
    }
}

fn held<const N: usize>(
    script: &'static str,
    variables: [(&'static str, String); N],
    lasts: Duration,
) -> Deed {
    Deed::Held(Recipe {
        script,
        variables: variables.into(),
        lasts,
    })
}

fn to_a_container(kind: Kind, part: &Part) -> anyhow::Result<Deed> {
    let container = part.container.clone();
    let container = container.with_context(|| format!("{} has no container", part.name))?;
    let name = ("CONTAINER", container);
    let signal = |name, signal: &str| {
        let script = include_str!("scripts/container_signal.sh");
        held(script, [name, ("SIGNAL", signal.to_owned())], AT_ONCE)
    };
    Ok(match kind {
        Kind::KillBroker | Kind::KillEtl | Kind::KillArchiver => signal(name, "KILL"),
        Kind::CrashPostgres => signal(name, "QUIT"),
        Kind::StopBroker => held(include_str!("scripts/container_stop.sh"), [name], AT_ONCE),
        Kind::PauseBroker => held(include_str!("scripts/container_pause.sh"), [name], LONG),
        Kind::StormBroker => {
            let turns = ("TURNS", STORM.to_string());
            held(
                include_str!("scripts/container_storm.sh"),
                [name, turns],
                AT_ONCE,
            )
        }
        Kind::PartitionBroker => {
            let alias = ("PART", part.name.clone());
            held(
                include_str!("scripts/container_cut.sh"),
                [name, alias],
                LONG,
            )
        }
        kind => return Err(anyhow!("{} cannot be done to a container", kind.name())),
    })
}

fn to_a_process(kind: Kind, part: &Part, stack: &Stack, machine: &Machine) -> anyhow::Result<Deed> {
    let pid = || {
        part.pid
            .with_context(|| format!("{} is {}", part.name, part.state))
    };
    Ok(match kind {
        Kind::KillBroker | Kind::KillEtl | Kind::KillArchiver => Deed::Signal("KILL"),
        Kind::CrashPostgres => Deed::Signal("QUIT"),
        Kind::StopBroker => Deed::Signal("TERM"),
        Kind::StormBroker => Deed::Storm,
        Kind::PauseBroker => {
            let pid = ("PID", pid()?.to_string());
            held(include_str!("scripts/pause.sh"), [pid], LONG)
        }
        Kind::PartitionBroker | Kind::OnewayBroker => {
            let hierarchy = machine.cuts().map_err(|lack| anyhow!("{lack}"))?;
            let broker = Broker::read(&stack.data, &part.name)?;
            cut(kind == Kind::PartitionBroker, pid()?, hierarchy, &broker)?
        }
        Kind::ResetsBroker => {
            let broker = Broker::read(&stack.data, &part.name)?;
            let ports: Vec<String> = broker
                .ports
                .iter()
                .map(|port| format!("sport = :{port}"))
                .collect();
            let filter = ("FILTER", format!("( {} )", ports.join(" or ")));
            let turns = ("TURNS", RESETS.to_string());
            held(include_str!("scripts/resets.sh"), [filter, turns], AT_ONCE)
        }
        Kind::MemoryBroker => limited(pid()?, machine.memory())?,
        Kind::SlowDisk => limited(pid()?, machine.disk())?,
        Kind::FullDisk => full_disk(part, stack),
        Kind::UnreadableDisk => {
            let directory = Broker::read(&stack.data, &part.name)?.directory;
            let mode = fs::metadata(&directory)?.permissions().mode() & 0o7777;
            let mode = ("MODE", format!("{mode:o}"));
            let directory = ("DIRECTORY", directory.display().to_string());
            held(
                include_str!("scripts/unreadable.sh"),
                [directory, mode],
                AWAY,
            )
        }
        Kind::OutageOpensearch | Kind::OutageS3 => {
            return Err(anyhow!("that is the stack's to do"));
        }
    })
}

fn cut(deaf: bool, pid: u64, hierarchy: &Hierarchy, broker: &Broker) -> anyhow::Result<Deed> {
    let name = own_name("cut");
    let ports = |ports: &[u16]| {
        let words: Vec<String> = ports.iter().map(u16::to_string).collect();
        words.join(" ")
    };
    let listens = [&broker.ports[..], broker.http.as_slice()].concat();
    let variables = [
        ("PID", pid.to_string()),
        ("CUT_PORTS", ports(&broker.ports)),
        ("LISTENS", ports(&listens)),
        ("DEAF", u8::from(deaf).to_string()),
        ("CHAIN", name.to_uppercase()),
        ("GROUP", hierarchy.mount.join(&name).display().to_string()),
        ("BACK", hierarchy.of(pid)?.display().to_string()),
        ("NAME", name),
    ];
    Ok(held(include_str!("scripts/cut.sh"), variables, LONG))
}

fn limited(pid: u64, limit: Result<&Limit, &String>) -> anyhow::Result<Deed> {
    let limit = limit.map_err(|lack| anyhow!("{lack}"))?;
    let group = limit.hierarchy.mount.join(own_name("limit"));
    let variables = [
        ("PID", pid.to_string()),
        ("GROUP", group.display().to_string()),
        ("BACK", limit.hierarchy.of(pid)?.display().to_string()),
        ("FILE", limit.file.to_owned()),
        ("VALUE", limit.value.clone()),
        ("COUNT", limit.count.to_owned()),
    ];
    Ok(held(include_str!("scripts/group.sh"), variables, LONG))
}

fn full_disk(part: &Part, stack: &Stack) -> Deed {
    let variables = [
        ("STACK_COMMAND", stack.command.clone()),
        ("PART", part.name.clone()),
        (
            "CONFIG",
            Broker::file(&stack.data, &part.name).display().to_string(),
        ),
        ("FLOOR", FLOOR_BYTES.to_string()),
    ];
    held(include_str!("scripts/full_disk.sh"), variables, LONG)
}

/// What a native broker's configuration says of it.
#[derive(Debug, PartialEq, Eq)]
struct Broker {
    /// Of clients and other brokers.
    ports: Vec<u16>,
    /// Where it shows how it is.
    http: Option<u16>,
    directory: PathBuf,
}

impl Broker {
    fn file(data: &Path, name: &str) -> PathBuf {
        data.join(format!("config/{name}.properties"))
    }

    fn read(data: &Path, name: &str) -> anyhow::Result<Broker> {
        let file = Broker::file(data, name);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Broker::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Broker> {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .rfind(|(name, _)| *name == key)
                .map(|(_, value)| value)
        };
        let port = |address: &str| {
            address
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
        };
        let listeners = value("listeners").context("no listeners")?;
        let ports: Option<Vec<u16>> = listeners.split(',').map(port).collect();
        let directory = value("log.dirs").filter(|dirs| !dirs.contains(','));
        Ok(Broker {
            ports: ports.context("a listener has a port")?,
            http: value("http.listen").and_then(port),
            directory: directory.context("no single log.dirs")?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use clap::ValueEnum;

    use super::*;

    const CONFIG: &str = "node.id=2\nlisteners=PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:19093\n\
                          http.listen=127.0.0.1:18093\nlog.dirs=/d/broker-2\n";

    fn stack(containers: bool) -> Stack {
        Stack {
            command: "scripts/stack".into(),
            data: "/d".into(),
            containers,
        }
    }

    fn machine() -> Machine {
        let hierarchy = Hierarchy {
            mount: "/groups".into(),
            controller: "",
        };
        let limit = |file, count| Limit {
            hierarchy: hierarchy.clone(),
            file,
            value: "7".into(),
            count,
        };
        Machine {
            is_root: true,
            cuts: Ok(hierarchy.clone()).into(),
            memory: Ok(limit("memory.high", "memory.events")).into(),
            disk: Ok(limit("io.max", "")).into(),
            ..Machine::new(false, Path::new("/d"))
        }
    }

    fn part(container: Option<&str>) -> Part {
        Part {
            name: "broker-2".into(),
            state: "running".into(),
            pid: Some(process::id().into()),
            container: container.map(str::to_owned),
            address: "127.0.0.1:9093".into(),
        }
    }

    fn done_to(kind: Kind, part: &Part, containers: bool) -> anyhow::Result<Deed> {
        let fault = Fault {
            kind,
            part: part.name.clone(),
        };
        deed(&fault, part, &stack(containers), &machine())
    }

    fn recipe(deed: Deed) -> Recipe {
        match deed {
            Deed::Held(recipe) => recipe,
            other => panic!("{other:?} has no recipe"),
        }
    }

    /// What a script is told must be what it asks for.
    fn check_variables(recipe: &Recipe) {
        for (name, value) in &recipe.variables {
            assert!(
                recipe.script.contains(&format!("${name}")),
                "{name}: {}",
                recipe.script
            );
            assert!(!value.is_empty() || *name == "COUNT", "{name}");
        }
        let mut words = recipe.script.split('$').skip(1);
        words
            .try_for_each(|word| {
                let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
                let name: String = word.chars().take_while(|c| is_name(*c)).collect();
                // Others are the script's own.
                let is_own = !name.starts_with(|c: char| c.is_ascii_uppercase());
                let is_told = is_own || recipe.variables.iter().any(|(told, _)| *told == name);
                is_told.then_some(()).ok_or(name)
            })
            .unwrap_or_else(|name| panic!("{name} is not told to {}", recipe.script));
    }

    #[test]
    fn a_container_is_reached_by_its_name_and_a_script_is_told_all_it_asks_for() {
        let part = part(Some("mesh-broker-2-1"));
        let mut possible = 0;
        for kind in Kind::value_variants() {
            let Ok(deed) = done_to(*kind, &part, true) else {
                continue;
            };
            let recipe = recipe(deed);
            check_variables(&recipe);
            let told = ("CONTAINER", "mesh-broker-2-1".to_owned());
            let is_outage = matches!(kind, Kind::OutageOpensearch | Kind::OutageS3);
            assert_eq!(recipe.variables.contains(&told), !is_outage, "{kind:?}");
            possible += 1;
        }
        assert_eq!(possible, 10);
    }

    #[test]
    fn a_container_is_killed_by_docker_and_postgres_shut_down_at_once() -> anyhow::Result<()> {
        let part = part(Some("c"));
        for (kind, signal) in [(Kind::KillEtl, "KILL"), (Kind::CrashPostgres, "QUIT")] {
            let recipe = recipe(done_to(kind, &part, true)?);
            assert!(recipe.variables.contains(&("SIGNAL", signal.into())));
            assert!(
                recipe.script.contains("docker kill --signal"),
                "{}",
                recipe.script
            );
        }
        let cut = recipe(done_to(Kind::PartitionBroker, &part, true)?);
        assert!(cut.script.contains("--alias \"$PART\""));
        assert!(cut.variables.contains(&("PART", "broker-2".into())));
        assert!(cut.lasts > Duration::from_secs(9));
        Ok(())
    }

    #[test]
    fn processes_are_ended_by_signals() -> anyhow::Result<()> {
        for (kind, wanted) in [
            (Kind::KillBroker, Deed::Signal("KILL")),
            (Kind::StopBroker, Deed::Signal("TERM")),
            (Kind::CrashPostgres, Deed::Signal("QUIT")),
            (Kind::StormBroker, Deed::Storm),
        ] {
            assert_eq!(done_to(kind, &part(None), false)?, wanted);
        }
        Ok(())
    }

    #[test]
    fn limits_and_cuts_name_their_group_and_the_way_back() -> anyhow::Result<()> {
        let broker = Broker::parse(CONFIG)?;
        let machine = machine();
        let hierarchy = machine.cuts().expect("it has them");
        let pid = process::id().into();
        let cut = recipe(cut(false, pid, hierarchy, &broker)?);
        check_variables(&cut);
        for told in [
            ("CUT_PORTS", "9093 19093"),
            ("LISTENS", "9093 19093 18093"),
            ("DEAF", "0"),
        ] {
            assert!(cut.variables.contains(&(told.0, told.1.into())), "{cut:?}");
        }
        for kind in [
            Kind::MemoryBroker,
            Kind::SlowDisk,
            Kind::PauseBroker,
            Kind::FullDisk,
        ] {
            check_variables(&recipe(done_to(kind, &part(None), false)?));
        }
        let memory = recipe(done_to(Kind::MemoryBroker, &part(None), false)?);
        let back = memory.variables.iter().find(|(name, _)| *name == "BACK");
        assert!(
            back.is_some_and(|(_, place)| place.starts_with("/groups")),
            "{memory:?}"
        );
        Ok(())
    }

    #[test]
    fn a_brokers_configuration_is_read_and_its_last_word_holds() -> anyhow::Result<()> {
        let more = format!("{CONFIG}log.dirs=/e\n");
        let read = Broker::parse(&more)?;
        assert_eq!(
            (read.ports, read.http, read.directory),
            (vec![9093, 19093], Some(18093), "/e".into())
        );
        // Which of two directories would be the user's choice.
        assert!(Broker::parse(&format!("{CONFIG}log.dirs=/e,/f\n")).is_err());
        Ok(())
    }

    #[test]
    fn a_directory_is_closed_and_opened_with_the_mode_that_it_had() -> anyhow::Result<()> {
        use super::super::guard::Guard;
        let place = std::env::temp_dir().join(format!("closed-{}", process::id()));
        fs::create_dir(&place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o750))?;
        let mode = || Ok::<u32, anyhow::Error>(fs::metadata(&place)?.permissions().mode() & 0o7777);
        let variables = [
            ("DIRECTORY", place.display().to_string()),
            ("MODE", "750".into()),
        ];
        let guard = Guard::hold(&recipe(held(
            include_str!("scripts/unreadable.sh"),
            variables,
            AWAY,
        )))?;
        assert_eq!(mode()?, 0);
        guard.release()?;
        assert_eq!(mode()?, 0o750);
        Ok(fs::remove_dir(&place)?)
    }
}
