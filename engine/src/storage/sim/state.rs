//! What is on the simulated disk, what is only in its caches, and what each operation does.
//!
//! # Invariants
//! - A file's durable bytes change only by a successful sync; its cached bytes by writes.
//! - `dirty` is in the order of the writes, one entry a sector a write: a crash may keep any of
//!   them, and the last one kept wins.
//! - A name is durable only after a sync of the directory it is in, whatever happened to the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::fault::{Fault, Faults, OpKind, Operation, SyncFailure};
use super::sectors::{SECTOR_BYTES, Sector, Sectors, within_sector};
use crate::storage::parent;

/// A file, whatever its names.
pub(super) type InodeId = u64;

/// Bytes and length.
#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) sectors: Sectors,
    pub(super) len: u64,
}

impl Content {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.len == other.len && self.sectors.is_same(&other.sectors)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.sectors.read(0, &mut bytes);
        bytes
    }
}

/// One sector's new bytes, not yet durable.
#[derive(Clone)]
pub(super) struct SectorWrite {
    /// The operation that wrote it, for putting all that is pending into the order of time.
    pub(super) at: u64,
    pub(super) sector: u64,
    pub(super) bytes: Sector,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) durable: Content,
    pub(super) cached: Content,
    pub(super) dirty: Vec<SectorWrite>,
    /// The operation that last made it longer.
    pub(super) grown_at: u64,
    /// Whether the cache has clean bytes that the disk lost in a failed sync.
    pub(super) diverged: bool,
    /// Ranges that fail to read.
    pub(super) unreadable: Vec<Range<u64>>,
}

impl Inode {
    fn write(&mut self, at_op: u64, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = within_sector(at);
            let count = (SECTOR_BYTES - within).min(bytes.len() - done);
            let sector = at / SECTOR_BYTES as u64;
            let mut new = self.cached.sectors.copy(sector);
            new[within..within + count].copy_from_slice(&bytes[done..done + count]);
            let new = Arc::new(new);
            self.cached.sectors.set(sector, Arc::clone(&new));
            self.dirty.push(SectorWrite {
                at: at_op,
                sector,
                bytes: new,
            });
            done += count;
        }
        self.grow(at_op, offset + bytes.len() as u64);
    }

    fn grow(&mut self, at_op: u64, len: u64) {
        if len > self.cached.len {
            self.cached.len = len;
            self.grown_at = at_op;
        }
    }

    fn sync(&mut self) {
        if self.diverged {
            for write in self.dirty.drain(..) {
                self.durable.sectors.set(write.sector, write.bytes);
            }
            self.durable.len = self.cached.len;
        } else {
            self.dirty.clear();
            self.durable = self.cached.clone();
        }
    }

    /// Drops clean cached bytes, as the kernel may at any time.
    pub(super) fn evict(&mut self) {
        if !self.diverged {
            return;
        }
        let len = self.cached.len;
        self.cached = self.durable.clone();
        for write in &self.dirty {
            self.cached
                .sectors
                .set(write.sector, Arc::clone(&write.bytes));
        }
        self.cached.len = len;
    }

    /// Replaces everything, durable and cached.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        let unreadable = std::mem::take(&mut self.unreadable);
        *self = Self {
            unreadable,
            ..Self::default()
        };
        self.write(0, 0, bytes);
        self.sync();
    }

    /// Inverts a bit, durable and cached.
    pub(super) fn flip_bit(&mut self, byte: u64, bit: u8) {
        let sector = byte / SECTOR_BYTES as u64;
        for content in [&mut self.durable, &mut self.cached] {
            let mut bytes = content.sectors.copy(sector);
            bytes[within_sector(byte)] ^= 1 << bit;
            content.sectors.set(sector, Arc::new(bytes));
        }
    }

    fn fail_sync(&mut self, how: SyncFailure) {
        match how {
            SyncFailure::Unknown => {}
            SyncFailure::Lost => {
                self.dirty.clear();
                self.diverged = true;
            }
            SyncFailure::Reverted => {
                self.dirty.clear();
                self.cached = self.durable.clone();
            }
        }
    }
}

/// What a name stands for.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Node {
    Dir,
    File(InodeId),
}

/// A change of one name, not yet durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NameChange {
    /// The operation that made it.
    pub(super) at: u64,
    pub(super) path: String,
    /// What the name stands for now; `None` when it was removed.
    pub(super) node: Option<Node>,
}

/// Names and what they stand for.
pub(super) type Names = BTreeMap<String, Node>;

