//! What things cost: the measured constants, and the times that follow from them.
//!
//! `cargo run --release -p benches --bin plans` measures every constant again on the machine it
//! runs on and prints it beside the one in use; `benches/record/amd-epyc/2026-11-22-plans.md` is
//! the run the figures here are from, and `2026-11-23-plans.md` that of scans of codes. They only
//! have to be right about which plan is cheaper by a factor of two: the budget of visits bounds
//! what a wrong one costs.

use index::{NodeLayout, RowSet};

/// The constants of the cost function, in nanoseconds unless they say otherwise.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Constants {
    /// Scoring one row of many, in row order: a fixed part.
    pub scan_row: f64,
    /// The same for each byte of its vector.
    pub scan_byte: f64,
    /// Scoring one row on its own, out of order: a fixed part.
    pub score_row: f64,
    /// The same for each byte of its vector.
    pub score_byte: f64,
    /// Preparing a query for codes, for each dimension; some tables are made once a source.
    pub code_start_dim: f64,
    /// Estimating one block of 32 one-bit codes: a fixed part.
    pub block: f64,
    /// The same for each dimension.
    pub block_dim: f64,
    /// Estimating one row by its code of several bits, out of order: a fixed part.
    pub gather_row: f64,
    /// The same for each byte of its code.
    pub gather_byte: f64,
    /// Rows that a scan of one-bit codes estimates again, for each row wanted.
    pub refined_for_each: f64,
    /// Rows that a scan of codes compares exactly, for each row wanted.
    pub scored_for_each: f64,
    /// Estimating one row by its product codes: a fixed part.
    pub product_row: f64,
    /// The same for each byte of its code.
    pub product_byte: f64,
    /// The table of a query for product codes, and the candidates that are compared exactly.
    pub product_start: f64,
    /// Reading one node with codes in it and estimating all its neighbours: a fixed part.
    pub node: f64,
    /// The same for each dimension.
    pub node_dim: f64,
    /// Nodes read by a search that chooses its beam itself: so many at least.
    pub nodes_least: f64,
    /// Nodes read beyond those for each row wanted.
    pub nodes_for_each: f64,
    /// Reading a list of neighbours and asking which of its rows are new and accepted.
    pub list: f64,
    /// Rows expanded in a graph without codes by a search that chooses its beam itself: at least.
    pub expanded_least: f64,
    /// Rows expanded beyond those for each row wanted.
    pub expanded_for_each: f64,
    /// Decompressing and checking one payload block of 16 KiB.
    pub payload_block: f64,
    /// Testing one payload that is at hand.
    pub payload: f64,
}

impl Constants {
    /// What the planner counts with: one core of a Zen 4 with AVX-512.
    pub const IN_USE: Self = Self {
        scan_row: 2.0,
        scan_byte: 0.038,
        score_row: 30.0,
        score_byte: 0.03,
        code_start_dim: 5.0,
        block: 20.0,
        block_dim: 0.045,
        gather_row: 13.0,
        gather_byte: 0.02,
        refined_for_each: 30.0,
        scored_for_each: 4.0,
        product_row: 3.0,
        product_byte: 0.06,
        product_start: 40_000.0,
        node: 290.0,
        node_dim: 0.25,
        nodes_least: 600.0,
        nodes_for_each: 20.0,
        list: 100.0,
        expanded_least: 110.0,
        expanded_for_each: 4.0,
        payload_block: 12_500.0,
        payload: 75.0,
    };

    /// The constants with their names, in the order of the fields.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, f64); 23] {
        [
            ("scan_row", self.scan_row),
            ("scan_byte", self.scan_byte),
            ("score_row", self.score_row),
            ("score_byte", self.score_byte),
            ("code_start_dim", self.code_start_dim),
            ("block", self.block),
            ("block_dim", self.block_dim),
            ("gather_row", self.gather_row),
            ("gather_byte", self.gather_byte),
            ("refined_for_each", self.refined_for_each),
            ("scored_for_each", self.scored_for_each),
            ("product_row", self.product_row),
            ("product_byte", self.product_byte),
            ("product_start", self.product_start),
            ("node", self.node),
            ("node_dim", self.node_dim),
            ("nodes_least", self.nodes_least),
            ("nodes_for_each", self.nodes_for_each),
            ("list", self.list),
            ("expanded_least", self.expanded_least),
            ("expanded_for_each", self.expanded_for_each),
            ("payload_block", self.payload_block),
            ("payload", self.payload),
        ]
    }
}

