//! A limit on the memory of one broker: a group of the kernel's memory controller, of cgroup version 1 or 2.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// A group that goes away with the value; its processes must have ended by then.
#[derive(Debug)]
pub struct Cgroup {
    place: PathBuf,
    version: Version,
}

/// What a version of the interface calls things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        }
    }

    fn unlimited(self) -> &'static str {
        match self {
            Version::One => "-1",
            Version::Two => "max",
        }
    }

    /// Lines of memory.stat that tell what cannot be taken back.
    fn fixed(self) -> [&'static str; 2] {
        match self {
            Version::One => ["rss", "shmem"],
            Version::Two => ["anon", "shmem"],
        }
    }
}

impl Cgroup {
    /// What is missing on this system, if anything.
    pub fn lacking() -> Option<&'static str> {
        let tried = Cgroup::make(&format!("millrace-try-{}", std::process::id()));
        tried
            .err()
            .map(|_| "a memory controller (cgroup version 1 or 2) that can be written")
    }

    pub fn make(name: &str) -> Result<Cgroup> {
        let (controller, version) = controller(&fs::read_to_string("/proc/mounts")?)?;
        if version == Version::Two {
            let given = fs::read_to_string(controller.join("cgroup.controllers"))?;
            ensure!(
                given.split_whitespace().any(|one| one == "memory"),
                "{given}"
            );
            // So that the groups below have it.
            fs::write(controller.join("cgroup.subtree_control"), "+memory")
                .with_context(|| format!("sharing {}", controller.display()))?;
        }
        let place = controller.join(name);
        fs::create_dir(&place).with_context(|| format!("making {}", place.display()))?;
        Ok(Cgroup { place, version })
    }

    /// What comes before a program, so that it runs in this group.
    pub fn launcher(&self) -> Vec<String> {
        let join = format!(
            "echo $$ > '{}' && exec \"$@\"",
            self.place.join("cgroup.procs").display()
        );
        vec!["sh".into(), "-c".into(), join, "sh".into()]
    }

    /// What cannot be taken back from the group: memory of its processes, and files that lie in memory.
    pub fn fixed_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(self.place.join("memory.stat"))?;
        let parts = self.version.fixed();
        Ok(parts.iter().filter_map(|part| field(&text, part)).sum())
    }

    /// Sets the limit, or takes it away.
    pub fn limit(&self, bytes: Option<u64>) -> Result<()> {
        let unlimited = || self.version.unlimited().to_string();
        let text = bytes.map_or_else(unlimited, |bytes| bytes.to_string());
        fs::write(self.place.join(self.version.limit()), text)
            .with_context(|| format!("limiting {}", self.place.display()))
    }

    /// Sets a limit of `bytes`, or of as little more as the kernel takes: what it cannot take back is not known exactly.
    pub fn limit_near(&self, bytes: u64) -> Result<()> {
        const STEP: u64 = 256 << 10;
        let tried = (0..256).map(|step| self.limit(Some(bytes + step * STEP)));
        let mut last = Ok(());
        for outcome in tried {
            last = outcome;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// How often the limit was hit.
    pub fn hits(&self) -> Result<u64> {
        if self.version == Version::Two {
            let text = fs::read_to_string(self.place.join("memory.events"))?;
            return field(&text, "max").context("memory.events tells no hits");
        }
        let text = fs::read_to_string(self.place.join("memory.failcnt"))?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.place);
    }
}

/// The number behind a name that begins a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = lines.find(|(named, _)| *named == name)?;
    number.trim().parse().ok()
}

/// Where the memory controller is mounted. Where both versions are, the first one has it.
fn controller(mounts: &str) -> Result<(PathBuf, Version)> {
    let of = |version: Version| {
        mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let is_it = match version {
                Version::One => {
                    fields.get(2) == Some(&"cgroup")
                        && fields.get(3)?.split(',').any(|option| option == "memory")
                }
                Version::Two => fields.get(2) == Some(&"cgroup2"),
            };
            is_it.then(|| (PathBuf::from(fields[1]), version))
        })
    };
    let found = of(Version::One).or_else(|| of(Version::Two));
    found.context("no memory controller of cgroup version 1 or 2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_has_the_controller_where_it_is_mounted() {
        let both = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let second = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let other = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
        let found = |mounts: &str| controller(mounts).ok();
        let at = |place: &str, version| Some((PathBuf::from(place), version));
        assert_eq!(found(both), at("/sys/fs/cgroup/memory", Version::One));
        assert_eq!(found(second), at("/sys/fs/cgroup", Version::Two));
        assert_eq!(found(other), None);
    }

    /// As the kernel's documentation has it (cgroup-v2.rst): no machine of ours has had the controller there so far.
    #[test]
    fn the_second_version_calls_its_files_otherwise() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_path_buf();
        let group = Cgroup {
            place: place.clone(),
            version: Version::Two,
        };
        let stat = "anon 1000\nfile 500\nshmem 30\nanon_thp 7\n";
        fs::write(place.join("memory.stat"), stat).expect("writes");
        assert_eq!(group.fixed_bytes().expect("reads"), 1030);
        let events = "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\n";
        fs::write(place.join("memory.events"), events).expect("writes");
        assert_eq!(group.hits().expect("reads"), 3);
        let limit = || fs::read_to_string(place.join("memory.max")).expect("reads");
        group.limit(Some(4096)).expect("writes");
        assert_eq!(limit(), "4096");
        group.limit(None).expect("writes");
        assert_eq!(limit(), "max");
    }
}