/// Applies one change.
pub(super) fn change_names(names: &mut Names, change: &NameChange) {
    match change.node {
        Some(node) => names.insert(change.path.clone(), node),
        None => names.remove(&change.path),
    };
}

/// The whole disk and the process's view of it.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<InodeId, Arc<Inode>>,
    pub(super) next_inode: InodeId,
    pub(super) names: Arc<Names>,
    pub(super) durable_names: Arc<Names>,
    pub(super) name_changes: Vec<NameChange>,
    pub(super) faults: Faults,
    pub(super) trace: Vec<Operation>,
    pub(super) counts: BTreeMap<OpKind, u64>,
    pub(super) capacity: Option<u64>,
    /// Drives short counts when they are on.
    pub(super) short_counts: Option<u64>,
    pub(super) locked: BTreeSet<String>,
    /// How many open handles a file has.
    pub(super) open: BTreeMap<InodeId, usize>,
}

/// An operating system error and whether the operation happened partly.
pub(super) type Struck = Result<(), Fault>;

impl State {
    /// Counts an operation; an error means it must fail.
    pub(super) fn begin(&mut self, kind: OpKind, path: &str, offset: u64, len: u64) -> Struck {
        let struck = self.faults.strike(kind, self.trace.len() as u64);
        *self.counts.entry(kind).or_default() += 1;
        if kind.changes_disk() {
            self.trace.push(Operation {
                kind,
                path: path.into(),
                offset,
                len,
            });
        }
        struck.map_or(Ok(()), Err)
    }

    /// Counts an operation that has no half-way effects.
    pub(super) fn begin_plain(&mut self, kind: OpKind, path: &str) -> io::Result<()> {
        self.begin(kind, path, 0, 0)
            .map_err(|fault| fault.error.to_io())
    }

