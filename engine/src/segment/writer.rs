//! Writing one part file: create, stream, sync.
//!
//! The name of the file becomes durable with the sync of its directory, which the caller does
//! once for all parts of a manifest.

use std::io;
use std::sync::Arc;

use format_spec::container::{PartHeader, PartSummary, PartWriter, WriteError};
use format_spec::{PartEntry, PartId, PartKind, SeqNo};

use crate::attempt::note;
use crate::error::{Error, Result};
use crate::rate::RateLimit;
use crate::segment::part_path;
use crate::shard::Ground;
use crate::storage::File;

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Buffers what a [`PartWriter`] streams and writes it to a file.
#[derive(Debug)]
pub(crate) struct PartSink<'a> {
    file: Arc<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
    rate: &'a RateLimit,
}

impl PartSink<'_> {
    fn drain(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.rate.take(self.buffer.len() as u64);
        // The error passes through `io::Write` whole and is taken out again in `stream`.
        self.file
            .write_at(self.offset, &self.buffer)
            .map_err(io::Error::other)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl io::Write for PartSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.drain()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()
    }
}

/// What a part is, before it is written.
#[derive(Clone, Debug)]
pub(crate) struct PartPlan {
    pub(crate) kind: PartKind,
    /// Vector name, field path, or empty.
    pub(crate) name: String,
    pub(crate) source_hash: Option<[u8; 32]>,
    pub(crate) exact_for: SeqNo,
}

/// What a builder gives back: the sink, and length and hash of the part.
pub(crate) type Finished<'a> = Result<(PartSink<'a>, PartSummary), WriteError>;

/// Writes a part: `fill` gives it its sections. Its bytes are durable when this returns.
///
/// # Errors
/// What the disk says; the file is then removed if that is possible, and an orphan if not.
pub(crate) fn write_part<'a>(
    base: &'a Ground,
    plan: PartPlan,
    fill: impl FnOnce(PartWriter<PartSink<'a>>) -> Finished<'a>,
) -> Result<PartEntry> {
    let id = base.new_part();
    let path = part_path(&base.name.parts_dir(), id, plan.kind);
    let file = base.storage().create(&path)?;
    match stream(base, &file, id, &plan, fill) {
        Ok(summary) => {
            note(path);
            Ok(PartEntry {
                id,
                kind: plan.kind,
                name: plan.name,
                len: summary.len,
                hash: summary.hash,
                source_hash: plan.source_hash,
                exact_for: plan.exact_for,
                recall: Vec::new(),
                origin: None,
            })
        }
        Err(error) => {
            // An orphan is removed at the next start as well; the first error is the one to report.
            drop(base.storage().remove_file(&path));
            Err(error)
        }
    }
}

fn stream<'a>(
    base: &'a Ground,
    file: &Arc<dyn File>,
    id: PartId,
    plan: &PartPlan,
    fill: impl FnOnce(PartWriter<PartSink<'a>>) -> Finished<'a>,
) -> Result<PartSummary> {
    let mut header = PartHeader::new(plan.kind, id, base.name.collection, base.name.shard);
    if let Some(source) = plan.source_hash {
        header = header.derived_from(source);
    }
    let buffer = Vec::with_capacity(BUFFER_BYTES);
    let sink = PartSink {
        file: Arc::clone(file),
        offset: 0,
        buffer,
        rate: &base.rate,
    };
    let own = |error: io::Error| match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("write part", file.path(), error),
    };
    let (mut sink, summary) = match fill(PartWriter::new(sink, header)) {
        Ok(finished) => finished,
        Err(WriteError::Io(error)) => return Err(own(error)),
        Err(error) => {
            return Err(Error::invalid("write part", error.to_string()).with_path(file.path()));
        }
    };
    sink.drain().map_err(own)?;
    file.sync_data()?;
    Ok(summary)
}
