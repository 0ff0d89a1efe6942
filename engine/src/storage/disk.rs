//! The real disk: the only user of `std::fs` and of memory maps.
//!
//! # Invariants
//! - Writes and reads carry their offset (`pwrite`, `pread`), so a file has no shared cursor.
//! - Maps are read-only, and only of files that nothing writes any more: a page of a file that
//!   shrank would kill the process with SIGBUS instead of failing a call.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{BatchReader, IoUring};
use super::{
    Advice, BatchedReads, DirEntry, File, Lock, Map, ReadRequest, Storage, check_dir, check_path,
    read_fully, write_fully,
};
use crate::error::{Error, ErrorKind, Result};

/// A lock that is held may be on its way to be released: by a process that was killed and is not
/// quite gone, or by a child between `fork` and `exec`, which shares it. It is waited for so long.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory of the real file system.
#[derive(Debug)]
pub struct DiskStorage {
    root: PathBuf,
    reader: Arc<BatchReader>,
}

impl DiskStorage {
    /// The data directory at `root`, made if it does not exist; batches are read through io_uring
    /// where there is one.
    ///
    /// # Errors
    /// When it cannot be made or is not a directory.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Self::with(root, IoUring::Auto)
    }

    /// As [`Self::new`], and says how batches are read.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the implementation behind Storage"
    )]
    pub fn with(root: impl Into<PathBuf>, io_uring: IoUring) -> Result<Self> {
        let root = root.into();
        let failed = |error| Error::io("create directory", root.display().to_string(), error);
        fs::create_dir_all(&root).map_err(failed)?;
        // DURABILITY: the data directory's own name; without it everything inside can vanish.
        if let Some(above) = root.parent() {
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            open_dir(above)
                .and_then(|dir| dir.sync_all())
                .map_err(failed)?;
        }
        let reader = Arc::new(BatchReader::probe(io_uring));
        Ok(Self { root, reader })
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    fn open_with(
        &self,
        op: &'static str,
        path: &str,
        options: &fs::OpenOptions,
    ) -> Result<Arc<dyn File>> {
        check_path(op, path)?;
        let file = options
            .open(self.full(path))
            .map_err(|e| Error::io(op, path, e))?;
        Ok(Arc::new(DiskFile {
            path: path.into(),
            file,
            reader: Arc::clone(&self.reader),
        }))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the implementation behind Storage"
)]
fn open_dir(dir: &Path) -> io::Result<fs::File> {
    fs::File::open(dir)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the implementation behind Storage"
)]
impl Storage for DiskStorage {
    fn create(&self, path: &str) -> Result<Arc<dyn File>> {
        self.open_with(
            "create",
            path,
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true),
        )
    }

    fn open(&self, path: &str) -> Result<Arc<dyn File>> {
        self.open_with("open", path, fs::OpenOptions::new().read(true).write(true))
    }

    fn map(&self, path: &str) -> Result<Map> {
        check_path("map", path)?;
        let failed = |error| Error::io("map", path, error);
        let file = fs::File::open(self.full(path)).map_err(failed)?;
        Ok(Map::mapped(FileMap::new(&file).map_err(failed)?))
    }

    fn batched_reads(&self) -> BatchedReads {
        self.reader.report()
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>> {
        check_dir("list", dir)?;
        let failed = |error| Error::io("list", dir, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.full(dir)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Names that are not UTF-8 are not ours; they are left alone and unseen.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let is_dir = metadata.is_dir();
            entries.push(DirEntry {
                name,
                is_dir,
                len: if is_dir { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &str) -> Result<()> {
        check_path("create directory", dir)?;
        fs::create_dir_all(self.full(dir)).map_err(|e| Error::io("create directory", dir, e))
    }

    fn remove_file(&self, path: &str) -> Result<()> {
        check_path("remove", path)?;
        fs::remove_file(self.full(path)).map_err(|e| Error::io("remove", path, e))
    }

    fn remove_dir(&self, dir: &str) -> Result<()> {
        check_path("remove directory", dir)?;
        fs::remove_dir(self.full(dir)).map_err(|e| Error::io("remove directory", dir, e))
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        check_path("link", from)?;
        check_path("link", to)?;
        fs::hard_link(self.full(from), self.full(to)).map_err(|e| Error::io("link", to, e))
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        check_dir("sync directory", dir)?;
        open_dir(&self.full(dir))
            .and_then(|opened| opened.sync_all())
            .map_err(|e| Error::io("sync directory", dir, e))
    }

    fn exists(&self, path: &str) -> Result<bool> {
        check_dir("look up", path)?;
        self.full(path)
            .try_exists()
            .map_err(|e| Error::io("look up", path, e))
    }

    fn lock(&self, path: &str) -> Result<Box<dyn Lock>> {
        check_path("lock", path)?;
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.full(path))
            .map_err(|e| Error::io("lock", path, e))?;
        let mut tries = 0;
        let locked = loop {
            match file.try_lock() {
                Err(fs::TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => Ok(Box::new(DiskLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => {
                let shown = self.full(path).display().to_string();
                let message = "another process has this data directory open";
                Err(Error::new(ErrorKind::Busy, "lock", message).with_path(shown))
            }
            Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
        }
    }

    fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|e| Error::io("ask for free space", "", e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct DiskLock {
    _file: fs::File,
}

impl Lock for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    path: String,
    file: fs::File,
    reader: Arc<BatchReader>,
}

impl DiskFile {
    fn failed(&self, op: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |error| Error::io(op, self.path.as_str(), error)
    }
}

impl File for DiskFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_fully(offset, bytes, |at, rest| self.file.write_at(rest, at))
            .map_err(self.failed("write"))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_fully(offset, buf, |at, rest| self.file.read_at(rest, at)).map_err(self.failed("read"))
    }

    fn read_batch(&self, requests: &mut [ReadRequest<'_>]) {
        let outcomes = self.reader.read(self.file.as_fd(), requests);
        for (request, outcome) in requests.iter_mut().zip(outcomes) {
            request.result = outcome.map_err(self.failed("read"));
        }
    }

    fn advise(&self, advice: Advice, range: Range<u64>) {
        let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) else {
            return;
        };
        let kernels = match advice {
            Advice::Random => rustix::fs::Advice::Random,
            Advice::Drop => rustix::fs::Advice::DontNeed,
        };
        if let Err(error) = rustix::fs::fadvise(&self.file, range.start, Some(len), kernels) {
            tracing::debug!(%error, ?advice, path = self.path, "fadvise refused");
        }
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let old = self.len()?;
        if old >= len {
            return Ok(());
        }
        match rustix::fs::fallocate(
            &self.file,
            rustix::fs::FallocateFlags::empty(),
            old,
            len - old,
        ) {
            Ok(()) => Ok(()),
            // Not every file system can reserve. There the length is set, and a full disk shows
            // at the write, which poisons the log instead of refusing the request.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.file.set_len(len).map_err(self.failed("allocate"))
            }
            Err(error) => Err(self.failed("allocate")(error.into())),
        }
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(self.failed("sync"))
    }

    fn sync_all(&self) -> Result<()> {
        self.file.sync_all().map_err(self.failed("sync"))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(self.failed("look up"))?.len())
    }
}

/// A read-only map of a whole file; `None` for an empty one, which cannot be mapped.
#[derive(Debug)]
pub(crate) struct FileMap(Option<memmap2::Mmap>);

#[expect(
    unsafe_code,
    reason = "mapping is unsafe; this is the one place that does it"
)]
impl FileMap {
    fn new(file: &fs::File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: by the contract of `Storage::map` the file is sealed: no part of Cairn writes
        // or truncates it, and the data directory is locked against other processes of ours.
        // Its name may be removed, which leaves mapped pages alone.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(Some(map)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Advice is a hint: a kernel that refuses it still serves the bytes.
    fn advise(&self, advice: memmap2::Advice) {
        if let Some(map) = &self.0
            && let Err(error) = map.advise(advice)
        {
            tracing::debug!(%error, ?advice, "madvise refused");
        }
    }

    pub(crate) fn advise_random(&self) {
        self.advise(memmap2::Advice::Random);
    }

    pub(crate) fn advise_sequential(&self) {
        self.advise(memmap2::Advice::Sequential);
    }

    pub(crate) fn advise_normal(&self) {
        self.advise(memmap2::Advice::Normal);
    }

    pub(crate) fn pin(&self) -> bool {
        let Some(map) = &self.0 else { return true };
        let Err(error) = map.lock() else { return true };
        tracing::debug!(%error, "mlock refused");
        self.advise(memmap2::Advice::PopulateRead);
        false
    }

    pub(crate) fn unpin(&self) {
        if let Some(map) = &self.0
            && let Err(error) = map.unlock()
        {
            tracing::debug!(%error, "munlock refused");
        }
    }

    pub(crate) fn advise_dontneed(&self) {
        let Some(map) = &self.0 else { return };
        // SAFETY: the map is shared and backed by a file that nobody writes, so a dropped page
        // is read back with the same bytes; references into it stay valid.
        let outcome = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        if let Err(error) = outcome {
            tracing::debug!(%error, "madvise refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MAP_ALIGN, ReadRequest, sync_dirs_up};

    fn disk() -> (tempfile::TempDir, DiskStorage) {
        let dir = tempfile::tempdir().unwrap();
        let storage = DiskStorage::new(dir.path().join("data")).unwrap();
        (dir, storage)
    }

    #[test]
    fn bytes_come_back_by_read_by_batch_and_by_map() {
        let (_dir, disk) = disk();
        disk.create_dir("a/b").unwrap();
        let file = disk.create("a/b/c").unwrap();
        file.allocate(5000).unwrap();
        file.write_at(4000, &[7; 500]).unwrap();
        file.sync_data().unwrap();
        sync_dirs_up(&disk, "a/b").unwrap();
        assert_eq!((file.len().unwrap(), file.path()), (5000, "a/b/c"));
        let file = disk.open("a/b/c").unwrap();
        let (mut one, mut two) = ([9; 100], [9; 2000]);
        let mut batch = [
            ReadRequest::new(3950, &mut one),
            ReadRequest::new(4000, &mut two),
        ];
        file.read_batch(&mut batch);
        assert!(batch[0].result.is_ok());
        let short = batch[1].result.as_ref().unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Corrupt);
        assert_eq!((one[49], one[50]), (0, 7));
        let map = disk.map("a/b/c").unwrap();
        map.advise_random();
        map.advise_sequential();
        map.advise_dontneed();
        assert_eq!(map.as_ptr().align_offset(MAP_ALIGN), 0);
        assert!(map.len() == 5000 && map[4000..4500].iter().all(|&byte| byte == 7));
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        let (_dir, disk) = disk();
        disk.create("a").unwrap();
        let map = disk.map("a").unwrap();
        map.advise_dontneed();
        assert!(map.is_empty());
    }

    #[test]
    fn names_are_made_listed_linked_and_removed() {
        let (_dir, disk) = disk();
        disk.create_dir("d").unwrap();
        disk.create_dir("d").unwrap();
        disk.create("d/f").unwrap().write_at(0, b"xyz").unwrap();
        assert_eq!(
            disk.create("d/f").map(drop).unwrap_err().kind(),
            ErrorKind::Conflict
        );
        assert_eq!(
            disk.open("d/g").map(drop).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        disk.link("d/f", "g").unwrap();
        let entry = |name: &str, is_dir, len| DirEntry {
            name: name.into(),
            is_dir,
            len,
        };
        assert_eq!(
            disk.list("").unwrap(),
            [entry("d", true, 0), entry("g", false, 3)]
        );
        assert!(disk.remove_dir("d").is_err());
        disk.remove_file("d/f").unwrap();
        disk.remove_dir("d").unwrap();
        disk.sync_dir("").unwrap();
        assert!(!disk.exists("d").unwrap() && disk.exists("g").unwrap());
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn nothing_outside_the_data_directory_can_be_named() {
        let (_dir, disk) = disk();
        for path in [
            "../x",
            "/etc/x",
            "a/../../x",
            "a//b",
            "./a",
            "a/",
            "a\0b",
            "",
        ] {
            assert_eq!(
                disk.create(path).map(drop).unwrap_err().kind(),
                ErrorKind::Invalid
            );
            assert_eq!(
                disk.remove_file(path).unwrap_err().kind(),
                ErrorKind::Invalid
            );
            assert_eq!(
                disk.map(path).map(drop).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
    }

    #[test]
    fn a_lock_that_is_about_to_be_released_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let storage = DiskStorage::new(dir.path()).unwrap();
        let held = storage.lock("LOCK").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(2 * LOCK_PAUSE);
                drop(held);
            });
            storage.lock("LOCK").unwrap();
        });
    }

    #[test]
    fn the_second_to_lock_is_told_which_directory() {
        let (dir, disk) = disk();
        let lock = disk.lock("LOCK").unwrap();
        let refused = disk.lock("LOCK").map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        assert!(
            refused.to_string().contains(&*dir.path().to_string_lossy()),
            "{refused}"
        );
        drop(lock);
        disk.lock("LOCK").unwrap();
    }
}