/// The constants of every cost below.
const C: Constants = Constants::IN_USE;

/// Rows of a block of one-bit codes.
const BLOCK_ROWS: f64 = 32.0;
/// Rows of a word of a bitmap.
const WORD_ROWS: f64 = 64.0;
/// Rows whose payloads share a block: payloads of about 256 bytes.
const PAYLOAD_BLOCK_ROWS: f64 = 64.0;
/// Rows scored for each list read when most rows are accepted.
const SCORED_A_LIST: f64 = 20.0;
/// Neighbours in a list of the base layer on average.
const LIST_ROWS: f64 = 24.0;
/// What reading the codes of the neighbours of a row one by one costs, in rows gathered: 0.65 us a
/// node of 768 dimensions and 0.48 of 384 (`search --coded --coded-mb`).
const NEAR_A_LIST: f64 = 22.0;
/// Different rows within two steps; with few accepted, the accepted ones of them are scored.
const TWO_STEPS: f64 = 140.0;
/// Neighbours that look near enough to be looked through, of those of a node with codes.
const LOOKED_THROUGH: f64 = 8.0;
/// From this share of accepted rows on, a search of a graph without codes in its nodes goes by all
/// of them; below, it looks through those that are not accepted (`index`).
pub(crate) const DENSE_SHARE: f64 = 0.35;
/// Below this share the accepted rows within two steps are too few to lead anywhere: at 2 % a
/// search for 10 rows found 95 to 100 % of them, at 1 % 90 to 94 %, at 0.5 % 77 to 83 %. A scan
/// finds all.
pub(crate) const GRAPH_SHARE_LEAST: f64 = 0.03;

/// Scoring so many rows of so many bytes, in row order.
pub(crate) fn scan_ns(rows: f64, row_bytes: usize) -> f64 {
    rows * (C.scan_row + C.scan_byte * float(row_bytes))
}

/// Reading so many rows of so many bytes from a file before they are scored: a disk that gives a
/// gigabyte a second in order. Those that codes lead to are few on every path and not counted.
pub(crate) fn cold_ns(rows: f64, row_bytes: usize) -> f64 {
    const COLD_BYTE_NS: f64 = 1.0;
    rows * COLD_BYTE_NS * float(row_bytes)
}

/// Scoring one row that a graph or a code led to.
fn score_ns(row_bytes: usize) -> f64 {
    C.score_row + C.score_byte * float(row_bytes)
}

/// The codes of a source, as far as costs depend on them.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct CodeShape {
    /// Dimensions, padded.
    pub(crate) dim: usize,
    /// Bytes of a code of several bits; 0 where there are none.
    pub(crate) row_len: usize,
}

impl CodeShape {
    /// Scanning `blocks` blocks in which `rows` rows match, of vectors of so many bytes.
    pub(crate) fn blocks_ns(
        self,
        (blocks, rows): (f64, f64),
        wanted: f64,
        row_bytes: usize,
    ) -> f64 {
        let refined = (C.refined_for_each * wanted).min(rows);
        self.start_ns()
            + blocks * (C.block + C.block_dim * float(self.dim))
            + refined * self.gathered_ns()
            + self.scored_ns(rows, wanted, row_bytes)
    }

    /// Estimating each of `rows` rows by its code of several bits.
    pub(crate) fn gather_ns(self, rows: f64, wanted: f64, row_bytes: usize) -> f64 {
        self.start_ns() + rows * self.gathered_ns() + self.scored_ns(rows, wanted, row_bytes)
    }

    fn start_ns(self) -> f64 {
        C.code_start_dim * float(self.dim)
    }

    fn gathered_ns(self) -> f64 {
        C.gather_row + C.gather_byte * float(self.row_len)
    }

    fn scored_ns(self, rows: f64, wanted: f64, row_bytes: usize) -> f64 {
        // Until as many are found as are wanted nothing can be left out.
        let every = if self.row_len == 0 {
            C.refined_for_each
        } else {
            C.scored_for_each
        };
        (every * wanted).min(rows) * score_ns(row_bytes)
    }

