//! Batches of reads of a real file: through io_uring, or `pread` on a few threads where there is
//! none. Which of the two is found out once, when the storage is opened.
//!
//! # Invariants
//! - Both read through the page cache: rows read often stay in memory, and the kernel may take that
//!   memory back at any time.
//! - Both give the same bytes and the same errors.

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;
use rustix::io::{Errno, ReadWriteFlags};

use super::ring::{DEPTH, Ring};
use super::{BatchedReads, ReadRequest, read_fully};

/// Threads that read where there is no ring: as many reads under way at once.
const THREADS: usize = 16;
/// Rings kept: as many batches at once, from as many threads. Beyond, batches are read otherwise.
const RINGS_MAX: usize = 32;

/// Whether batches of reads go through io_uring.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum IoUring {
    /// Where the kernel has it and allows it.
    #[default]
    Auto,
    /// Never.
    Off,
}

impl FromStr for IoUring {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err("expected `auto` or `off`".to_owned()),
        }
    }
}

/// Reads batches.
#[derive(Debug)]
pub(super) struct BatchReader {
    /// Why there are no rings.
    without: Option<String>,
    /// Rings nobody uses now.
    rings: Mutex<Rings>,
    threads: OnceLock<Option<rayon::ThreadPool>>,
    batches: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Rings {
    idle: Vec<Ring>,
    made: usize,
    /// Beyond, none is made.
    most: usize,
}

impl BatchReader {
    /// Finds out whether there is io_uring.
    pub(super) fn probe(io_uring: IoUring) -> Self {
        match io_uring {
            IoUring::Auto => Self::of(Ring::new().map_err(|error| error.to_string())),
            IoUring::Off => Self::of(Err("switched off".to_owned())),
        }
    }

