//! Cold parts: ranges of a file read in batches instead of through its map.
//!
//! ```text
//! ranges ── whole blocks where one is not verified ── sort ── join ── read at once ── verify
//! ```
//!
//! # What is verified
//! The first time that a block is needed it is read whole, verified, and noted as verified, in the
//! same notes as for the map. From then on the ranges alone are read, as they come from the disk:
//! what the disk got wrong before is found, and what it gets wrong later is not, exactly as for a
//! page of a map that left memory and is read in again. The next process verifies anew.
//!
//! # Invariants
//! - Every range is handed out once, or none after the first error.
//! - Memory for one batch is bounded by [`BATCH_BYTES`] and one span.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::segment::Part;
use crate::storage::{Advice, File, ReadRequest};

/// Ranges with no more bytes between them than these are read as one: a page costs as much as a
/// part of it.
const GAP: u64 = 4_096;
/// A span that is as long is not joined with the next: several are read side by side.
const SPAN_BYTES: u64 = 256 << 10;
/// Bytes read in one batch.
const BATCH_BYTES: u64 = 8 << 20;
/// Spans as long as this are those of a scan, which comes by once; the page cache of a part of
/// [`SCANNED_PART_BYTES`] or more keeps them not.
const SCANNED_BYTES: u64 = 64 << 10;
const SCANNED_PART_BYTES: u64 = 64 << 20;

/// Bytes read as one, and the ranges in them as positions in the sorted order.
#[derive(PartialEq, Eq, Debug)]
struct Span {
    bytes: Range<u64>,
    ranges: Range<usize>,
}

impl Part {
    /// Reads `ranges` from `file`, which is the part's own, and gives each with its number to
    /// `take`; the order is that of the file.
    ///
    /// # Errors
    /// `Corrupt` when a block does not verify, `Io` when the disk does not read.
    pub(crate) fn fetch(
        &self,
        file: &Arc<dyn File>,
        ranges: &[Range<u64>],
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        if let Some(damage) = self.damage() {
            return Err(damage);
        }
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|&at| (ranges[at].start, at));
        let widened = order.iter().map(|&at| self.widened(&ranges[at]));
        let spans = join(widened);
        let mut rest = &spans[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            rest = after;
            let sorted = |at: usize| (order[at], &ranges[order[at]]);
            self.read_spans(file, batch, sorted, &mut take)?;
        }
        Ok(())
    }

    /// The bytes to read for a range: itself, or the blocks around it if one is not verified.
    fn widened(&self, range: &Range<u64>) -> Range<u64> {
        let blocks = self.layout().blocks_of(range.clone());
        if blocks.clone().all(|block| self.is_verified(block)) {
            return range.clone();
        }
        let start = self.layout().block_range(blocks.start);
        let end = self.layout().block_range(blocks.end.saturating_sub(1));
        let around = start.zip(end).map(|(first, last)| first.start..last.end);
        around.unwrap_or_else(|| range.clone())
    }

    fn read_spans<'r>(
        &self,
        file: &Arc<dyn File>,
        spans: &[Span],
        sorted: impl Fn(usize) -> (usize, &'r Range<u64>),
        take: &mut impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let bytes: u64 = spans.iter().map(|span| len(&span.bytes)).sum();
        let mut buffer = vec![0; bytes as usize];
        let mut requests = Vec::with_capacity(spans.len());
        let mut rest = &mut buffer[..];
        for span in spans {
            let (own, after) = rest.split_at_mut(len(&span.bytes) as usize);
            requests.push(ReadRequest::new(span.bytes.start, own));
            rest = after;
        }
        file.read_batch(&mut requests);
        for (request, span) in requests.into_iter().zip(spans) {
            request.result?;
            if len(&span.bytes) >= SCANNED_BYTES && self.entry().len >= SCANNED_PART_BYTES {
                file.advise(Advice::Drop, span.bytes.clone());
            }
            for at in span.ranges.clone() {
                let (number, range) = sorted(at);
                self.verify_within(range, request.buf, span.bytes.start)?;
                let start = (range.start - span.bytes.start) as usize;
                take(number, &request.buf[start..start + len(range) as usize]);
            }
        }
        Ok(())
    }
}

fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Joins ranges that overlap or lie near each other, up to a length; they ascend by their start.
fn join(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, range) in ranges.enumerate() {
        if let Some(span) = spans.last_mut() {
            // Also of ranges that overlap, as blocks around rows do: rather a block is read twice
            // than a file at once.
            let near = range.start <= span.bytes.end + GAP && len(&span.bytes) < SPAN_BYTES;
            if near {
                // A widened range may start before the one it follows: they share a block.
                span.bytes.start = span.bytes.start.min(range.start);
                span.bytes.end = span.bytes.end.max(range.end);
                span.ranges.end = at + 1;
                continue;
            }
        }
        spans.push(Span {
            bytes: range,
            ranges: at..at + 1,
        });
    }
    spans
}

/// How many of `spans` are read in one batch.
fn batch_len(spans: &[Span]) -> usize {
    let mut bytes = 0;
    let fits = |span: &&Span| {
        bytes += len(&span.bytes);
        bytes <= BATCH_BYTES
    };
    spans.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ranges: &[Range<u64>]) -> Vec<(Range<u64>, Range<usize>)> {
        let spans = join(ranges.iter().cloned());
        let parts = |span: Span| (span.bytes, span.ranges);
        spans.into_iter().map(parts).collect()
    }

    #[test]
    fn ranges_that_are_near_are_read_as_one() {
        let far = 10 * SPAN_BYTES;
        assert_eq!(
            joined(&[0..10, 5..20, 20 + GAP..30 + GAP, far..far + 1]),
            [(0..30 + GAP, 0..3), (far..far + 1, 3..4)]
        );
        assert!(joined(&[]).is_empty());
    }

    #[test]
    fn long_spans_are_not_joined_though_they_overlap() {
        let step = SPAN_BYTES;
        assert_eq!(
            joined(&[0..step, step..2 * step, 2 * step - 1..2 * step + 5]),
            [
                (0..step, 0..1),
                (step..2 * step, 1..2),
                (2 * step - 1..2 * step + 5, 2..3)
            ]
        );
        let blocks = (0..1_000).map(|row| row * 3_072 / 16_384 * 16_384);
        let widened: Vec<_> = blocks.map(|start| start..start + 32_768).collect();
        let spans = join(widened.into_iter());
        assert!(
            spans
                .iter()
                .all(|span| len(&span.bytes) <= SPAN_BYTES + 32_768)
        );
    }

    #[test]
    fn a_batch_has_a_bound_and_at_least_one_span() {
        let span = |bytes| Span {
            bytes: 0..bytes,
            ranges: 0..1,
        };
        assert_eq!(batch_len(&[span(BATCH_BYTES + 1), span(1)]), 1);
        assert_eq!(batch_len(&[span(BATCH_BYTES - 1), span(1), span(1)]), 2);
        assert_eq!(batch_len(&[span(1)]), 1);
    }
}