    pub(super) fn inode(&self, id: InodeId) -> io::Result<&Arc<Inode>> {
        self.inodes.get(&id).ok_or_else(not_found)
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&id)
            .map(Arc::make_mut)
            .ok_or_else(not_found)
    }

    pub(super) fn file_at(&self, path: &str) -> io::Result<InodeId> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found()),
        }
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.names.get(path) == Some(&Node::Dir)
    }

    fn change(&mut self, path: &str, node: Option<Node>) {
        let change = NameChange {
            at: self.trace.len() as u64,
            path: path.into(),
            node,
        };
        change_names(Arc::make_mut(&mut self.names), &change);
        self.name_changes.push(change);
    }

    fn check_room_for_name(&self, path: &str) -> io::Result<()> {
        if !self.is_dir(parent(path)) {
            return Err(not_found());
        }
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(())
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<InodeId> {
        self.begin_plain(OpKind::Create, path)?;
        self.check_room_for_name(path)?;
        self.next_inode += 1;
        let inode = self.next_inode;
        self.inodes.insert(inode, Arc::default());
        self.change(path, Some(Node::File(inode)));
        Ok(inode)
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.begin_plain(OpKind::Link, to)?;
        let inode = self.file_at(from)?;
        self.check_room_for_name(to)?;
        self.change(to, Some(Node::File(inode)));
        Ok(())
    }

    /// Makes one directory; those above must exist.
    pub(super) fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        if self.is_dir(dir) {
            return Ok(());
        }
        self.begin_plain(OpKind::CreateDir, dir)?;
        self.check_room_for_name(dir)?;
        self.change(dir, Some(Node::Dir));
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &str) -> io::Result<()> {
        self.begin_plain(OpKind::Remove, path)?;
        self.file_at(path)?;
        // The inode stays: a crash may bring the name back, and open files still read it.
        self.change(path, None);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, dir: &str) -> io::Result<()> {
        self.begin_plain(OpKind::Remove, dir)?;
        if self.names.get(dir) != Some(&Node::Dir) {
            return Err(not_found());
        }
        if self.children(dir).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(dir, None);
        Ok(())
    }

    /// The entries of a directory, by full path.
    pub(super) fn children<'a>(
        &'a self,
        dir: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let first = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        self.names
            .range(first.clone()..)
            .take_while(move |(path, _)| path.starts_with(&first))
            .filter(move |(path, _)| parent(path) == dir)
    }

    /// Writes as much as one system call may; an injected error still lands half of the bytes.
    pub(super) fn write(
        &mut self,
        id: InodeId,
        path: &str,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if let Err(fault) = self.begin(OpKind::Write, path, offset, bytes.len() as u64) {
            if !self.is_stopped() {
                let at = self.trace.len() as u64;
                self.inode_mut(id)?
                    .write(at, offset, &bytes[..bytes.len() / 2]);
            }
            return Err(fault.error.to_io());
        }
        let count = self.short(bytes.len())?;
        self.reserve(id, offset + count as u64)?;
        let at = self.trace.len() as u64;
        self.inode_mut(id)?.write(at, offset, &bytes[..count]);
        Ok(count)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.faults
            .stop_after
            .is_some_and(|stop| self.trace.len() as u64 > stop)
    }

    pub(super) fn read(
        &mut self,
        id: InodeId,
        path: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        self.begin_plain(OpKind::Read, path)?;
        let have = self.inode(id)?.cached.len.saturating_sub(offset);
        let most = buf.len().min(usize::try_from(have).unwrap_or(usize::MAX));
        let count = self.short(most)?;
        let inode = self.inode(id)?;
        let wanted = offset..offset + count as u64;
        if inode
            .unreadable
            .iter()
            .any(|bad| bad.start < wanted.end && wanted.start < bad.end)
        {
            return Err(io::Error::from_raw_os_error(5));
        }
        inode.cached.sectors.read(offset, &mut buf[..count]);
        Ok(count)
    }

    /// How many of `len` bytes this call moves when short counts are on; sometimes `EINTR`.
    fn short(&mut self, len: usize) -> io::Result<usize> {
        let Some(state) = &mut self.short_counts else {
            return Ok(len);
        };
        let draw = split_mix(state);
        if draw.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = u64::try_from(len).unwrap_or(u64::MAX).max(1);
        Ok(usize::try_from(1 + (draw >> 8) % most)
            .unwrap_or(len)
            .min(len))
    }

    /// Fails when the file at length `len` would not fit.
    fn reserve(&self, id: InodeId, len: u64) -> io::Result<()> {
        let growth = len.saturating_sub(self.inode(id)?.cached.len);
        if growth > self.free_bytes() {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }

    /// Capacity less the length of all files that have a name.
    pub(super) fn free_bytes(&self) -> u64 {
        let Some(capacity) = self.capacity else {
            return u64::MAX;
        };
        let named: BTreeSet<InodeId> = self
            .names
            .values()
            .filter_map(|node| match node {
                Node::File(inode) => Some(*inode),
                Node::Dir => None,
            })
            .collect();
        let used: u64 = named
            .iter()
            .filter_map(|id| self.inodes.get(id))
            .map(|inode| inode.cached.len)
            .sum();
        capacity.saturating_sub(used)
    }

    pub(super) fn allocate(&mut self, id: InodeId, path: &str, len: u64) -> io::Result<()> {
        self.begin(OpKind::Allocate, path, len, 0)
            .map_err(|fault| fault.error.to_io())?;
        self.reserve(id, len)?;
        let at = self.trace.len() as u64;
        self.inode_mut(id)?.grow(at, len);
        Ok(())
    }

    pub(super) fn sync(&mut self, id: InodeId, path: &str) -> io::Result<()> {
        let struck = self.begin(OpKind::Sync, path, 0, 0);
        let inode = self.inode_mut(id)?;
        if let Err(fault) = struck {
            inode.fail_sync(fault.sync);
            return Err(fault.error.to_io());
        }
        inode.sync();
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        self.begin_plain(OpKind::SyncDir, dir)?;
        if !self.is_dir(dir) {
            return Err(not_found());
        }
        let names = Arc::make_mut(&mut self.durable_names);
        self.name_changes.retain(|change| {
            let here = parent(&change.path) == dir;
            if here {
                change_names(names, change);
            }
            !here
        });
        self.collect();
        Ok(())
    }

    /// Forgets files that no name can bring back and nobody has open.
    fn collect(&mut self) {
        let named = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied();
        let changing = self.name_changes.iter().filter_map(|change| change.node);
        let reachable: BTreeSet<Node> = named.chain(changing).collect();
        let open = &self.open;
        self.inodes
            .retain(|id, _| reachable.contains(&Node::File(*id)) || open.contains_key(id));
    }

    pub(super) fn opened(&mut self, id: InodeId) {
        *self.open.entry(id).or_default() += 1;
    }

    pub(super) fn closed(&mut self, id: InodeId) {
        if let Some(count) = self.open.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&id);
            }
        }
    }
}

fn not_found() -> io::Error {
    io::Error::from_raw_os_error(2)
}

/// The next number of a splitmix64 sequence: <https://prng.di.unimi.it/splitmix64.c>.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
