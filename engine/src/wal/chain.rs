//! How the files of a log prove that they are all there.
//!
//! Each file begins with a header that names the file before it, by number and random id, and a
//! marker with the SeqNo from which on it counts, its *base*. Both are durable before the first
//! operation, and they are written only when everything the log has up to the base is durable. So
//! from the newest file backwards every link says: the file before me holds records up to exactly
//! my base, and whatever comes after that in it was never acknowledged. The walk ends at a file
//! whose base the manifest has flushed.
//!
//! What else can be in the folder, besides files older than the walk that wait to be retired:
//! - a *void* file: allocated, its header not durable yet, nothing behind it: a spare;
//! - a file that was *never opened*: the header is there, its marker is not, nor anything behind.
//!
//! Both can only be newer than all others. A file that is neither and does not verify is damage.

use std::collections::BTreeMap;
use std::ops::Deref;

use format_spec::wal::{
    self as format, FILE_HEADER_LEN, FileHeader, KIND_SYNC_MARKER, Record,
    WalIdentity as FileIdentity,
};
use format_spec::{DecodeError, SeqNo, Why};
use memmap2::MmapMut;

use super::space::OPENING_LEN;
use super::{WalIdentity, file_path};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;

/// How a new file is tied to the one before it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) previous_number: u64,
    pub(super) previous_file_id: u64,
    pub(super) base: SeqNo,
}

impl Link {
    /// Of the first file of a log.
    pub(super) fn first(base: SeqNo) -> Self {
        Self {
            previous_number: 0,
            previous_file_id: 0,
            base,
        }
    }
}

/// A file that takes part in the log.
#[derive(Copy, Clone, Debug)]
pub(super) struct Opened {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) file_id: u64,
    pub(super) link: Link,
}

/// What a file of the folder is, from its first bytes.
#[derive(Debug)]
pub(super) enum Found {
    Opened(Opened),
    NeverOpened { len: u64 },
    Void { len: u64 },
    Damaged { len: u64, error: Error },
}

impl Found {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Opened(file) => file.len,
            Self::NeverOpened { len } | Self::Void { len } | Self::Damaged { len, .. } => *len,
        }
    }
}

/// Every log file of the folder.
pub(super) type Survey = BTreeMap<u64, Found>;

/// Looks at the first bytes of every file of the folder that has a name of ours.
pub(super) fn survey(storage: &dyn Storage, dir: &str, identity: WalIdentity) -> Result<Survey> {
    let mut found = Survey::new();
    for entry in storage.list(dir)? {
        match format_spec::path::parse_wal_name(&entry.name).filter(|_| !entry.is_dir) {
            Some(number) => {
                found.insert(number, look_at(storage, dir, identity, number)?);
            }
            None => tracing::warn!(dir, name = entry.name, "not a log file, left alone"),
        }
    }
    Ok(found)
}

fn look_at(storage: &dyn Storage, dir: &str, identity: WalIdentity, number: u64) -> Result<Found> {
    let path = file_path(dir, number);
    let file = storage.open(&path)?;
    let len = file.len()?;
    let mut start = [0; FILE_HEADER_LEN + format::record_len(0) as usize];
    let have = start.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    file.read_at(0, &mut start[..have])?;
    let start = &start[..have];

    let damaged = |error: DecodeError| Found::Damaged {
        len,
        error: decode_error(&path, error),
    };
    let header = match FileHeader::decode(start) {
        Ok(header) => header,
        // The checksum was good: a newer version wrote it.
        Err(error) if matches!(error.why, Why::Version { .. } | Why::Feature { .. }) => {
            return Err(decode_error(&path, error));
        }
        Err(error) => {
            let bytes = read_whole(storage, &path)?;
            // A header that is there in part, in a file that ends within it, was cut off later:
            // the length is durable before the header is written.
            let started = bytes.len() < FILE_HEADER_LEN && bytes.iter().any(|&byte| byte != 0);
            let void = format::is_void(&bytes) && !started;
            return Ok(if void {
                Found::Void { len }
            } else {
                damaged(error)
            });
        }
    };
    let expected = FileIdentity {
        number,
        collection: identity.collection,
        shard: identity.shard,
    };
    if header.identity != expected {
        return Ok(damaged(DecodeError::new(
            32,
            "file identity",
            Why::Identity,
        )));
    }
    if header.file_len != len {
        let why = Why::Truncated {
            need: header.file_len,
            have: len,
        };
        return Ok(damaged(DecodeError::new(len, "file length", why)));
    }
    let opening = &start[FILE_HEADER_LEN..];
    match Record::read(opening, header.file_id, FILE_HEADER_LEN as u64) {
        Ok(Some(record)) if record.header.kind == KIND_SYNC_MARKER => {
            let link = Link {
                previous_number: header.previous_number,
                previous_file_id: header.previous_file_id,
                base: SeqNo(record.header.seq_last),
            };
            Ok(Found::Opened(Opened {
                number,
                len,
                file_id: header.file_id,
                link,
            }))
        }
        Ok(_) | Err(_) => never_opened(storage, &path, &expected, len),
    }
}

