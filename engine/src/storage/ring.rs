//! One io_uring: a batch of reads of one file, many at once from one thread.
//!
//! # Invariants
//! - The kernel writes into a buffer from the moment its read is queued until its completion was
//!   taken. [`Ring::read`] does not come back before all completions were taken; where that cannot
//!   be had, the process ends rather than let the kernel write into memory that others use.
//! - At most [`DEPTH`] reads are under way, so the queue of completions never overflows.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, Probe, opcode, types};

use super::ReadRequest;

/// Reads under way at once: what one NVMe disk answers without queueing much.
pub(super) const DEPTH: usize = 64;
/// Bytes of one read at most: the kernel takes no more than 2 GiB.
const READ_MAX: usize = 1 << 30;

/// A ring; used by one thread at a time.
pub(super) struct Ring {
    ring: IoUring,
}

/// Where a read stands.
#[derive(Default)]
struct Progress {
    done: usize,
    outcome: Option<io::Result<()>>,
}

/// Reads the kernel may be writing for; ends the process if it is dropped with some left.
struct UnderWay(usize);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0 > 0 {
            tracing::error!(reads = self.0, "io_uring reads cannot be waited for");
            std::process::abort();
        }
    }
}

impl Ring {
    /// A new ring.
    ///
    /// # Errors
    /// What the kernel says; `Unsupported` when it knows io_uring and not this kind of read.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::new(DEPTH as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Read::CODE) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel's io_uring has no plain reads",
            ));
        }
        Ok(Self { ring })
    }

    /// Fills the buffers; one outcome a request, in their order.
    pub(super) fn read(
        &mut self,
        file: BorrowedFd<'_>,
        requests: &mut [ReadRequest<'_>],
    ) -> Vec<io::Result<()>> {
        let mut progress: Vec<Progress> = Vec::new();
        progress.resize_with(requests.len(), Progress::default);
        // Those to start, last first; a read that came back short is started again.
        let mut waiting: Vec<usize> = (0..requests.len()).rev().collect();
        let mut under_way = UnderWay(0);
        loop {
            while under_way.0 < DEPTH
                && let Some(at) = waiting.pop()
            {
                let (Some(request), Some(progress)) = (requests.get_mut(at), progress.get_mut(at))
                else {
                    continue;
                };
                if progress.done == request.buf.len() {
                    progress.outcome = Some(Ok(()));
                } else if self.push(file, request, progress.done, at as u64) {
                    under_way.0 += 1;
                } else {
                    waiting.push(at);
                    break;
                }
            }
            if under_way.0 == 0 {
                break;
            }
            self.wait();
            for entry in self.ring.completion() {
                under_way.0 = under_way.0.saturating_sub(1);
                let at = entry.user_data() as usize;
                if let Some(progress) = progress.get_mut(at)
                    && progress.take(entry.result())
                {
                    waiting.push(at);
                }
            }
        }
        let outcome = |progress: Progress| {
            let unread = || Err(io::Error::other("read was never started"));
            progress.outcome.unwrap_or_else(unread)
        };
        progress.into_iter().map(outcome).collect()
    }

    /// Queues the rest of a read; false when the queue is full.
    #[expect(unsafe_code, reason = "the kernel is given a pointer")]
    fn push(
        &mut self,
        file: BorrowedFd<'_>,
        request: &mut ReadRequest<'_>,
        done: usize,
        number: u64,
    ) -> bool {
        let Some(rest) = request.buf.get_mut(done..) else {
            return false;
        };
        let len = rest.len().min(READ_MAX) as u32;
        let fd = types::Fd(file.as_raw_fd());
        let entry = opcode::Read::new(fd, rest.as_mut_ptr(), len)
            .offset(request.offset + done as u64)
            .build()
            .user_data(number);
        // SAFETY: `read` holds file and buffer until the completion of this entry was taken, and
        // looks at the buffer only then; `len` is within it.
        unsafe { self.ring.submission().push(&entry) }.is_ok()
    }

    /// Gives the kernel what is queued and waits until one read is complete.
    fn wait(&mut self) {
        loop {
            let Err(error) = self.ring.submit_and_wait(1) else {
                return;
            };
            match error.raw_os_error() {
                // A signal came in between.
                Some(code) if code == rustix::io::Errno::INTR.raw_os_error() => {}
                // The kernel is short of memory, or wants completions taken first.
                Some(code)
                    if code == rustix::io::Errno::AGAIN.raw_os_error()
                        || code == rustix::io::Errno::BUSY.raw_os_error() =>
                {
                    if !self.ring.completion().is_empty() {
                        return;
                    }
                    std::thread::yield_now();
                }
                _ => {
                    tracing::error!(%error, "io_uring failed with reads under way");
                    std::process::abort();
                }
            }
        }
    }
}

impl Progress {
    /// Notes what one completion says; true when the read goes on.
    fn take(&mut self, result: i32) -> bool {
        let code = |errno: rustix::io::Errno| -errno.raw_os_error();
        match result {
            0 => {
                self.outcome = Some(Err(io::ErrorKind::UnexpectedEof.into()));
                false
            }
            count if count > 0 => {
                self.done += count as usize;
                true
            }
            again
                if again == code(rustix::io::Errno::INTR)
                    || again == code(rustix::io::Errno::AGAIN) =>
            {
                true
            }
            failed => {
                self.outcome = Some(Err(io::Error::from_raw_os_error(-failed)));
                false
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}
