//! File systems of a test's own: a small one that can be filled, and one on a device that can be made to fail.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machines::program;
use crate::wait::until;

/// How long a change of a file system that is in use may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What makes ext4 fail every read and write from now on, as a dead device does (EXT4_IOC_SHUTDOWN, without a flush
/// of its journal).
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
     fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    place: PathBuf,
    image: Option<PathBuf>,
}

impl Mount {
    /// What is missing on this system to mount, if anything.
    pub fn lacking() -> Option<&'static str> {
        let tried = tempfile::tempdir()
            .map_err(anyhow::Error::from)
            .and_then(|place| Mount::memory(place.path(), 1).map(drop));
        tried.err().map(|_| "the right to mount")
    }

    /// A file system of `mib` MiB, in memory.
    pub fn memory(place: &Path, mib: u64) -> Result<Mount> {
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"],
            place,
        )?;
        Ok(Mount {
            place: place.into(),
            image: None,
        })
    }

    /// An ext4 file system of `mib` MiB on a loop device, in the file `image`.
    pub fn device(place: &Path, image: &Path, mib: u64) -> Result<Mount> {
        File::create(image)?.set_len(mib << 20)?;
        run("mkfs.ext4", &["-q"], image)?;
        let mount = Mount {
            place: place.into(),
            image: Some(image.into()),
        };
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> Result<()> {
        let Some(image) = &self.image else {
            return Ok(());
        };
        let image = image.display().to_string();
        run("mount", &["-o", "loop", &image], &self.place)
    }

    /// The device fails: nothing can be read or written any more.
    pub fn fail(&self) -> Result<()> {
        run("python3", &["-c", SHUT_DOWN], &self.place)
    }

    /// The device works again, with what had reached it. Nobody may use the file system meanwhile.
    pub fn replace(&self) -> Result<()> {
        run("umount", &[], &self.place)?;
        if let Some(image) = &self.image {
            // A process of another test that was started into a network namespace meanwhile may hold the mount, and with
            // it the dead device, which the same file would be given again.
            let copy = image.with_extension("copy");
            fs::copy(image, &copy)?;
            fs::rename(&copy, image)?;
        }
        self.mount()
    }

    /// Makes a file system in memory so small that `left_kib` are free: full, without a byte written.
    pub fn shrink(&self, left_kib: u64) -> Result<()> {
        // What is being written meanwhile may need more than was left a moment ago.
        until(PATIENCE, "the file system is made smaller", || {
            let used_kib = numbers(&self.place, "%b %f %S")?;
            let used_kib = (used_kib[0] - used_kib[1]) * used_kib[2] / 1024;
            self.resize(used_kib + left_kib)?;
            Ok(true)
        })
    }

    /// Gives a file system in memory this size.
    pub fn grow(&self, mib: u64) -> Result<()> {
        self.resize(mib << 10)
    }

    fn resize(&self, kib: u64) -> Result<()> {
        let size = format!("remount,size={kib}k");
        run("mount", &["-o", &size], &self.place)
    }

    /// Fills it until `left` bytes are free; 0 fills it to the last byte. Gives the file that does.
    pub fn fill(&self, left: u64) -> Result<PathBuf> {
        let ballast = self.place.join("ballast");
        let mut file = File::options().create(true).append(true).open(&ballast)?;
        let mut chunk = vec![1; 1 << 16];
        while left == 0 || free_bytes(&self.place)? > left {
            match file.write_all(&chunk) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull && chunk.len() > 1 => {
                    chunk.truncate(chunk.len() / 2);
                }
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ballast)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that ends late may still hold it: lazily, then.
        let _ = run("umount", &["-l"], &self.place);
        if let Some(image) = &self.image {
            let _ = fs::remove_file(image);
        }
    }
}

fn free_bytes(place: &Path) -> Result<u64> {
    let numbers = numbers(place, "%a %S")?;
    Ok(numbers[0] * numbers[1])
}

/// What stat says of the file system of `place`, in a format of numbers.
fn numbers(place: &Path, format: &str) -> Result<Vec<u64>> {
    let done = Command::new("stat")
        .args(["-f", "-c", format])
        .arg(place)
        .output()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    let wanted = format.split(' ').count();
    ensure!(numbers.len() == wanted, "stat -f {place:?}: {text}");
    Ok(numbers)
}

fn run(name: &str, arguments: &[&str], last: &Path) -> Result<()> {
    let program = program(name).unwrap_or_else(|| name.into());
    let done = Command::new(program).args(arguments).arg(last).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{name} {last:?}: {}", said.trim());
    Ok(())
}