/// A file with a good header and no marker behind it: was it ever used?
fn never_opened(
    storage: &dyn Storage,
    path: &str,
    expected: &FileIdentity,
    len: u64,
) -> Result<Found> {
    let bytes = read_whole(storage, path)?;
    let scanner = match format::WalScanner::new(&bytes, expected) {
        Ok(scanner) => scanner,
        Err(error) => {
            return Ok(Found::Damaged {
                len,
                error: decode_error(path, error),
            });
        }
    };
    let start = FILE_HEADER_LEN as u64;
    let mut records = scanner.clone();
    let first = records.next();
    let outcome = scanner.finish();
    let cut_off = matches!(
        outcome,
        format::ScanOutcome::CleanEnd { .. } | format::ScanOutcome::TornTail { .. }
    );
    let opening_len = usize::try_from(OPENING_LEN).unwrap_or(usize::MAX);
    let empty = bytes
        .get(opening_len..)
        .is_none_or(|rest| rest.iter().all(|&byte| byte == 0));
    if cut_off && first.is_none() && empty {
        return Ok(Found::NeverOpened { len });
    }
    let message = format!("no marker opens the file at byte {start}: {outcome:?}");
    Ok(Found::Damaged {
        len,
        error: Error::damaged(path, message),
    })
}

/// An error in the bytes of a file; a newer format is not damage.
pub(super) fn decode_error(path: &str, error: DecodeError) -> Error {
    if matches!(error.why, Why::Version { .. } | Why::Feature { .. }) {
        return Error::new(ErrorKind::Unsupported, "decode", "")
            .with_path(path)
            .with_source(error);
    }
    Error::corrupt(path, error)
}

/// Files from here on are read into a map of their own: an allocator would keep some thirty
/// megabytes for a while that nothing needs again. Small ones are not worth the system calls.
const MAP_BYTES_MIN: usize = 1 << 20;

/// All bytes of a file.
#[derive(Debug)]
pub(super) enum WholeFile {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Deref for WholeFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(map) => map,
        }
    }
}

/// Reads a file.
pub(super) fn read_whole(storage: &dyn Storage, path: &str) -> Result<WholeFile> {
    let file = storage.open(path)?;
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len < MAP_BYTES_MIN {
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        return Ok(WholeFile::Small(bytes));
    }
    let mut map = MmapMut::map_anon(len).map_err(|error| Error::io("read", path, error))?;
    file.read_at(0, &mut map)?;
    Ok(WholeFile::Large(map))
}

/// Takes the files out of the survey that hold the records after `after`, oldest first.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) when one of them is damaged or missing.
pub(super) fn chain(survey: &mut Survey, dir: &str, after: SeqNo) -> Result<Vec<Opened>> {
    let newest = survey
        .iter()
        .rev()
        .find(|(_, found)| !matches!(found, Found::Void { .. } | Found::NeverOpened { .. }));
    let Some((&newest, _)) = newest else {
        return Err(Error::damaged(dir, "no file of the log is there"));
    };
    if newest == u64::MAX {
        return Err(Error::damaged(
            file_path(dir, newest),
            "no number comes after it",
        ));
    }
    let mut chain = vec![take_opened(survey, dir, newest)?];
    loop {
        let first = chain[chain.len() - 1];
        if first.link.base <= after {
            break;
        }
        let previous = first.link.previous_number;
        if previous == 0 || previous != first.number - 1 {
            let message = format!(
                "the log begins after seqno {}, but only those up to {} are flushed",
                first.link.base.0, after.0
            );
            return Err(Error::damaged(file_path(dir, first.number), message));
        }
        let file = take_opened(survey, dir, previous)?;
        if file.file_id != first.link.previous_file_id {
            let message = format!("not the file that {} follows", file_path(dir, first.number));
            return Err(Error::damaged(file_path(dir, previous), message));
        }
        chain.push(file);
    }
    chain.reverse();
    Ok(chain)
}

fn take_opened(survey: &mut Survey, dir: &str, number: u64) -> Result<Opened> {
    match survey.remove(&number) {
        Some(Found::Opened(file)) => Ok(file),
        Some(Found::Damaged { error, .. }) => Err(error),
        Some(Found::Void { .. } | Found::NeverOpened { .. }) => {
            let message = "the file after it says that it had records";
            Err(Error::damaged(file_path(dir, number), message))
        }
        None => {
            let message = "missing, although the file after it names it";
            Err(Error::damaged(file_path(dir, number), message))
        }
    }
}
