//! A limit on the memory of one broker: a group of the kernel's memory controller, version 1.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A group that goes away with the value; its processes must have ended by then.
#[derive(Debug)]
pub struct Cgroup {
    place: PathBuf,
}

impl Cgroup {
    /// What is missing on this system, if anything.
    pub fn lacking() -> Option<&'static str> {
        let tried = Cgroup::make(&format!("millrace-try-{}", std::process::id()));
        tried
            .err()
            .map(|_| "a memory controller of cgroup version 1 that can be written")
    }

    pub fn make(name: &str) -> Result<Cgroup> {
        let place = controller()?.join(name);
        fs::create_dir(&place).with_context(|| format!("making {}", place.display()))?;
        Ok(Cgroup { place })
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
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        Ok(field("rss ") + field("shmem "))
    }

    /// Sets the limit, or takes it away.
    pub fn limit(&self, bytes: Option<u64>) -> Result<()> {
        let text = bytes.map_or("-1".to_string(), |bytes| bytes.to_string());
        fs::write(self.place.join("memory.limit_in_bytes"), text)
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
        let text = fs::read_to_string(self.place.join("memory.failcnt"))?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.place);
    }
}

/// Where the memory controller is mounted.
fn controller() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_memory = fields.get(2) == Some(&"cgroup")
            && fields.get(3)?.split(',').any(|option| option == "memory");
        is_memory.then(|| PathBuf::from(fields[1]))
    });
    found.context("no memory controller of cgroup version 1")
}
