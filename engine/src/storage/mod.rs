//! Files: the one door through which the engine reaches a disk.
//!
//! [`Storage`] is a data directory and [`File`] an open file in it. [`disk`] is the real one,
//! [`sim`] a simulated one with power loss, torn writes and injected errors. Everything above
//! works on either and knows neither.
//!
//! # Rules
//! - Paths are relative to the data directory, `/` between names, without `.` and `..`.
//! - `write_at` and `read_at` move every byte or fail; short counts and `EINTR` stay inside.
//! - Bytes are durable after [`File::sync_data`], names after [`Storage::sync_dir`] of the
//!   directory they are in. A file needs both.
//! - Nothing is renamed: files are created under their final name and listed by a manifest.
//! - Only files that will never change again are mapped.

use std::fmt::Debug;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::error::{Error, Result};

mod batch;
pub mod disk;
mod ring;
pub mod sim;

pub use batch::IoUring;
pub use disk::DiskStorage;

/// Where a memory map of a file, or an aligned copy of one, starts: a multiple of this.
pub const MAP_ALIGN: usize = 64;

/// A data directory.
pub trait Storage: Send + Sync + Debug {
    /// Makes a new, empty file open for reading and writing.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) when the name is taken.
    fn create(&self, path: &str) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is none.
    fn open(&self, path: &str) -> Result<Arc<dyn File>>;

    /// Maps a whole file read-only. The file must never change or shrink afterwards.
    fn map(&self, path: &str) -> Result<Map>;

    /// How [`File::read_batch`] reads here, and how much it has read.
    fn batched_reads(&self) -> BatchedReads {
        BatchedReads::default()
    }

    /// The entries of a directory, sorted by name.
    fn list(&self, dir: &str) -> Result<Vec<DirEntry>>;

    /// Makes a directory and those above it. One that exists is fine. The caller syncs the
    /// directory above to make the name durable.
    fn create_dir(&self, dir: &str) -> Result<()>;

    /// Removes a file's name. Its bytes live on while it is open or mapped.
    fn remove_file(&self, path: &str) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &str) -> Result<()>;

    /// Gives the file `from` a second name.
    fn link(&self, from: &str, to: &str) -> Result<()>;

    /// Makes the names in `dir` durable; `""` is the data directory itself.
    fn sync_dir(&self, dir: &str) -> Result<()>;

    /// Whether a file or directory of this name exists.
    fn exists(&self, path: &str) -> Result<bool>;

    /// Takes the exclusive lock on `path`, making the file if needed. Held until dropped.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) when another process, or this one, holds it.
    fn lock(&self, path: &str) -> Result<Box<dyn Lock>>;

    /// Bytes that can still be written by this process.
    fn free_bytes(&self) -> Result<u64>;
}

/// An open file. Methods may be called from several threads at once.
pub trait File: Send + Sync + Debug {
    /// Its path inside the data directory.
    fn path(&self) -> &str;

    /// Writes all of `bytes` at `offset`. Not durable before [`File::sync_data`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the file ends before `buf` is full.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Does all reads, in any order and as many at once as the disk takes; each gets its own
    /// outcome in [`ReadRequest::result`], as of [`File::read_at`].
    fn read_batch(&self, requests: &mut [ReadRequest<'_>]) {
        for request in requests {
            request.result = self.read_at(request.offset, request.buf);
        }
    }

    /// Says how the bytes of `range` will be used. A hint: whoever cannot take it does nothing.
    fn advise(&self, advice: Advice, range: Range<u64>) {
        let _ = (advice, range);
    }

    /// Reserves space so that the file is at least `len` bytes long, new bytes being zero.
    ///
    /// # Errors
    /// [`DiskFull`](crate::ErrorKind::DiskFull) here, and not later at the write, when there is
    /// too little space.
    fn allocate(&self, len: u64) -> Result<()>;

    /// Makes the bytes and the length durable.
    ///
    /// After a failure nothing may be assumed of any byte written since the last success, and a
    /// second call proves nothing.
    fn sync_data(&self) -> Result<()>;

    /// As [`File::sync_data`], and times and modes too.
    fn sync_all(&self) -> Result<()>;

    /// The length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// An exclusive lock; dropping it lets go.
pub trait Lock: Send + Sync + Debug {}

/// How bytes of a file will be used.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Here and there: reading ahead is wasted.
    Random,
    /// Not again soon: what the page cache has of them can go. Only clean pages go, so the file is
    /// synced first.
    Drop,
}

/// How batches of reads are done, and how much was read so; counts are since the start.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BatchedReads {
    /// `io_uring`, or `pread` and why.
    pub method: String,
    /// Batches.
    pub batches: u64,
    /// Reads in all batches.
    pub reads: u64,
    /// Bytes of all reads.
    pub bytes: u64,
}