    fn of(first: Result<Ring, String>) -> Self {
        let (idle, without) = match first {
            Ok(ring) => (vec![ring], None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let rings = Rings {
            made: idle.len(),
            most: if idle.is_empty() { 0 } else { RINGS_MAX },
            idle,
        };
        Self {
            without,
            rings: Mutex::new(rings),
            threads: OnceLock::new(),
            batches: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// How it reads and how much it has read.
    pub(super) fn report(&self) -> BatchedReads {
        let method = match &self.without {
            None => format!("io_uring, {DEPTH} reads at once"),
            Some(why) => format!("pread on {THREADS} threads, no io_uring: {why}"),
        };
        BatchedReads {
            method,
            batches: self.batches.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Fills the buffers; one outcome a request, in their order.
    pub(super) fn read(
        &self,
        file: BorrowedFd<'_>,
        requests: &mut [ReadRequest<'_>],
    ) -> Vec<io::Result<()>> {
        let bytes: usize = requests.iter().map(|request| request.buf.len()).sum();
        self.batches.fetch_add(1, Ordering::Relaxed);
        (self.reads).fetch_add(requests.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let outcomes = match &mut *requests {
            [] => Vec::new(),
            [one] => vec![read_whole(file, one.offset, one.buf)],
            many => match self.ring() {
                Some(mut ring) => {
                    let outcomes = ring.read(file, many);
                    self.rings.lock().idle.push(ring);
                    outcomes
                }
                None => self.read_on_threads(file, many),
            },
        };
        let ends = |(outcome, request): (io::Result<()>, &ReadRequest<'_>)| {
            outcome.map_err(|error| with_place(error, request))
        };
        outcomes.into_iter().zip(&*requests).map(ends).collect()
    }

    /// A ring for one batch.
    fn ring(&self) -> Option<Ring> {
        if self.without.is_some() {
            return None;
        }
        let mut rings = self.rings.lock();
        if let Some(ring) = rings.idle.pop() {
            return Some(ring);
        }
        if rings.made >= rings.most {
            return None;
        }
        match Ring::new() {
            Ok(ring) => {
                rings.made += 1;
                Some(ring)
            }
            // A kernel that limits locked memory refuses the next one, and those after it.
            Err(error) => {
                tracing::debug!(%error, rings = rings.made, "no further io_uring");
                rings.most = rings.made;
                None
            }
        }
    }

    fn read_on_threads(
        &self,
        file: BorrowedFd<'_>,
        requests: &mut [ReadRequest<'_>],
    ) -> Vec<io::Result<()>> {
        // What the page cache has is read here: giving it to another thread takes longer.
        let mut outcomes: Vec<io::Result<()>> = Vec::with_capacity(requests.len());
        let mut rest = Vec::new();
        for (at, request) in requests.iter_mut().enumerate() {
            if !read_cached(file, request.offset, request.buf) {
                rest.push((at, request));
            }
            outcomes.push(Ok(()));
        }
        let read = |(at, request): &mut (usize, &mut ReadRequest<'_>)| {
            (*at, read_whole(file, request.offset, request.buf))
        };
        let threads = if rest.len() > 1 { self.threads() } else { None };
        let found: Vec<(usize, io::Result<()>)> = match threads {
            Some(threads) => threads.install(|| rest.par_iter_mut().map(read).collect()),
            None => rest.iter_mut().map(read).collect(),
        };
        for (at, outcome) in found {
            outcomes[at] = outcome;
        }
        outcomes
    }

    /// The threads, started when they are first needed; `None` when they cannot be.
    fn threads(&self) -> Option<&rayon::ThreadPool> {
        let start = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(THREADS)
                .thread_name(|number| format!("cairn-read-{number}"))
                .build()
                .inspect_err(|error| tracing::warn!(%error, "no threads to read with"))
                .ok()
        };
        self.threads.get_or_init(start).as_ref()
    }
}

fn read_whole(file: BorrowedFd<'_>, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    read_fully(offset, buf, |at, rest| {
        Ok(rustix::io::pread(file, rest, at)?)
    })
}

/// Reads what is in memory already; false when it is not, or when anything is unusual.
fn read_cached(file: BorrowedFd<'_>, offset: u64, buf: &mut [u8]) -> bool {
    let mut slices = [IoSliceMut::new(buf)];
    let len = slices[0].len();
    loop {
        match rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            read => return read == Ok(len),
        }
    }
}

/// Says where the file ended, as a read on its own does.
fn with_place(error: io::Error, request: &ReadRequest<'_>) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error;
    }
    let (offset, len) = (request.offset, request.buf.len());
    let why = format!(
        "file ends before {}, wanted {len} bytes at {offset}",
        offset + len as u64
    );
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    /// One that reads through a ring, if the machine has them, and one that does not.
    fn readers() -> Vec<BatchReader> {
        let auto = BatchReader::probe(IoUring::Auto);
        if auto.without.is_some() {
            eprintln!("not tested with io_uring: {}", auto.report().method);
        }
        vec![auto, BatchReader::probe(IoUring::Off)]
    }

    fn file(len: usize) -> (File, Vec<u8>) {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + at / 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        (file, bytes)
    }

    #[test]
    fn many_more_reads_than_fit_at_once_bring_the_right_bytes() {
        let (file, bytes) = file(1_000_003);
        for reader in readers() {
            for cached in [true, false] {
                if !cached {
                    file.sync_all().unwrap();
                    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                }
                let place = |n: usize| ((n * 7_919) % 990_000, 1 + (n * 37) % 9_000);
                let mut buffers: Vec<Vec<u8>> = (0..700).map(|n| vec![0; place(n).1]).collect();
                let mut requests: Vec<ReadRequest<'_>> = buffers
                    .iter_mut()
                    .enumerate()
                    .map(|(n, buf)| ReadRequest::new(place(n).0 as u64, buf))
                    .collect();
                let outcomes = reader.read(file.as_fd(), &mut requests);
                assert_eq!(outcomes.len(), 700);
                for (n, outcome) in outcomes.into_iter().enumerate() {
                    outcome.unwrap();
                    let (at, len) = place(n);
                    assert_eq!(buffers[n], bytes[at..at + len], "read {n}");
                }
            }
            let report = reader.report();
            assert_eq!((report.batches, report.reads), (2, 1_400));
        }
    }

    #[test]
    fn a_read_past_the_end_fails_and_the_others_do_not() {
        let (file, bytes) = file(10_000);
        for reader in readers() {
            let (mut one, mut two) = ([0; 500], [0; 500]);
            let (mut three, mut four) = ([0; 500], []);
            let mut requests = [
                ReadRequest::new(9_800, &mut one),
                ReadRequest::new(123, &mut two),
                ReadRequest::new(1 << 40, &mut three),
                ReadRequest::new(10_000, &mut four),
            ];
            let outcomes = reader.read(file.as_fd(), &mut requests);
            let kinds: Vec<Option<io::ErrorKind>> = outcomes
                .iter()
                .map(|outcome| outcome.as_ref().err().map(io::Error::kind))
                .collect();
            let eof = Some(io::ErrorKind::UnexpectedEof);
            assert_eq!(kinds, [eof, None, eof, None]);
            assert!(
                outcomes[0]
                    .as_ref()
                    .unwrap_err()
                    .to_string()
                    .contains("9800")
            );
            assert_eq!(two, bytes[123..623]);
        }
    }

    #[test]
    fn what_the_disk_says_comes_back() {
        // A directory opens and cannot be read.
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        let opened = rustix::fs::open(dir.path(), flags, rustix::fs::Mode::empty());
        let file = File::from(opened.unwrap());
        for reader in readers() {
            let (mut one, mut two) = ([0; 10], [0; 10]);
            let mut requests = [ReadRequest::new(0, &mut one), ReadRequest::new(5, &mut two)];
            for outcome in reader.read(file.as_fd(), &mut requests) {
                let code = Some(Errno::ISDIR.raw_os_error());
                assert_eq!(outcome.unwrap_err().raw_os_error(), code);
            }
        }
    }

    #[test]
    fn without_io_uring_the_threads_read() {
        assert_eq!("off".parse(), Ok(IoUring::Off));
        assert!("on".parse::<IoUring>().is_err());
        let refused = BatchReader::of(Err("not permitted".to_owned()));
        let off = BatchReader::probe(IoUring::Off);
        for (reader, why) in [(refused, "not permitted"), (off, "switched off")] {
            assert!(reader.ring().is_none());
            let method = reader.report().method;
            assert!(
                method.starts_with("pread") && method.ends_with(why),
                "{method}"
            );
        }
    }

    #[test]
    fn batches_of_many_threads_do_not_mix() {
        let (file, bytes) = file(300_000);
        for reader in readers() {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (reader, file, bytes) = (&reader, &file, &bytes);
                    scope.spawn(move || {
                        for round in 0..20 {
                            let mut buffers = vec![[0; 100]; 90];
                            let at = |n: usize| (n * 3_001 + thread * 17 + round) % 299_000;
                            let mut requests: Vec<ReadRequest<'_>> = buffers
                                .iter_mut()
                                .enumerate()
                                .map(|(n, buf)| ReadRequest::new(at(n) as u64, buf))
                                .collect();
                            let outcomes = reader.read(file.as_fd(), &mut requests);
                            assert!(outcomes.iter().all(Result::is_ok));
                            for (n, buffer) in buffers.iter().enumerate() {
                                assert_eq!(buffer[..], bytes[at(n)..at(n) + 100]);
                            }
                        }
                    });
                }
            });
        }
    }
}
