//! A simulated disk that calls back before every operation that changes it.
//!
//! At such a moment a suite looks at what a crash would leave, or does something from inside a
//! background job: the operations of the job's own thread are where anything else could happen.

use std::fmt;
use std::sync::{Arc, Mutex};

use engine::storage::sim::{OpKind, SimDisk};
use engine::storage::{DirEntry, File, Lock, Map, Storage};

/// What is called: the kind of operation about to happen, and its path.
pub type Hook = Box<dyn FnMut(OpKind, &str) + Send>;

/// A [`SimDisk`] with a hook.
#[derive(Clone)]
pub struct Watched {
    /// The disk below.
    pub disk: SimDisk,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({:?})", self.disk)
    }
}

impl Watched {
    /// Watches `disk`, without a hook.
    pub fn new(disk: SimDisk) -> Self {
        Self {
            disk,
            hook: Arc::default(),
        }
    }

    /// Sets the hook, or takes it away.
    ///
    /// # Panics
    /// When a hook panicked before.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.lock().expect("no hook panicked") = hook;
    }

    fn before(&self, kind: OpKind, path: &str) {
        // Taken out while it runs: what it does to the disk is not watched.
        let taken = self.hook.lock().expect("no hook panicked").take();
        let Some(mut hook) = taken else { return };
        hook(kind, path);
        self.hook
            .lock()
            .expect("no hook panicked")
            .get_or_insert(hook);
    }

    fn watch(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WatchedFile {
            file,
            disk: self.clone(),
        })
    }
}

impl Storage for Watched {
    fn create(&self, path: &str) -> engine::Result<Arc<dyn File>> {
        self.before(OpKind::Create, path);
        Ok(self.watch(self.disk.create(path)?))
    }

    fn open(&self, path: &str) -> engine::Result<Arc<dyn File>> {
        Ok(self.watch(self.disk.open(path)?))
    }

    fn map(&self, path: &str) -> engine::Result<Map> {
        self.disk.map(path)
    }

    fn list(&self, dir: &str) -> engine::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &str) -> engine::Result<()> {
        self.before(OpKind::CreateDir, dir);
        self.disk.create_dir(dir)
    }

    fn remove_file(&self, path: &str) -> engine::Result<()> {
        self.before(OpKind::Remove, path);
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, dir: &str) -> engine::Result<()> {
        self.before(OpKind::Remove, dir);
        self.disk.remove_dir(dir)
    }

    fn link(&self, from: &str, to: &str) -> engine::Result<()> {
        self.before(OpKind::Link, to);
        self.disk.link(from, to)
    }

    fn sync_dir(&self, dir: &str) -> engine::Result<()> {
        self.before(OpKind::SyncDir, dir);
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &str) -> engine::Result<bool> {
        self.disk.exists(path)
    }

    fn lock(&self, path: &str) -> engine::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn free_bytes(&self) -> engine::Result<u64> {
        self.disk.free_bytes()
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    disk: Watched,
}

impl File for WatchedFile {
    fn path(&self) -> &str {
        self.file.path()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> engine::Result<()> {
        self.disk.before(OpKind::Write, self.path());
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> engine::Result<()> {
        self.file.read_at(offset, buf)
    }

    fn allocate(&self, len: u64) -> engine::Result<()> {
        self.disk.before(OpKind::Allocate, self.path());
        self.file.allocate(len)
    }

    fn sync_data(&self) -> engine::Result<()> {
        self.disk.before(OpKind::Sync, self.path());
        self.file.sync_data()
    }

    fn sync_all(&self) -> engine::Result<()> {
        self.disk.before(OpKind::Sync, self.path());
        self.file.sync_all()
    }

    fn len(&self) -> engine::Result<u64> {
        self.file.len()
    }
}
