//! Gather: payloads of rows that lie anywhere in some sources, in the order that is asked for.
//!
//! # Invariants
//! - Payloads are read some thousand at a time, in the order in which they lie: a block that many
//!   of them are in is decompressed once for all of them, however far apart they are asked for.
//! - At most [`GATHERED_BYTES`] of payloads, or one payload, are in memory.

use std::ops::Range;

use format_spec::Row;

use crate::error::{Error, Result};
use crate::payload_reader::PayloadReader;
use crate::segment::build::Checkpoint;
use crate::source::Source;

/// Most bytes of payloads in memory. Where the rows of a segment are far from the order they are
/// asked for, each run of so many reads about every block.
const GATHERED_BYTES: usize = 128 << 20;
/// Rows that are tried first, and at most, together.
const RUN_ROWS_FIRST: usize = 16 << 10;
const RUN_ROWS_MOST: usize = 1 << 20;

/// Rows read between two looks at whether to go on.
const CHECK_EVERY: usize = 4_096;

/// A row of one of some sources.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pick {
    /// Which of the sources.
    pub(crate) source: u32,
    /// The row there.
    pub(crate) row: Row,
}

/// Gives the payloads of `picks` to `take`, in their order.
///
/// # Errors
/// `Corrupt` when a source does not verify; what `check`, which is asked while rows are read, or
/// `take` return.
pub(crate) fn each_gathered<E: From<Error>>(
    sources: &[Source],
    picks: &[Pick],
    check: Checkpoint<'_>,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut run = Run::new(sources, GATHERED_BYTES, check);
    let mut rest = picks;
    while !rest.is_empty() {
        let count = run.read(rest)?;
        for place in &run.places {
            take(&run.bytes[place.clone()])?;
        }
        run.taken += count as u64;
        rest = &rest[count..];
    }
    Ok(())
}

/// Payloads that follow each other.
struct Run<'a> {
    readers: Vec<PayloadReader<'a>>,
    bytes_max: usize,
    /// Rows to try next.
    rows: usize,
    bytes: Vec<u8>,
    /// Where each payload is in `bytes`.
    places: Vec<Range<usize>>,
    /// In which order they are read.
    order: Vec<u32>,
    /// Payloads of the runs before.
    taken: u64,
    check: Checkpoint<'a>,
}

impl<'a> Run<'a> {
    fn new(sources: &'a [Source], bytes_max: usize, check: Checkpoint<'a>) -> Self {
        Self {
            readers: sources.iter().map(Source::mapped_payloads).collect(),
            bytes_max,
            rows: RUN_ROWS_FIRST,
            bytes: Vec::new(),
            places: Vec::new(),
            order: Vec::new(),
            taken: 0,
            check,
        }
    }

    /// Reads the first of `picks`, as many as there is room for; tells how many those are.
    fn read(&mut self, picks: &[Pick]) -> Result<usize> {
        loop {
            let count = self.rows.min(picks.len());
            if self.read_all(&picks[..count])? {
                // Each run reads most blocks of rows that are far from the order: the longer the
                // runs, the fewer they are.
                let room = self.bytes_max / 8 * 7;
                if self.bytes.len() < room {
                    let fitting = count * room / self.bytes.len().max(1);
                    self.rows = fitting.clamp(1, RUN_ROWS_MOST);
                }
                return Ok(count);
            }
            self.rows = count / 2;
        }
    }

    /// Reads these, or finds that there is no room for them; for one there is.
    fn read_all(&mut self, picks: &[Pick]) -> Result<bool> {
        self.bytes.clear();
        self.places.clear();
        self.places.resize(picks.len(), 0..0);
        self.order.clear();
        self.order.extend((0..).take(picks.len()));
        self.order.sort_unstable_by_key(|&at| picks[at as usize]);
        for (nth, &at) in self.order.iter().enumerate() {
            if nth % CHECK_EVERY == 0 {
                (self.check)(self.taken)?;
            }
            let Pick { source, row } = picks[at as usize];
            let payload = self.readers[source as usize].get(row)?;
            let start = self.bytes.len();
            if start + payload.len() > self.bytes_max && picks.len() > 1 {
                return Ok(false);
            }
            self.bytes.extend_from_slice(payload);
            self.places[at as usize] = start..self.bytes.len();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;
    use format_spec::{PointId, Schema, SeqNo};

    #[test]
    fn payloads_come_in_the_order_asked_for_however_little_room_there_is() {
        let mut sources = Vec::new();
        for source in 0..3_u64 {
            let mut table = Memtable::of(&Schema::default());
            for row in 0..100 {
                let payload = vec![source as u8; 1 + row as usize];
                table.insert(PointId::Number(row), SeqNo(row + 1), |_| None, &payload);
            }
            sources.push(Source::Memtable(table.view(SeqNo(101))));
        }
        let pick = |at: u32| Pick {
            source: at % 3,
            row: at * 37 % 100,
        };
        let picks: Vec<Pick> = (0..1_000).map(pick).collect();
        for bytes_max in [1, 50, 1_000, 1 << 20] {
            let mut run = Run::new(&sources, bytes_max, &|_| Ok(()));
            let (mut rest, mut found, mut most) = (&picks[..], Vec::new(), 0);
            while !rest.is_empty() {
                let count = run.read(rest).unwrap();
                let places = run.places.iter();
                found.extend(places.map(|place| run.bytes[place.clone()].to_vec()));
                most = most.max(if count > 1 { run.bytes.len() } else { 0 });
                rest = &rest[count..];
            }
            assert!(most <= bytes_max);
            let wanted = picks.iter().map(|pick| {
                let len = 1 + pick.row as usize;
                vec![pick.source as u8; len]
            });
            assert!(found.iter().cloned().eq(wanted), "room for {bytes_max}");
        }
    }
}
