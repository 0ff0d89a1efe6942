//! Complete verification of a part: what scrubbing, compaction and shipping ask for.
//!
//! # Invariants
//! - A part that passes breaks no rule of its chapter that its bytes alone can show. Whether it is
//!   the part its source hash names, and whether its rows are those of its segment, they cannot.

use crate::codes::CodesLayout;
use crate::columns::ColumnView;
use crate::container::PartLayout;
use crate::error::{DecodeError, Why};
use crate::graph::GraphLayout;
use crate::patches::PatchesView;
use crate::path::PartKind;
use crate::payload::PayloadView;
use crate::product::ProductLayout;
use crate::rows::RowsView;
use crate::statistics::StatisticsLayout;
use crate::tombstones::TombstonesLayout;
use crate::value::Value;
use crate::vectors::VectorsLayout;

/// Verifies every block and all padding of the part in `bytes`, the whole file, then everything its
/// chapter demands, what opening leaves out included: each payload is decompressed and decoded.
///
/// Kinds without a chapter in this crate are verified as far as the container goes.
///
/// # Errors
/// The first thing that is wrong. Offsets count from the start of the file; for the content of a
/// payload, from its first byte.
pub fn verify_part(part: &PartLayout, bytes: &[u8]) -> Result<(), DecodeError> {
    part.verify_all(bytes)?;
    match part.header().kind {
        PartKind::Rows => RowsView::open(part, bytes)?.verify(),
        PartKind::Vectors => VectorsLayout::open(part, bytes)?.verify_absent(bytes),
        PartKind::Graph => GraphLayout::open(part, bytes).map(drop),
        PartKind::Payload => PayloadView::open(part, bytes)?.verify(decode),
        PartKind::Column => ColumnView::open(part, bytes)?.verify(),
        PartKind::Tombstones => TombstonesLayout::open(part, bytes).map(drop),
        PartKind::Patch => PatchesView::open(part, bytes)?.verify(decode),
        PartKind::Codes => CodesLayout::open(part, bytes)?.verify_past_end(bytes),
        PartKind::Product => ProductLayout::open(part, bytes)?.verify_codes(bytes),
        PartKind::Statistics => StatisticsLayout::open(part, bytes).map(drop),
        PartKind::Sparse => Ok(()),
    }
}

fn decode(payload: &[u8]) -> Result<(), DecodeError> {
    if matches!(Value::decode(payload)?, Value::Object(_)) {
        return Ok(());
    }
    let found = payload.first().map_or(0, |&tag| tag.into());
    Err(DecodeError::new(0, "payload", Why::Kind { found }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::{layout, writer};
    use crate::ids::SeqNo;
    use crate::{EMPTY_PAYLOAD, Element, Metric, PatchesBuilder, PayloadBuilder};
    use crate::{VectorShape, VectorsBuilder};

    // Blocks with correct checksums around payloads that are not values: only the content shows it.
    #[test]
    fn payloads_that_are_not_values_are_seen() {
        let null = Value::Null.to_bytes();
        for (payload, good) in [(EMPTY_PAYLOAD, true), (&null, false), (&[0xee; 40], false)] {
            let kind = PartKind::Payload;
            let mut builder = PayloadBuilder::new(writer(kind), SeqNo(1)).unwrap();
            builder.push(payload).unwrap();
            let bytes = builder.finish().unwrap().0;
            assert_eq!(verify_part(&layout(kind, &bytes), &bytes).is_ok(), good);

            let kind = PartKind::Patch;
            let mut builder = PatchesBuilder::new(writer(kind), 9, SeqNo(1)).unwrap();
            builder.push(4, SeqNo(1), payload).unwrap();
            let bytes = builder.finish().unwrap().0;
            assert_eq!(verify_part(&layout(kind, &bytes), &bytes).is_ok(), good);
        }
    }

    #[test]
    fn a_damaged_block_is_seen_before_its_content() {
        let kind = PartKind::Vectors;
        let shape = VectorShape {
            dim: 4,
            element: Element::U8,
            metric: Metric::Dot,
        };
        let mut builder = VectorsBuilder::new(writer(kind), shape).unwrap();
        builder.push(Some(&[1; 4])).unwrap();
        let mut bytes = builder.finish().unwrap().0;
        let part = layout(kind, &bytes);
        assert_eq!(verify_part(&part, &bytes), Ok(()));
        bytes[4096] ^= 1;
        assert_eq!(verify_part(&part, &bytes).unwrap_err().field, "block");
    }
}
