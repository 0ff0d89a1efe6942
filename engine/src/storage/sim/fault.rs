//! What can go wrong on the simulated disk, on request.

use std::io;

/// What an operation does, for counting, for the trace and for choosing which one fails.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OpKind {
    /// Making a file.
    Create,
    /// Making a directory.
    CreateDir,
    /// Giving a file a second name.
    Link,
    /// Removing a file or a directory.
    Remove,
    /// Writing bytes.
    Write,
    /// Reserving space.
    Allocate,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory's names durable.
    SyncDir,
    /// Opening a file.
    Open,
    /// Reading or mapping bytes.
    Read,
    /// Listing, looking up, asking for length or free space, locking.
    Look,
}

impl OpKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::CreateDir,
        Self::Link,
        Self::Remove,
        Self::Write,
        Self::Allocate,
        Self::Sync,
        Self::SyncDir,
        Self::Open,
        Self::Read,
        Self::Look,
    ];

    /// Whether it changes what a crash could leave behind. Only these are numbered.
    pub const fn changes_disk(self) -> bool {
        !matches!(self, Self::Open | Self::Read | Self::Look)
    }
}

/// One numbered operation of the trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// What it did.
    pub kind: OpKind,
    /// On which file or directory.
    pub path: String,
    /// Where in the file; the new length for an allocation.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// The error an injected fault returns.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
}

impl FaultError {
    pub(super) fn to_io(self) -> io::Error {
        // The raw codes of Linux, so that errors take the path a real one takes.
        io::Error::from_raw_os_error(match self {
            Self::Io => 5,
            Self::NoSpace => 28,
        })
    }
}

/// What a failed sync does to the bytes it was to make durable.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum SyncFailure {
    /// They can still be read, are not durable, and the next sync believes them to be (ext4).
    #[default]
    Lost,
    /// They are gone at once: reads return what was durable before (Btrfs).
    Reverted,
    /// Some may have become durable: they stay pending, a crash decides.
    Unknown,
}

/// An order to fail.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which operations it counts; `None` counts all.
    pub kind: Option<OpKind>,
    /// How many of those succeed first, counted from when the fault is set.
    pub after: u64,
    /// Whether every later one fails too, or only one.
    pub sticky: bool,
    /// With what.
    pub error: FaultError,
    /// What a failing sync does.
    pub sync: SyncFailure,
}

impl Fault {
    /// Fails one operation of `kind` with `EIO` after `after` good ones.
    pub const fn once(kind: OpKind, after: u64) -> Self {
        Self {
            kind: Some(kind),
            after,
            sticky: false,
            error: FaultError::Io,
            sync: SyncFailure::Lost,
        }
    }

    /// The same, for ever after.
    #[must_use]
    pub const fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// The same, with another error.
    #[must_use]
    pub const fn with_error(mut self, error: FaultError) -> Self {
        self.error = error;
        self
    }

    /// The same, with another effect of a failed sync.
    #[must_use]
    pub const fn with_sync(mut self, sync: SyncFailure) -> Self {
        self.sync = sync;
        self
    }
}

/// The faults that are set, and the process's death.
#[derive(Clone, Default, Debug)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    /// The numbered operation from which on everything fails.
    pub(super) stop_after: Option<u64>,
}

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
}

impl Faults {
    pub(super) fn set(&mut self, fault: Fault) {
        self.armed.push(Armed { fault, seen: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// Counts an operation and says whether, and how, it fails. `number` is how many numbered
    /// operations have been done.
    pub(super) fn strike(&mut self, kind: OpKind, number: u64) -> Option<Fault> {
        if self.stop_after.is_some_and(|stop| number >= stop) {
            return Some(
                Fault::once(kind, 0)
                    .sticky()
                    .with_sync(SyncFailure::Unknown),
            );
        }
        let mut struck = None;
        for armed in &mut self.armed {
            if armed.fault.kind.is_none_or(|wanted| wanted == kind) {
                let seen = armed.seen;
                armed.seen += 1;
                if seen == armed.fault.after || (armed.fault.sticky && seen > armed.fault.after) {
                    struck = Some(armed.fault);
                }
            }
        }
        struck
    }
}