/// One read of a batch, of the file that [`File::read_batch`] is called on.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// Where to start.
    pub offset: u64,
    /// Filled completely when `result` is `Ok`.
    pub buf: &'a mut [u8],
    /// How it went; meaningful after [`File::read_batch`].
    pub result: Result<()>,
}

impl<'a> ReadRequest<'a> {
    /// A read of `buf.len()` bytes at `offset`.
    pub fn new(offset: u64, buf: &'a mut [u8]) -> Self {
        Self {
            offset,
            buf,
            result: Ok(()),
        }
    }
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file in bytes; 0 for a directory.
    pub len: u64,
}

/// A sealed file's bytes: a memory map, or on the simulated disk a copy of them.
///
/// Starts at a multiple of [`MAP_ALIGN`].
#[derive(Debug)]
pub struct Map(Source);

#[derive(Debug)]
enum Source {
    Mapped(disk::FileMap),
    Copied(AlignedBytes),
}

impl Map {
    /// Wraps a real map.
    pub(crate) fn mapped(map: disk::FileMap) -> Self {
        Self(Source::Mapped(map))
    }

    /// An aligned copy of `len` bytes that `fill` provides.
    pub fn copied(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        Self(Source::Copied(AlignedBytes::new(len, fill)))
    }

    /// Tells the kernel that reads will jump about: no read-ahead.
    pub fn advise_random(&self) {
        if let Source::Mapped(map) = &self.0 {
            map.advise_random();
        }
    }

    /// Tells the kernel that reads will go from start to end.
    pub fn advise_sequential(&self) {
        if let Source::Mapped(map) = &self.0 {
            map.advise_sequential();
        }
    }

    /// Takes earlier advice back.
    pub fn advise_normal(&self) {
        if let Source::Mapped(map) = &self.0 {
            map.advise_normal();
        }
    }

    /// Lets the kernel drop the resident pages; they come back from the file when touched.
    pub fn advise_dontneed(&self) {
        if let Source::Mapped(map) = &self.0 {
            map.advise_dontneed();
        }
    }

    /// Reads all pages in and keeps them in memory; true when they are locked there. Where the
    /// process may not lock as much, they are only read in and may go again.
    pub fn pin(&self) -> bool {
        match &self.0 {
            Source::Mapped(map) => map.pin(),
            Source::Copied(_) => true,
        }
    }

    /// Lets pinned pages go when the kernel wants them.
    pub fn unpin(&self) {
        if let Source::Mapped(map) = &self.0 {
            map.unpin();
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map.bytes(),
            Source::Copied(bytes) => bytes.bytes(),
        }
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Bytes on the heap that start at a multiple of [`MAP_ALIGN`].
struct AlignedBytes {
    /// Never grows after `new`, so the aligned place in it stays where it is.
    backing: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    fn new(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut backing = vec![0; len + MAP_ALIGN];
        let start = backing.as_ptr().align_offset(MAP_ALIGN);
        fill(&mut backing[start..start + len]);
        Self {
            backing,
            start,
            len,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.backing[self.start..self.start + self.len]
    }
}

impl Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBytes({})", self.len)
    }
}

/// The directory part of a path: `""` for a name in the data directory itself.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Makes every directory from `dir` up to the data directory durable.
///
/// For use after [`Storage::create_dir`], which may have made several.
///
/// # Errors
/// When one of the syncs fails.
pub fn sync_dirs_up(storage: &dyn Storage, dir: &str) -> Result<()> {
    let mut dir = dir;
    loop {
        storage.sync_dir(dir)?;
        if dir.is_empty() {
            return Ok(());
        }
        dir = parent(dir);
    }
}

/// Refuses paths that could leave the data directory.
fn check_path(op: &'static str, path: &str) -> Result<()> {
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if path.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::invalid(op, "not a plain path inside the data directory").with_path(path))
}

/// As [`check_path`], and `""` is the data directory.
fn check_dir(op: &'static str, dir: &str) -> Result<()> {
    if dir.is_empty() {
        Ok(())
    } else {
        check_path(op, dir)
    }
}

/// Calls `write(at, rest)` until every byte is taken.
fn write_fully(
    offset: u64,
    bytes: &[u8],
    mut write: impl FnMut(u64, &[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write(offset + done as u64, &bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Calls `read(at, rest)` until `buf` is full.
fn read_fully(
    offset: u64,
    buf: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match read(offset + done as u64, &mut buf[done..]) {
            Ok(0) => {
                let why = format!(
                    "file ends at {}, wanted {} bytes at {offset}",
                    offset + done as u64,
                    buf.len()
                );
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
