//! A disk whose whole content is a value: cloned for each way to damage it, in no time, because files that are not
//! touched are shared. It can be written to the machine's own disk, too.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use storage::disk::{Entry, read_file};
use storage::{Disk, File, RealDisk};

type Content = Arc<Vec<u8>>;

/// What is in each file.
#[derive(Clone, Default)]
pub struct Image(pub BTreeMap<PathBuf, Content>);

impl Image {
    /// What is on a disk below `dir`, in its files and those of its directories.
    pub fn of(disk: &dyn Disk, dir: &Path) -> Image {
        let mut image = Image::default();
        for entry in disk.list(dir).expect("lists") {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                image.0.extend(Image::of(disk, &path).0);
            } else {
                let content = read_file(disk, &path).expect("reads").expect("is there");
                image.0.insert(path, Arc::new(content.to_vec()));
            }
        }
        image
    }

    /// The content of a file, to be changed.
    pub fn file(&mut self, path: &Path) -> &mut Vec<u8> {
        Arc::make_mut(self.0.get_mut(path).expect("is there"))
    }

    /// The machine's own disk, with this content below a directory; what was there before is gone.
    pub fn real_disk(&self, home: &Path) -> Arc<dyn Disk> {
        RealDisk.remove_dir_all(home).expect("removes");
        let disk = Below(home.to_path_buf());
        for (path, content) in &self.0 {
            let parent = path.parent().expect("has one");
            disk.create_dir_all(parent).expect("creates");
            let file = disk.create(path).expect("creates");
            file.append(&mut [IoSlice::new(content)]).expect("writes");
        }
        Arc::new(disk)
    }

    /// A disk in memory with this content.
    pub fn disk(&self) -> Arc<dyn Disk> {
        let file = |content: &Content| Arc::new(ImageFile(Mutex::new(content.clone())));
        let files = self.0.iter().map(|(path, c)| (path.clone(), file(c)));
        Arc::new(ImageDisk(Mutex::new(files.collect())))
    }
}

/// The machine's own disk, of which this directory is all.
struct Below(PathBuf);

impl Below {
    fn path(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").expect("it is absolute");
        self.0.join(inside)
    }
}

impl Disk for Below {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.open(&self.path(path))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.create(&self.path(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(&self.path(from), &self.path(to))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(&self.path(path))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(&self.path(path))
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(&self.path(path))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(&self.path(dir))
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(&self.path(path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(&self.path(dir))
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(&self.path(path))
    }
    fn modified_ms(&self, path: &Path) -> io::Result<u64> {
        RealDisk.modified_ms(&self.path(path))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(&self.path(path))
    }
}

struct ImageDisk(Mutex<BTreeMap<PathBuf, Arc<ImageFile>>>);

struct ImageFile(Mutex<Content>);

impl ImageDisk {
    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Arc<ImageFile>>> {
        self.0.lock().expect("no panic under it")
    }
}

impl ImageFile {
    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.0.lock().expect("no panic under it")
    }
}

impl Disk for ImageDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.files().get(path) {
            Some(file) => Ok(file.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = Arc::new(ImageFile(Mutex::default()));
        self.files().insert(path.to_path_buf(), file.clone());
        Ok(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        let moved: Vec<PathBuf> = files
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        if moved.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in moved {
            let file = files.remove(&path).expect("it was just seen");
            let rest = path.strip_prefix(from).expect("it begins with it");
            // A file's own path must not end in a slash.
            let path = match rest.as_os_str().is_empty() {
                true => to.to_path_buf(),
                false => to.join(rest),
            };
            files.insert(path, file);
        }
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = self.files().remove(path);
        removed.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files().retain(|file, _| !file.starts_with(path));
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let files = self.files();
        let mut entries = BTreeMap::new();
        for (path, file) in files.iter() {
            let Ok(inside) = path.strip_prefix(dir) else {
                continue;
            };
            let mut names = inside.iter().map(|name| name.to_string_lossy());
            let name = names.next().expect("no directory is a file").into_owned();
            let is_dir = names.next().is_some();
            let len = if is_dir {
                0
            } else {
                file.content().len() as u64
            };
            entries.insert(name.clone(), Entry { name, is_dir, len });
        }
        Ok(entries.into_values().collect())
    }
    /// A directory is there with the first file in it.
    fn exists(&self, path: &Path) -> bool {
        self.files().keys().any(|file| file.starts_with(path))
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn modified_ms(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl File for ImageFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content();
        let from = (offset as usize).min(content.len());
        let len = buf.len().min(content.len() - from);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }
    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut content = self.content();
        bufs.iter()
            .for_each(|buf| Arc::make_mut(&mut content).extend_from_slice(buf));
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().len() as u64)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        Arc::make_mut(&mut self.content()).truncate(len as usize);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
