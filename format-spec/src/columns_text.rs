//! Text columns: a dictionary of tokens with postings, and where in their rows the tokens are.
//!
//! # Invariants
//! - Positions that `check` has accepted are, for each row of a token's postings, ascending.

use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use crate::bitmap::{BitmapLayout, BitmapView};
use crate::bytes::Reader;
use crate::columns::{MANY_TEXTS, POSITION_OFFSETS, POSITIONS};
use crate::columns_keyword::{Keywords, KeywordsLayout, check_offsets, part_of};
use crate::container::PartLayout;
use crate::error::{DecodeError, Why};
use crate::fields::{exact, failed, opened, require_equal};
use crate::ids::Row;
use crate::postings::next_varint;

/// The greatest position.
pub(crate) const POSITION_MAX: u32 = u32::MAX >> 1;

/// Where the sections of a text column are.
#[derive(Clone, Debug)]
pub(crate) struct TextsLayout {
    tokens: KeywordsLayout,
    many: BitmapLayout,
    positions: Option<(Range<u64>, Range<u64>)>,
}

impl TextsLayout {
    /// Checks the dictionary and everything about its tokens; returns the number of pairs.
    pub(crate) fn open(
        part: &PartLayout,
        bytes: &[u8],
        figures: (u32, u64),
        with_positions: bool,
    ) -> Result<(Self, u64), DecodeError> {
        let (rows, distinct) = figures;
        let (tokens, pairs) = KeywordsLayout::open(part, bytes, rows, distinct)?;
        let range = part.required_section(MANY_TEXTS)?;
        let at = range.start;
        let many = BitmapLayout::open(bytes, range, "many texts")?;
        require_equal(many.len().into(), rows.into(), at, "many texts")?;
        let positions = if with_positions {
            let offsets = part.required_section(POSITION_OFFSETS)?;
            let len = distinct.saturating_add(1).saturating_mul(8);
            let found = offsets.end - offsets.start;
            require_equal(found, len, offsets.start, "position offsets")?;
            Some((part.required_section(POSITIONS)?, offsets))
        } else {
            None
        };
        let layout = Self {
            tokens,
            many,
            positions,
        };
        if let Some((positions, offsets)) = &layout.positions {
            let view = layout.view(bytes);
            check_offsets(view.position_offsets, view.positions.len(), offsets)?;
            for token in 0..view.tokens.len() {
                let offset = view.position_offsets.get(token).map_or(0, |o| o.get());
                let bytes = part_of(view.positions, view.position_offsets, token);
                let bytes = Reader::starting_at(bytes, positions.start + offset);
                check_positions(bytes, view.tokens.postings(token).count())?;
            }
        }
        Ok((layout, pairs))
    }

    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Texts<'a> {
        let section = |range| opened(bytes, range);
        let (positions, offsets) = match &self.positions {
            Some((positions, offsets)) => (section(positions), section(offsets)),
            None => Default::default(),
        };
        Texts {
            tokens: self.tokens.view(bytes),
            many: self.many.view(bytes),
            has_positions: self.positions.is_some(),
            positions,
            position_offsets: <[U64]>::ref_from_bytes(offsets).unwrap_or_default(),
        }
    }
}

fn check_positions(mut bytes: Reader<'_>, rows: u64) -> Result<(), DecodeError> {
    for _ in 0..rows {
        let (mut position, mut first, mut more) = (0_u64, true, true);
        while more {
            let at = bytes.at();
            let step = bytes.varint("positions")?;
            more = step & 1 == 1;
            position = position.saturating_add(step >> 1);
            // A step has 32 bits at most, so that readers need not carry more.
            if !first && step >> 1 == 0 || position > POSITION_MAX.into() {
                return Err(failed(at, "positions", Why::Order));
            }
            first = false;
        }
    }
    exact(bytes.rest(), bytes.at(), 0, "positions").map(|_| ())
}

/// Appends the positions of a token in one row: ascending, at least one.
pub(crate) fn encode_positions(positions: &[u32], out: &mut Vec<u8>) {
    let mut last = 0;
    for (index, &position) in positions.iter().enumerate() {
        let more = u64::from(index + 1 < positions.len());
        crate::bytes::put_varint(out, u64::from(position - last) << 1 | more);
        last = position;
    }
}

/// The tokens of a text column.
#[derive(Copy, Clone, Debug)]
pub struct Texts<'a> {
    tokens: Keywords<'a>,
    many: BitmapView<'a>,
    has_positions: bool,
    positions: &'a [u8],
    position_offsets: &'a [U64],
}

impl<'a> Texts<'a> {
    /// The tokens with their rows.
    pub const fn tokens(&self) -> Keywords<'a> {
        self.tokens
    }

    /// The rows that have more than one text, so that two tokens of a row may be of different
    /// texts.
    pub const fn many_texts(&self) -> BitmapView<'a> {
        self.many
    }

    /// Whether the column knows where the tokens are.
    pub const fn has_positions(&self) -> bool {
        self.has_positions
    }

    /// Gives every token at every place, in order; without positions, each row once at position 0.
    pub fn each(&self, take: &mut dyn FnMut(TokenAt<'a>)) {
        let mut places = Vec::new();
        for (index, (token, rows)) in self.tokens.iter().enumerate() {
            let mut positions = self.positions(index);
            for row in rows.iter() {
                positions.next_row(&mut places);
                if !self.has_positions {
                    places.push(0);
                }
                for &position in &places {
                    take(TokenAt {
                        token,
                        row,
                        position,
                    });
                }
            }
        }
    }

    /// Where the token of a number is, row after row.
    pub fn positions(&self, token: usize) -> TokenPositions<'a> {
        TokenPositions {
            bytes: part_of(self.positions, self.position_offsets, token),
        }
    }
}

/// The positions of one token, row after row, in the order of its postings.
#[derive(Clone, Debug)]
pub struct TokenPositions<'a> {
    bytes: &'a [u8],
}

impl TokenPositions<'_> {
    /// Puts the positions in the next row into `out`, ascending; tells whether there is a row.
    pub fn next_row(&mut self, out: &mut Vec<u32>) -> bool {
        out.clear();
        let mut position = 0_u32;
        while let Some(step) = next_varint(&mut self.bytes) {
            position = position.wrapping_add(step >> 1);
            out.push(position);
            if step & 1 == 0 {
                return true;
            }
        }
        false
    }

    /// Passes over the next row.
    pub fn skip_row(&mut self) {
        while let Some(step) = next_varint(&mut self.bytes)
            && step & 1 == 1
        {}
    }
}

/// A token at a place in a row: what a text column is built from.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TokenAt<'t> {
    /// The token.
    pub token: &'t str,
    /// The row.
    pub row: Row,
    /// Its place among the tokens of the row; there is a gap between two texts.
    pub position: u32,
}
