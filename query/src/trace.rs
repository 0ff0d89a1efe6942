//! What the search of one source did: counted on the way, read by `explain`.
//!
//! Counts are sums of what each step returns, made once a step and not once a row, so that a search
//! that nobody asks about does not notice. Clocks are read only when somebody does.

use std::time::Duration;

use engine::{Clock, RowScorer};
use index::{CodeScanCounts, CodedCounts, Found};
use quant::BLOCK_ROWS;

use crate::plan::{AccessPath, Facts, Plan};

/// Why a search went another way than it set out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The graph took as long as the scan would.
    Budget,
    /// The rows that match are far from the query, and the graph did not meet them.
    Correlation,
    /// The graph found fewer than are wanted.
    TooFew,
    /// A part that the plan counted on is damaged or does not serve this query.
    Unusable,
}

impl Switch {
    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Correlation => "correlation",
            Self::TooFew => "too_few",
            Self::Unusable => "unusable",
        }
    }
}

/// What a search of one source did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actual {
    /// The path that gave the answer.
    pub path: Option<AccessPath>,
    /// Rows that match; `None` where a search found enough without testing all.
    pub matching: Option<u32>,
    /// Results.
    pub found: usize,
    /// Exact distances computed.
    pub distances: u64,
    /// Of them, those of rows that codes had let through.
    pub rescored: u64,
    /// Rows estimated by one-bit codes, in blocks.
    pub estimates: u64,
    /// Rows estimated by codes of several bits.
    pub refined: u64,
    /// Payloads read and tested.
    pub payloads: u64,
    /// Rows of which a graph search asked the bitmap.
    pub asked: u64,
    /// Nodes or lists of the graph that were read.
    pub nodes: u64,
    /// Blocks of codes scanned.
    pub blocks: u64,
    /// Blocks without a matching row.
    pub blocks_skipped: u64,
    /// Vectors and blocks of payloads read from cold files. What is mapped, columns among it, is
    /// not counted, whether its pages were in memory or not.
    pub cold_reads: u64,
    /// Bytes of them.
    pub cold_bytes: u64,
    /// Whether the plan was changed on the way, and why.
    pub switched: Option<Switch>,
    /// Time from names to the rows that match.
    pub filter: Duration,
    /// Time of the search itself.
    pub search: Duration,
}

/// What is noted while one source is searched.
#[derive(Debug, Default)]
pub(crate) struct Trace<'a> {
    pub(crate) actual: Actual,
    /// The plan, and the one made after payloads were tested; kept where there is a clock.
    pub(crate) plans: Vec<(Facts, Plan)>,
    clock: Option<&'a dyn Clock>,
}

impl<'a> Trace<'a> {
    /// For a search that somebody asks about.
    pub(crate) fn with(clock: &'a dyn Clock) -> Self {
        Self {
            clock: Some(clock),
            ..Self::default()
        }
    }

    /// Whether somebody asks.
    pub(crate) const fn is_on(&self) -> bool {
        self.clock.is_some()
    }

    /// The time, or 0 where nobody asks.
    pub(crate) fn now(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, Clock::monotonic)
    }

    pub(crate) fn plan(&mut self, facts: &Facts, plan: &Plan) {
        if self.is_on() {
            self.plans.push((*facts, *plan));
        }
    }

    /// A scan of `all` blocks of codes, or of rows by their codes.
    pub(crate) fn codes(&mut self, counts: CodeScanCounts, all: u64) {
        let actual = &mut self.actual;
        actual.blocks += counts.blocks;
        actual.blocks_skipped += all.saturating_sub(counts.blocks);
        actual.estimates += counts.blocks * BLOCK_ROWS as u64;
        self.refined(counts);
    }

    fn refined(&mut self, counts: CodeScanCounts) {
        self.actual.refined += counts.refined;
        self.actual.rescored += counts.scored;
        self.actual.distances += counts.scored;
    }

    pub(crate) fn coded_walk(&mut self, counts: CodedCounts) {
        self.actual.nodes += counts.expanded;
        self.actual.asked += counts.asked;
        self.actual.estimates += counts.expanded * BLOCK_ROWS as u64;
        self.refined(counts.refined);
    }

    pub(crate) fn walk(&mut self, found: &Found) {
        self.actual.nodes += found.visited;
        self.actual.asked += found.asked;
        self.actual.distances += found.distances;
    }

    pub(crate) fn scanned(&mut self, rows: u64) {
        self.actual.distances += rows;
    }

    pub(crate) fn cold(&mut self, scorer: &RowScorer<'_>) {
        let (reads, bytes) = scorer.cold_reads();
        self.actual.cold_reads += reads;
        self.actual.cold_bytes += bytes;
    }

    /// A search that goes on in another way; the first reason is the one that counts.
    pub(crate) fn switch(&mut self, why: Switch) {
        self.actual.switched.get_or_insert(why);
    }
}
