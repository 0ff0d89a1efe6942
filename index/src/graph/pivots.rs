//! Pivots: what rows are grouped around, each the mean of rows that are near it.
//!
//! They begin as rows drawn at random and move to the mean of the rows around them, as in k-means;
//! all is done with codes of one bit. Around means a scan of an eighth of the rows finds 90 of 100
//! nearest rows of text embeddings, around drawn rows 85.
//!
//! # Invariants
//! - Which pivots there are depends on the rows, their order and the seed alone.

use quant::{BlockBuilder, BlockEstimates, BlockQuery, PreparedRow, SignMean, SignRows};
use rayon::prelude::*;

use crate::error::BuildError;
use crate::graph::level::mix;
use crate::neighbor::ordered;
use crate::{Row, Space};

/// How often pivots move. Four times is no better than two.
const MOVES: usize = 2;
/// Rows a pivot that a move looks at, on average.
const SAMPLE_ROWS: usize = 32;

/// Codes of one bit in blocks.
#[derive(Debug)]
pub(super) struct Pivots {
    blocks: Vec<u8>,
    block_len: usize,
    count: usize,
}

/// A thread's memory for comparing a row with pivots and with blocks.
#[derive(Default)]
pub(super) struct Asking<P = PreparedRow> {
    prepared: P,
    pub(super) query: BlockQuery,
    pub(super) estimates: BlockEstimates,
}

impl<P: Default> Asking<P> {
    /// Bytes of a block of `space`, and its dimensions; `row` is any.
    pub(super) fn shape<S: Space<Prepared = P> + ?Sized>(space: &S, row: Row) -> (usize, usize) {
        let mut asking = Self::default();
        asking.prepare(space, row);
        (asking.query.block_len(), asking.query.padded())
    }

    /// Makes `row` the one to be compared.
    pub(super) fn prepare<S: Space<Prepared = P> + ?Sized>(&mut self, space: &S, row: Row) {
        space.prepare(row, &mut self.prepared);
        space.prepare_blocks(&self.prepared, &mut self.query);
    }
}

impl Pivots {
    /// `count` pivots, at least one, of the rows `among`, of which there is one.
    ///
    /// # Errors
    /// What `check` says, which is asked before each move.
    pub(super) fn new<S: Space + ?Sized>(
        (space, signs): (&S, &SignRows),
        among: &[Row],
        (count, seed): (usize, u64),
        check: &impl Fn() -> Result<(), BuildError>,
    ) -> Result<Self, BuildError> {
        let (block_len, padded) = Asking::shape(space, among[0]);
        let drawn = |nth: usize| {
            let at = mix(seed ^ (nth as u64) << 20) % among.len() as u64;
            Some(among[at as usize])
        };
        let mut pivots = Self {
            blocks: packed(signs, padded, (0..count).map(drawn)),
            block_len,
            count,
        };
        if count > 1 {
            let stride = (among.len() / (count * SAMPLE_ROWS)).max(1);
            let sample: Vec<Row> = among.iter().copied().step_by(stride).collect();
            for _ in 0..MOVES {
                check()?;
                pivots.move_to_means((space, signs), &sample, padded);
            }
        }
        Ok(pivots)
    }

