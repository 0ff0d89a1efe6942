//! A simulated disk: files in memory, with everything that can go wrong with real ones.
//!
//! - Written bytes are pending until their file is synced, names until their directory is.
//!   [`SimDisk::crash`] makes the disk that power loss would leave, for any choice of what was
//!   kept; [`SimDisk::crash_states`] lists the choices worth trying; [`SimDisk::kill`] is the
//!   death of the process alone, after which the caches are still there.
//! - [`SimDisk::inject`] fails the Nth operation of a kind, once or for ever; a failed sync can
//!   lose what it was to make durable. [`SimDisk::set_capacity`] fills the disk up.
//! - Operations that change the disk are numbered in [`SimDisk::trace`], and
//!   [`SimDisk::stop_after`] lets the process die in front of any of them, so that a workload can
//!   be cut at every operation boundary.
//!
//! It is deterministic: the same calls give the same disk. It is compiled always, because the
//! suites of other packages run on it.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::{DirEntry, File, Lock, Map, Storage, check_dir, check_path, read_fully, write_fully};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;

mod crash;
mod fault;
mod sectors;
mod state;

pub use crash::{CrashChoice, CrashRule, PendingUnit};
pub use fault::{Fault, FaultError, OpKind, Operation, SyncFailure};
pub use sectors::SECTOR_BYTES;

use state::{InodeId, Node, State};

/// A handle to a simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk without limits or faults.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What is not durable at this moment, oldest first.
    pub fn pending(&self) -> Vec<PendingUnit> {
        crash::pending(&self.state.lock())
    }

    /// The disk after power loss that kept what `choice` says. Independent of this one; faults,
    /// locks, limits on operations and the trace do not survive.
    #[must_use]
    pub fn crash(&self, choice: &CrashChoice) -> Self {
        Self::of(crash::crash(&self.state.lock(), choice))
    }

    /// The choices for [`SimDisk::crash`] at this moment that `rule` asks for.
    pub fn crash_states(&self, rule: &CrashRule) -> impl Iterator<Item = CrashChoice> + use<> {
        crash::crash_states(&self.pending(), rule)
    }

    /// The disk as the next process finds it when this one was killed: everything written is
    /// readable, and what was not synced is still pending.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.state.lock();
        Self::of(State {
            inodes: state.inodes.clone(),
            next_inode: state.next_inode,
            names: Arc::clone(&state.names),
            durable_names: Arc::clone(&state.durable_names),
            name_changes: state.name_changes.clone(),
            capacity: state.capacity,
            ..State::default()
        })
    }

    /// Drops cached bytes that a failed sync lost, as the kernel may do at any time.
    pub fn evict_clean(&self) {
        for inode in self.state.lock().inodes.values_mut() {
            Arc::make_mut(inode).evict();
        }
    }

    /// Sets a fault; several may be set.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.set(fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Lets the process die in front of numbered operation `number`: it and everything after it,
    /// reads too, fails and changes nothing.
    pub fn stop_after(&self, number: u64) {
        self.state.lock().faults.stop_after = Some(number);
    }

    /// The size of the disk; `None` is without limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Makes system calls move fewer bytes than asked, or fail with `EINTR`, at random from
    /// `seed`; `None` stops that.
    pub fn set_short_counts(&self, seed: Option<u64>) {
        self.state.lock().short_counts = seed;
    }

    /// Makes reads that touch `len` bytes of `path` at `offset` fail with `EIO`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn set_unreadable(&self, path: &str, offset: u64, len: u64) -> Result<()> {
        self.edit("make unreadable", path, |inode| {
            inode.unreadable.push(offset..offset + len);
        })
    }

    /// How many numbered operations there were.
    pub fn operations(&self) -> u64 {
        self.state.lock().trace.len() as u64
    }

    /// The numbered operations.
    pub fn trace(&self) -> Vec<Operation> {
        self.state.lock().trace.clone()
    }

    /// How many operations of a kind there were, numbered or not.
    pub fn count(&self, kind: OpKind) -> u64 {
        self.state
            .lock()
            .counts
            .get(&kind)
            .copied()
            .unwrap_or_default()
    }

    /// A file's bytes as a reader sees them, without counting as an operation.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let inode = state.file_at(path).ok()?;
        Some(state.inode(inode).ok()?.cached.bytes())
    }

    /// Every file, by path.
    pub fn files(&self) -> Vec<String> {
        let state = self.state.lock();
        let files = state
            .names
            .iter()
            .filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Damages a file: replaces its bytes, on the disk and in the cache.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.edit("damage", path, |inode| {
            let mut bytes = inode.cached.bytes();
            change(&mut bytes);
            inode.replace(&bytes);
        })
    }

    /// Inverts one bit of a file, on the disk and in the cache.
    ///
    /// # Errors
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, path: &str, byte: u64, bit: u8) -> Result<()> {
        let mut inside = false;
        self.edit("flip bit", path, |inode| {
            inside = byte < inode.cached.len;
            if inside {
                inode.flip_bit(byte, bit);
            }
        })?;
        if inside {
            Ok(())
        } else {
            Err(Error::invalid("flip bit", format!("byte {byte}")))
        }
    }

    fn edit(
        &self,
        op: &'static str,
        path: &str,
        change: impl FnOnce(&mut state::Inode),
    ) -> Result<()> {
        let mut state = self.state.lock();
        let inode = state.file_at(path).and_then(|id| {
            change(state.inode_mut(id)?);
            Ok(())
        });
        inode.map_err(|error| Error::io(op, path, error))
    }

    fn handle(&self, path: &str, inode: InodeId) -> Arc<dyn File> {
        self.state.lock().opened(inode);
        Arc::new(SimFile {
            disk: self.clone(),
            path: path.into(),
            inode,
        })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(
            f,
            "SimDisk({} names, {} operations)",
            state.names.len(),
            state.trace.len()
        )
    }
}

