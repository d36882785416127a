//! Files of a log directory: `meta.properties`, which says whose it is, and the mark of a clean shutdown.

use std::path::Path;

use tracing::warn;
use wire::Uuid;

use super::utf8;
use crate::Error;
use crate::disk::{self, Disk};

pub const META_PROPERTIES_FILE: &str = "meta.properties";
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Version 1 of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
}

/// Before the checksum of `meta.properties`, in a comment: Kafka's file has none, and a changed letter reads well.
const CHECKSUM: &str = "# crc32c: ";

/// Reads `meta.properties`, if it is there. Kafka's, which has no checksum, is read too.
pub fn read_meta_properties(disk: &dyn Disk, path: &Path) -> Result<Option<MetaProperties>, Error> {
    let Some(bytes) = disk::read_file(disk, path)? else {
        return Ok(None);
    };
    let meta = std::str::from_utf8(&bytes)
        .map_err(|_| "not UTF-8".to_string())
        .and_then(parse_meta);
    // Whose a directory is nobody but a person can know, if it does not say so.
    meta.map(Some).map_err(|why| {
        let reason = format!(
            "{why}. Remove the file if the directory is this broker's: it is written anew. Else move the directory away"
        );
        Error::corrupt(path, reason)
    })
}

fn parse_meta(text: &str) -> Result<MetaProperties, String> {
    let value = |key: &str| {
        let line = |line: &str| {
            let (name, value) = line.trim().split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_string())
        };
        let comment = |line: &&str| !line.trim_start().starts_with('#');
        let found = text.lines().filter(comment).find_map(line);
        found.ok_or_else(|| format!("no {key}"))
    };
    if value("version")? != "1" {
        return Err("not of version 1".into());
    }
    let invalid = |key: &str| format!("{key} is not valid");
    let meta = MetaProperties {
        cluster_id: value("cluster.id")?,
        node_id: value("node.id")?.parse().map_err(|_| invalid("node.id"))?,
        directory_id: value("directory.id")?
            .parse()
            .map_err(|_| invalid("directory.id"))?,
    };
    let sum = text.lines().find_map(|line| line.strip_prefix(CHECKSUM));
    match sum.is_some_and(|sum| sum != checksum(&meta)) {
        true => Err("the checksum does not match".into()),
        false => Ok(meta),
    }
}

/// Kafka's lines.
fn properties(meta: &MetaProperties) -> String {
    format!(
        "cluster.id={}\ndirectory.id={}\nnode.id={}\nversion=1\n",
        meta.cluster_id, meta.directory_id, meta.node_id
    )
}

fn checksum(meta: &MetaProperties) -> String {
    format!("{:08x}", crc32c::crc32c(properties(meta).as_bytes()))
}

/// Replaces `meta.properties`, durably.
pub fn write_meta_properties(
    disk: &dyn Disk,
    path: &Path,
    meta: &MetaProperties,
) -> Result<(), Error> {
    let text = format!("{}{CHECKSUM}{}\n", properties(meta), checksum(meta));
    disk::write_atomic(disk, path, text.as_bytes())
}

/// What a broker leaves behind when it stops in order (KIP-966): its broker epoch then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// -1 if the file does not tell.
    pub broker_epoch: i64,
    /// How many log directories the broker had; `None` if the file does not tell.
    pub directories: Option<usize>,
}

/// Reads the mark, if it is there. The caller removes it before anything is written to the logs.
pub fn read_clean_shutdown(disk: &dyn Disk, path: &Path) -> Result<Option<CleanShutdown>, Error> {
    let Some(bytes) = disk::read_file(disk, path)? else {
        return Ok(None);
    };
    let text = utf8(path, &bytes).unwrap_or_default();
    let digits = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
        let end = rest.find(['}', ',']).unwrap_or(rest.len());
        Some(rest[..end].trim())
    };
    let broker_epoch = digits("brokerEpoch").and_then(|digits| digits.parse().ok());
    if broker_epoch.is_none() {
        warn!(
            path = %path.display(),
            "the mark of an orderly stop does not tell the broker epoch: to the cluster it counts as none"
        );
    }
    Ok(Some(CleanShutdown {
        broker_epoch: broker_epoch.unwrap_or(-1),
        directories: digits("logDirs").and_then(|digits| digits.parse().ok()),
    }))
}