    fn move_to_means<S: Space + ?Sized>(
        &mut self,
        (space, signs): (&S, &SignRows),
        sample: &[Row],
        padded: usize,
    ) {
        let nearest = |asking: &mut Asking<S::Prepared>, row: &Row| {
            asking.prepare(space, *row);
            self.nearest(asking)
        };
        let sampled = sample.par_iter();
        let nearest: Vec<u32> = sampled.map_init(Asking::default, nearest).collect();
        let mut means = vec![SignMean::new(padded); self.count];
        for (row, pivot) in sample.iter().zip(nearest) {
            means[pivot as usize].add(signs, *row as usize);
        }
        self.blocks = in_blocks(padded, &means, |block, mean| block.push_mean(mean));
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The pivot that seems nearest to the row asked about; the first of those that seem equal.
    pub(super) fn nearest<P>(&self, asking: &mut Asking<P>) -> u32 {
        let mut nearest = (u32::MAX, 0);
        self.each(asking, |distance, pivot| {
            nearest = nearest.min((distance, pivot));
        });
        nearest.1
    }

    /// All pivots with their ordered distances from the row asked about.
    pub(super) fn list<P>(&self, asking: &mut Asking<P>, out: &mut Vec<(u32, u32)>) {
        out.clear();
        self.each(asking, |distance, pivot| out.push((distance, pivot)));
    }

    fn each<P>(&self, asking: &mut Asking<P>, mut take: impl FnMut(u32, u32)) {
        let Asking {
            query, estimates, ..
        } = asking;
        // Pivots are few.
        let mut pivots = 0..self.count as u32;
        for block in self.blocks.chunks_exact(self.block_len) {
            query.block(block, f32::NEG_INFINITY, estimates);
            let distances = estimates.distances.iter();
            for (distance, pivot) in distances.zip(&mut pivots) {
                take(ordered(*distance), pivot);
            }
        }
    }
}

/// Blocks of the rows in their order; `None` leaves a place empty.
pub(super) fn packed(
    signs: &SignRows,
    padded: usize,
    rows: impl IntoIterator<Item = Option<Row>>,
) -> Vec<u8> {
    in_blocks(padded, rows, |block, row| match row {
        Some(row) => block.push_row(signs, row as usize),
        None => block.push_absent(),
    })
}

fn in_blocks<T>(
    padded: usize,
    items: impl IntoIterator<Item = T>,
    push: impl Fn(&mut BlockBuilder, T),
) -> Vec<u8> {
    let mut block = BlockBuilder::new(padded);
    let mut out = Vec::new();
    for item in items {
        push(&mut block, item);
        if block.is_full() {
            block.finish(&mut out);
        }
    }
    if !block.is_empty() {
        block.finish(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{Plain, pool};

    /// The mean distance of rows from their pivots, and of equal settings the same pivots.
    #[test]
    fn pivots_that_moved_are_nearer_to_their_rows() {
        let plain = Plain::clustered(6_000, 50, 64, 4);
        let space = plain.coded();
        let (block_len, padded) = Asking::shape(&space, 0);
        let blocks = space.blocks().unwrap().chunks_exact(block_len);
        let signs = SignRows::of_blocks(blocks, padded);
        let rows: Vec<Row> = (0..6_000).collect();
        let pivots = |check: &dyn Fn() -> Result<(), BuildError>| {
            Pivots::new((&space, &signs), &rows, (40, 3), &|| check())
        };
        let cancelled = || Err(BuildError::Cancelled { rows_done: 0 });
        assert!(pivots(&cancelled).is_err());
        let moved = pool(1).install(|| pivots(&|| Ok(()))).unwrap();
        let again = pool(3).install(|| pivots(&|| Ok(()))).unwrap();
        assert_eq!(moved.blocks, again.blocks);
        let drawn = rows.iter().step_by(150).map(|row| Some(*row));
        let drawn = Pivots {
            blocks: packed(&signs, padded, drawn),
            block_len,
            count: 40,
        };
        let within = |pivots: &Pivots| {
            // Pairs of rows with one pivot are near each other.
            let mut asking = Asking::default();
            let mut groups = vec![Vec::new(); 40];
            for row in rows.iter().step_by(7) {
                asking.prepare(&space, *row);
                groups[pivots.nearest(&mut asking) as usize].push(*row);
            }
            let (mut sum, mut pairs) = (0.0, 0);
            for pair in groups.iter().flat_map(|group| group.windows(2)) {
                let mut from = PreparedRow::default();
                space.prepare(pair[0], &mut from);
                sum += f64::from(space.distance(&from, pair[1]));
                pairs += 1;
            }
            sum / f64::from(pairs)
        };
        let (moved, drawn) = (within(&moved), within(&drawn));
        assert!(moved < drawn, "{moved} {drawn}");
    }
}