    /// Reading one node and estimating its neighbours.
    fn node_ns(self, layout: NodeLayout) -> f64 {
        match layout {
            NodeLayout::Codes => C.node + C.node_dim * float(self.dim),
            NodeLayout::Lists | NodeLayout::Nothing => C.list + NEAR_A_LIST * self.gathered_ns(),
        }
    }
}

/// Blocks of one-bit codes with at least one row of such a share in them, where rows lie at random.
pub(crate) fn blocks_touched(rows: u32, share: f64) -> f64 {
    let touched = 1.0 - (1.0 - share.clamp(0.0, 1.0)).powf(BLOCK_ROWS);
    (f64::from(rows) / BLOCK_ROWS).ceil() * touched
}

/// Groups with at least one of `some` of `rows` rows that lie in so many groups, alike in each.
pub(crate) fn groups_touched(groups: f64, rows: f64, some: f64) -> f64 {
    if groups <= 0.0 || rows <= 0.0 {
        return 0.0;
    }
    let left = 1.0 - (some / rows).clamp(0.0, 1.0);
    groups * (1.0 - left.powf((rows / groups).max(1.0)))
}

/// How many of `blocks` blocks, which all rows of a set's source are spread over, have a row of the
/// set: by the words of its bitmap with such a row, so that rows that lie together count as they
/// lie.
pub(crate) fn blocks_of(rows: &RowSet, blocks: u32) -> u32 {
    let a_block = f64::from(rows.len()) / f64::from(blocks.max(1));
    let words = (a_block / WORD_ROWS).round().max(1.0) as usize;
    let groups = rows.words().chunks(words);
    let all = groups.len();
    let with_rows = |group: &&[u64]| group.iter().any(|word| *word != 0);
    let with_rows = float(groups.filter(with_rows).count());
    // Blocks of fewer rows than a word has: of a word with few rows some are without.
    let a_word = (f64::from(rows.count()) / with_rows.max(1.0) / WORD_ROWS).min(1.0);
    let part = if a_block < WORD_ROWS {
        1.0 - (1.0 - a_word).powf(a_block)
    } else {
        1.0
    };
    (with_rows / float(all.max(1)) * part * f64::from(blocks)).ceil() as u32
}

/// Scanning the product codes of so many rows.
pub(crate) fn product_scan_ns(rows: f64, row_len: usize) -> f64 {
    C.product_start + rows * (C.product_row + C.product_byte * float(row_len))
}

/// What a search of the graph is expected to do.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Walk {
    /// Lists or nodes read.
    pub(crate) lists: f64,
    scored: f64,
    score_ns: f64,
    list_ns: f64,
}

impl Walk {
    /// A search of nodes with codes for `wanted` rows, where such a share of all is accepted.
    pub(crate) fn coded(
        by: (CodeShape, NodeLayout),
        share: f64,
        wanted: f64,
        width: Width,
    ) -> Self {
        let nodes = nodes(wanted, width) / share.max(GRAPH_SHARE_LEAST);
        Self::of_nodes(by, nodes)
    }

    /// The same, looking through rows that are not accepted.
    pub(crate) fn coded_two_hops(
        by: (CodeShape, NodeLayout),
        share: f64,
        wanted: f64,
        width: Width,
    ) -> Self {
        Self::of_nodes(
            by,
            nodes(wanted, width) * (1.0 + (1.0 - share) * LOOKED_THROUGH),
        )
    }

    fn of_nodes((shape, layout): (CodeShape, NodeLayout), nodes: f64) -> Self {
        Self {
            lists: nodes,
            scored: 0.0,
            score_ns: 0.0,
            list_ns: shape.node_ns(layout),
        }
    }

    /// A search of a graph of vectors of so many bytes: rows that are not accepted lead the way.
    pub(crate) fn plain(row_bytes: usize, share: f64, wanted: f64, ef: Option<u32>) -> Self {
        let lists = expanded(wanted, ef) / share;
        Self::of_lists(row_bytes, lists, lists * SCORED_A_LIST)
    }