/// Writes the mark, durably; the last thing that a broker does with a log directory.
pub fn write_clean_shutdown(
    disk: &dyn Disk,
    path: &Path,
    mark: CleanShutdown,
) -> Result<(), Error> {
    let directories = mark
        .directories
        .map(|count| format!(r#","logDirs":{count}"#));
    let text = format!(
        r#"{{"version":0,"brokerEpoch":{}{}}}"#,
        mark.broker_epoch,
        directories.unwrap_or_default()
    );
    disk::write_atomic(disk, path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn every_checkpoint_reads_back() {
        let disk = MemoryDisk::new();
        let path = Path::new("/file");
        let offsets = Offsets::from([(("web-logs".into(), 3), 17), (("a".into(), 0), 0)]);
        write_offsets(&disk, path, &offsets).unwrap();
        assert_eq!(read_offsets(&disk, path).unwrap(), offsets);
        write_epochs(&disk, path, &[(0, 0), (4, 100)]).unwrap();
        assert_eq!(read_epochs(&disk, path).unwrap(), [(0, 0), (4, 100)]);
        let id = Uuid([7; 16]);
        write_topic_id(&disk, path, id).unwrap();
        assert_eq!(read_topic_id(&disk, path).unwrap(), Some(id));
        let meta = MetaProperties {
            cluster_id: "c".into(),
            node_id: 2,
            directory_id: id,
        };
        write_meta_properties(&disk, path, &meta).unwrap();
        assert_eq!(read_meta_properties(&disk, path).unwrap(), Some(meta));
        for directories in [None, Some(2)] {
            let mark = CleanShutdown {
                broker_epoch: 12,
                directories,
            };
            write_clean_shutdown(&disk, path, mark).unwrap();
            assert_eq!(read_clean_shutdown(&disk, path).unwrap(), Some(mark));
        }
    }

    #[test]
    fn whose_a_directory_is_must_be_as_it_was_written() {
        let disk = MemoryDisk::new();
        let path = Path::new("/meta.properties");
        let kafka =
            "#\n#Mon\nnode.id=2\ncluster.id=c\nversion=1\ndirectory.id=BwcHBwcHBwcHBwcHBwcHBw\n";
        disk::write_atomic(&disk, path, kafka.as_bytes()).unwrap();
        let meta = read_meta_properties(&disk, path).unwrap().unwrap();
        assert_eq!((&*meta.cluster_id, meta.node_id), ("c", 2));
        write_meta_properties(&disk, path, &meta).unwrap();
        let written = disk::read_file(&disk, path).unwrap().unwrap();
        for at in 0..written.len() {
            for flip in [1, 2, 0x80, 0xff] {
                let mut changed = written.to_vec();
                changed[at] ^= flip;
                disk::write_atomic(&disk, path, &changed).unwrap();
                match read_meta_properties(&disk, path) {
                    Ok(read) => assert_eq!(read.as_ref(), Some(&meta), "byte {at} ^ {flip}"),
                    Err(error) => assert!(error.to_string().contains("Remove the file"), "{error}"),
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused_and_what_is_absent_is_empty() {
        let disk = MemoryDisk::new();
        let path = Path::new("/file");
        assert!(read_offsets(&disk, path).unwrap().is_empty());
        assert_eq!(read_meta_properties(&disk, path).unwrap(), None);
        for text in [
            "",
            "1\n0\n",
            "0\n2\na 0 1\n",
            "0\n1\na b c\n",
            "0\n1\n5 x\n",
        ] {
            disk::write_atomic(&disk, path, text.as_bytes()).unwrap();
            assert!(read_offsets(&disk, path).is_err(), "{text:?}");
            assert!(read_epochs(&disk, path).is_err(), "{text:?}");
        }
    }
}
