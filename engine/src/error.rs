//! The engine's one error type.
//!
//! An [`Error`] says which operation failed, on what, and why, and its [`ErrorKind`] tells the
//! caller what to do about it. It is one word wide, so that `Result<()>` stays in a register on
//! the paths that succeed.
//!
//! # Invariants
//! - The kind is decided where the error is made; nobody parses a message later.
//! - `Display` prints one level, lower case, without a trailing dot; causes hang off `source()`.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What the engine returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: fix it and send it again.
    Invalid,
    /// What the request names does not exist.
    NotFound,
    /// It exists already, or somebody else changed it first.
    Conflict,
    /// Not now: wait and try again.
    Busy,
    /// Bytes on disk are damaged: repair, or fetch them from a replica.
    Corrupt,
    /// Written by a newer Cairn, or with a feature this one does not have.
    Unsupported,
    /// The operating system refused: an operator has to look.
    Io,
    /// No space left: free some, or delete points, which stays possible.
    DiskFull,
    /// An earlier write or sync failed, so nothing more may be acknowledged: restart from disk.
    Poisoned,
    /// The database is closing or closed.
    Closed,
}

impl ErrorKind {
    /// The words `Display` uses when there is nothing more precise to say.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid request",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Corrupt => "damaged",
            Self::Unsupported => "not supported by this version",
            Self::Io => "input or output failed",
            Self::DiskFull => "no space left on the disk",
            Self::Poisoned => "poisoned by an earlier failed write",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed operation: kind, verb, subject, detail and cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    op: &'static str,
    path: Option<String>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());

impl Error {
    /// An error of `kind` while doing `op`; `message` has the values.
    pub fn new(kind: ErrorKind, op: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            op,
            path: None,
            message: message.into(),
            source: None,
        }))
    }

    /// The operating system failed `op` on `path`.
    ///
    /// A full disk or quota becomes [`ErrorKind::DiskFull`], a missing file
    /// [`ErrorKind::NotFound`], an existing one [`ErrorKind::Conflict`], and a file that ends
    /// before the bytes that should be in it [`ErrorKind::Corrupt`].
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library's list is open; whatever it is, an operator has to look"
    )]
    pub fn io(op: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
            io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        };
        Self::new(kind, op, "").with_path(path).with_source(source)
    }

    /// The bytes of `path` are not what they should be; `source` says where and why.
    pub fn corrupt(path: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Corrupt, "decode", "")
            .with_path(path)
            .with_source(source)
    }

    /// `path` is damaged in a way only the engine can see, such as a gap between two files.
    pub fn damaged(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, "verify", message).with_path(path)
    }

    /// The request is wrong.
    pub fn invalid(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, op, message)
    }

    /// What the request names does not exist.
    pub fn not_found(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, op, message)
    }

    /// It exists already, or changed meanwhile.
    pub fn conflict(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, op, message)
    }

    /// Not possible now, perhaps later.
    pub fn busy(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Busy, op, message)
    }

    /// Readable only by a newer version.
    pub fn unsupported(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, op, message)
    }

    /// Refused before anything was changed, because the disk is too full.
    pub fn disk_full(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DiskFull, op, message)
    }

    /// An earlier failure forbids `op` until a restart; `message` tells that failure.
    pub fn poisoned(op: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Poisoned, op, message)
    }

    /// `op` came after close.
    pub fn closed(op: &'static str) -> Self {
        Self::new(ErrorKind::Closed, op, "")
    }

    /// The same error, about `path`: a file inside the data directory, or another subject.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The verb that failed: `write`, `sync`, `decode`, ...
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// The file or other subject, relative to the data directory.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The values; empty when kind and cause say it all.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// This error and all its causes in one line, for logs and for what a poisoned log repeats.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op)?;
        if let Some(path) = &self.0.path {
            write!(f, " {path}")?;
        }
        if self.0.message.is_empty() {
            write!(f, ": {}", self.0.kind)
        } else {
            write!(f, ": {}", self.0.message)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.0.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_codes_become_kinds() {
        let kind = |code: i32| Error::io("write", "a", io::Error::from_raw_os_error(code)).kind();
        assert_eq!(kind(28), ErrorKind::DiskFull);
        assert_eq!(kind(122), ErrorKind::DiskFull);
        assert_eq!(kind(2), ErrorKind::NotFound);
        assert_eq!(kind(17), ErrorKind::Conflict);
        assert_eq!(kind(5), ErrorKind::Io);
    }

    #[test]
    fn display_is_one_level_and_chain_is_all_of_them() {
        let error = Error::io("sync", "wal/000001.wal", io::Error::other("device gone"));
        assert_eq!(
            error.to_string(),
            "sync wal/000001.wal: input or output failed"
        );
        assert_eq!(
            error.chain(),
            "sync wal/000001.wal: input or output failed: device gone"
        );
        assert_eq!(Error::closed("append").to_string(), "append: closed");
    }
}