impl Storage for SimDisk {
    fn create(&self, path: &str) -> Result<Arc<dyn File>> {
        check_path("create", path)?;
        let inode = self
            .state
            .lock()
            .create(path)
            .map_err(|e| Error::io("create", path, e))?;
        Ok(self.handle(path, inode))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn File>> {
        check_path("open", path)?;
        let mut state = self.state.lock();
        let inode = state
            .begin_plain(OpKind::Open, path)
            .and_then(|()| state.file_at(path));
        let inode = inode.map_err(|e| Error::io("open", path, e))?;
        drop(state);
        Ok(self.handle(path, inode))
    }

    fn map(&self, path: &str) -> Result<Map> {
        let file = self.open(path).map_err(|e| e.with_path(path))?;
        let len = file.len()?;
        let mut outcome = Ok(());
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let map = Map::copied(len, |bytes| outcome = file.read_at(0, bytes));
        outcome.map(|()| map)
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>> {
        check_dir("list", dir)?;
        let mut state = self.state.lock();
        state
            .begin_plain(OpKind::Look, dir)
            .map_err(|e| Error::io("list", dir, e))?;
        if !state.is_dir(dir) {
            return Err(Error::io("list", dir, io::Error::from_raw_os_error(2)));
        }
        let entry = |(path, node): (&String, &Node)| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            match node {
                Node::Dir => DirEntry {
                    name,
                    is_dir: true,
                    len: 0,
                },
                Node::File(id) => {
                    let len = state.inodes.get(id).map_or(0, |inode| inode.cached.len);
                    DirEntry {
                        name,
                        is_dir: false,
                        len,
                    }
                }
            }
        };
        let mut entries: Vec<DirEntry> = state.children(dir).map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &str) -> Result<()> {
        check_path("create directory", dir)?;
        let mut state = self.state.lock();
        let above = dir.match_indices('/').map(|(at, _)| &dir[..at]);
        for each in above.chain([dir]) {
            state
                .create_dir(each)
                .map_err(|e| Error::io("create directory", each, e))?;
        }
        Ok(())
    }

    fn remove_file(&self, path: &str) -> Result<()> {
        check_path("remove", path)?;
        self.state
            .lock()
            .remove_file(path)
            .map_err(|e| Error::io("remove", path, e))
    }

    fn remove_dir(&self, dir: &str) -> Result<()> {
        check_path("remove directory", dir)?;
        self.state
            .lock()
            .remove_dir(dir)
            .map_err(|e| Error::io("remove directory", dir, e))
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        check_path("link", from)?;
        check_path("link", to)?;
        self.state
            .lock()
            .link(from, to)
            .map_err(|e| Error::io("link", to, e))
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        check_dir("sync directory", dir)?;
        self.state
            .lock()
            .sync_dir(dir)
            .map_err(|e| Error::io("sync directory", dir, e))
    }

    fn exists(&self, path: &str) -> Result<bool> {
        check_dir("look up", path)?;
        let mut state = self.state.lock();
        state
            .begin_plain(OpKind::Look, path)
            .map_err(|e| Error::io("look up", path, e))?;
        Ok(path.is_empty() || state.names.contains_key(path))
    }

    fn lock(&self, path: &str) -> Result<Box<dyn Lock>> {
        check_path("lock", path)?;
        let mut state = self.state.lock();
        state
            .begin_plain(OpKind::Look, path)
            .map_err(|e| Error::io("lock", path, e))?;
        if !state.names.contains_key(path) {
            state.create(path).map_err(|e| Error::io("lock", path, e))?;
        }
        if !state.locked.insert(path.to_owned()) {
            let message = "another process has this data directory open";
            return Err(Error::new(ErrorKind::Busy, "lock", message).with_path(path));
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.into(),
        }))
    }

    fn free_bytes(&self) -> Result<u64> {
        let mut state = self.state.lock();
        state
            .begin_plain(OpKind::Look, "")
            .map_err(|e| Error::io("ask for free space", "", e))?;
        Ok(state.free_bytes())
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: String,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: String,
    inode: InodeId,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state.lock().closed(self.inode);
    }
}

impl SimFile {
    fn failed(&self, op: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |error| Error::io(op, self.path.as_str(), error)
    }
}

impl File for SimFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.disk.state.lock();
        write_fully(offset, bytes, |at, rest| {
            state.write(self.inode, &self.path, at, rest)
        })
        .map_err(self.failed("write"))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut state = self.disk.state.lock();
        read_fully(offset, buf, |at, rest| {
            state.read(self.inode, &self.path, at, rest)
        })
        .map_err(self.failed("read"))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let mut state = self.disk.state.lock();
        state
            .allocate(self.inode, &self.path, len)
            .map_err(self.failed("allocate"))
    }

    fn sync_data(&self) -> Result<()> {
        let mut state = self.disk.state.lock();
        state
            .sync(self.inode, &self.path)
            .map_err(self.failed("sync"))
    }

    fn sync_all(&self) -> Result<()> {
        self.sync_data()
    }

    fn len(&self) -> Result<u64> {
        let mut state = self.disk.state.lock();
        state
            .begin_plain(OpKind::Look, &self.path)
            .map_err(self.failed("look up"))?;
        let inode = state.inode(self.inode).map_err(self.failed("look up"))?;
        Ok(inode.cached.len)
    }
}

#[cfg(test)]
mod tests;
