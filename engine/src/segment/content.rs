//! The content of files as it is on the disk now, compared with the hashes in the manifest.
//!
//! A block is verified when it is first read, and what rots after that is not noticed: it must not
//! get into other files.

use format_spec::checksum::ContentHash;
use format_spec::{DecodeError, Why};

use crate::error::Result;
use crate::segment::{Part, Segment};
use crate::storage::Storage;

/// Bytes read at once.
const PIECE: u64 = 1 << 20;

impl Segment {
    /// Compares all parts that could not be made again of others; `check` is asked before each
    /// piece of a file.
    ///
    /// # Errors
    /// `Corrupt`, naming the file; what the disk and `check` say.
    pub(crate) fn check_contents(
        &self,
        storage: &dyn Storage,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let mut parts = self.parts.iter().filter(|p| !p.entry().kind.is_derived());
        parts.try_for_each(|part| check_content(part, storage, check))
    }
}

fn check_content(part: &Part, storage: &dyn Storage, check: &dyn Fn() -> Result<()>) -> Result<()> {
    let file = storage.open(part.path())?;
    let (mut hash, mut piece) = (ContentHash::default(), Vec::new());
    let (mut start, end) = (0, part.entry().len);
    while start < end {
        check()?;
        let len = PIECE.min(end - start);
        // At most `PIECE`.
        piece.resize(len as usize, 0);
        file.read_at(start, &mut piece)?;
        hash.update(&piece);
        start += len;
    }
    if hash.finish() == part.entry().hash {
        return Ok(());
    }
    Err(part.damaged(DecodeError::new(0, "content", Why::Hash)))
}