    /// The same, looking through rows that are not accepted.
    pub(crate) fn plain_two_hops(
        row_bytes: usize,
        share: f64,
        wanted: f64,
        ef: Option<u32>,
    ) -> Self {
        let expanded = expanded(wanted, ef);
        let lists = expanded * (1.0 + LIST_ROWS * (1.0 - share));
        Self::of_lists(row_bytes, lists, expanded * TWO_STEPS * share)
    }

    fn of_lists(row_bytes: usize, lists: f64, scored: f64) -> Self {
        Self {
            lists,
            scored,
            score_ns: score_ns(row_bytes),
            list_ns: C.list,
        }
    }

    /// How long it takes.
    pub(crate) fn cost_ns(&self) -> f64 {
        self.lists * self.list_ns + self.scored * self.score_ns
    }

    /// The lists that can be read in this time.
    pub(crate) fn lists_in(&self, time_ns: f64) -> f64 {
        time_ns / self.cost_ns() * self.lists
    }
}

/// How wide the beam over nodes with codes is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Width {
    /// If it is asked for.
    pub(crate) asked: Option<u32>,
    /// About, at least, where the search chooses it: what the known recall says. Where vectors are
    /// far from each other it goes on longer than it does among text embeddings, whose figure the
    /// constants have.
    pub(crate) likely: u32,
}

/// Nodes with codes that a search of all rows reads.
fn nodes(wanted: f64, width: Width) -> f64 {
    let chosen = C.nodes_least + C.nodes_for_each * wanted;
    let chosen = chosen.max(f64::from(width.likely));
    width.asked.map_or(chosen, |ef| f64::from(ef).max(wanted))
}

/// Rows of a graph without codes that a search of all rows expands.
fn expanded(wanted: f64, ef: Option<u32>) -> f64 {
    let chosen = C.expanded_least + C.expanded_for_each * wanted;
    ef.map_or(chosen, |ef| f64::from(ef).max(wanted))
}

/// Testing the payloads of `tested` of `open` rows, in row order, which lie in so many compressed
/// blocks, or are at hand.
pub(crate) fn settle_ns(tested: f64, open: f64, blocks: u32) -> f64 {
    let touched = groups_touched(f64::from(blocks), open, tested);
    tested * C.payload + touched * C.payload_block
}

/// Testing the payloads of all rows of a source.
pub(crate) fn payload_walk_ns(rows: u32) -> f64 {
    f64::from(rows) * (C.payload + C.payload_block / PAYLOAD_BLOCK_ROWS)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of a vector and words of a bitmap are far below 2^53"
)]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(len: u32, rows: impl Iterator<Item = u32>) -> RowSet {
        let mut set = RowSet::new(len);
        rows.for_each(|row| {
            set.insert(row);
        });
        set
    }

    #[test]
    fn blocks_are_counted_as_rows_lie() {
        let len = 64_000;
        for a_block in [8, 40, 64, 400] {
            let blocks = len / a_block;
            let all = blocks_of(&RowSet::full(len), blocks);
            assert_eq!(all, blocks);
            assert_eq!(blocks_of(&RowSet::new(len), blocks), 0);
            let together = blocks_of(&of(len, 6_400..7_040), blocks);
            let exactly = 640_u32.div_ceil(a_block);
            assert!(
                together >= exactly && together <= exactly + 2,
                "{a_block} a block: {together} of {exactly}"
            );
            // One in a hundred, in order but apart.
            let apart = blocks_of(&of(len, (0..len).step_by(100)), blocks);
            let exactly = blocks.min(640);
            let off = f64::from(apart) / f64::from(exactly);
            assert!((0.7..1.3).contains(&off), "{a_block} a block: {apart}");
        }
    }

    #[test]
    fn some_of_the_rows_touch_some_of_their_groups() {
        assert!((groups_touched(32.0, 1_000.0, 1_000.0) - 32.0).abs() < 1e-9);
        let few = groups_touched(32.0, 1_000.0, 10.0);
        assert!(few > 8.0 && few < 10.0, "{few}");
        assert!((groups_touched(1_000.0, 1_000.0, 10.0) - 10.0).abs() < 1e-9);
        assert!(groups_touched(0.0, 0.0, 0.0).abs() < 1e-9);
    }
}
