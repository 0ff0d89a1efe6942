//! Which rows of a source match a filter.
//!
//! Columns, statistics and ids answer first, for all rows at once and without reading a payload;
//! what they leave open (zones in which a field without a column may match, patched rows, rows with
//! values that the column does not hold) is tested on its payload, row after row in row order, so
//! that each payload block is decompressed once, and on several threads where that pays.
//!
//! ```text
//!  must a = 1 (column)   b > 2 (statistics)       live rows that have the vector
//!        │                     │                              │
//!   sure / perhaps  and    sure / perhaps        ─►  sure rows, open rows  ─►  payloads
//! ```
//!
//! # Invariants
//! - Whatever is answered here is what `eval_payload` answers for the payload of the row.
//! - A patched row is never answered from a column.

use std::ops::Range;

use engine::{PayloadReader, Source};
use format_spec::ids::PointId;
use format_spec::value::ValueRef;
use index::{Row, RowSet};
use rayon::prelude::*;

use super::access::Access;
use super::ask::{Ask, ValueTest};
use super::bind::{Bound, Field, Test};
use super::derive;
use super::estimate::{Estimate, Estimator};
use super::eval_payload::{Known, matches};
use super::subset::{Answer, Subset, Tally};
use crate::budget::{Budget, TESTED_ROWS, WALKED_CORNERS};
use crate::cost;
use crate::error::{QueryError, damaged_payload};

/// Once so few rows are left, their payloads answer sooner than the next column does.
///
/// A payload costs up to one block of 16 KiB to decompress, about 12 us; a column of a million rows
/// about a millisecond.
const FEW_ROWS: u32 = 16;

/// The rows of one source that match, as far as columns and ids tell. All are live.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Rows that match.
    pub(crate) sure: RowSet,
    /// Rows of which only the payload tells. None is in `sure`.
    pub(crate) open: RowSet,
}

/// Answers `filter` for the rows of `within`, reading no payload.
pub(crate) fn candidates(
    filter: &Bound<'_>,
    source: &Source,
    within: &RowSet,
    budget: &Budget<'_>,
) -> Result<Candidates, QueryError> {
    let patched = source.patched();
    let scope = Scope {
        source,
        patched: patched.as_ref(),
        rows: source.rows(),
        budget,
    };
    let answer = scope.filter(filter, within)?;
    let sure = answer.sure.of(within);
    let mut open = answer.perhaps.of(within);
    open.and_not(&sure);
    Ok(Candidates { sure, open })
}

struct Scope<'s> {
    source: &'s Source,
    patched: Option<&'s RowSet>,
    rows: u32,
    budget: &'s Budget<'s>,
}

impl Scope<'_> {
    fn filter(&self, filter: &Bound<'_>, within: &RowSet) -> Result<Answer, QueryError> {
        let mut answer = self.all_of(&filter.must, within)?;
        for test in &filter.must_not {
            if answer.is_none() {
                return Ok(answer);
            }
            answer = answer.and(self.test(test, within)?.not());
        }
        if !filter.should.is_empty() && !answer.is_none() {
            let mut any = Answer::NONE;
            for test in &filter.should {
                any = any.or(self.test(test, within)?);
            }
            answer = answer.and(any);
        }
        if let Some((count, tests)) = &filter.min_should
            && !answer.is_none()
        {
            let mut tally = Tally::new(self.rows);
            for test in tests {
                tally.add(&self.test(test, within)?);
            }
            answer = answer.and(tally.at_least(*count));
        }
        Ok(answer)
    }

    /// All tests hold: the most selective first, and no more columns once few rows are left.
    fn all_of(&self, tests: &[Test<'_>], within: &RowSet) -> Result<Answer, QueryError> {
        if let [test] = tests {
            return self.test(test, within);
        }
        let estimator = Estimator::new(self.source, self.budget);
        let mut ordered: Vec<(Estimate, &Test<'_>)> = Vec::with_capacity(tests.len());
        for test in tests {
            ordered.push((estimator.test(test)?, test));
        }
        ordered.sort_by_key(|(estimate, _)| estimate.max);
        let mut answer = Answer::ALL;
        for (_, test) in ordered {
            match &answer.perhaps {
                Subset::Nothing => return Ok(answer),
                // The tests not asked may still refuse any of the few.
                Subset::These(few) if few.count() <= FEW_ROWS => {
                    return Ok(answer.and(Answer::OPEN));
                }
                Subset::These(_) | Subset::Everything => {}
            }
            answer = answer.and(self.test(test, within)?);
        }
        Ok(answer)
    }

    fn test(&self, test: &Test<'_>, within: &RowSet) -> Result<Answer, QueryError> {
        // One test walks a dictionary at most.
        self.budget.check()?;
        match test {
            Test::Field(field) => self.field(field),
            Test::Filter(filter) => self.filter(filter, within),
            Test::HasId(ids) => {
                let mut rows = RowSet::new(self.rows);
                for id in ids {
                    if let Some(row) = self.source.row_of(*id)? {
                        rows.insert(row);
                    }
                }
                Ok(Answer::exact(rows))
            }
            Test::HasVector { position, .. } => {
                let present = self.source.present(*position)?;
                Ok(present.map_or(Answer::ALL, Answer::exact))
            }
            Test::Slice(slice) => {
                // An id costs a few nanoseconds, a payload three hundred.
                let mut rows = RowSet::new(self.rows);
                for row in within {
                    if slice.contains(self.source.id(row)?) {
                        rows.insert(row);
                    }
                }
                Ok(Answer::exact(rows))
            }
            Test::Nested(_, filter) => Ok(Answer {
                sure: Subset::Nothing,
                perhaps: self.around(filter)?,
            }),
            Test::Never => Ok(Answer::NONE),
        }
    }

    fn field(&self, field: &Field<'_>) -> Result<Answer, QueryError> {
        let access = Access::of(field, self.source)?;
        access.answer(&field.ask, (self.rows, self.patched), self.budget)
    }
}

/// Nested conditions: what columns and statistics of the fields inside say of the rows around.
impl Scope<'_> {
    /// The rows that may have an element that matches. What an element must not be is not asked.
    fn around(&self, filter: &Bound<'_>) -> Result<Subset, QueryError> {
        let mut rows = Subset::Everything;
        for test in &filter.must {
            rows = rows.and(self.around_test(test)?);
        }
        if !filter.should.is_empty() {
            let mut any = Subset::Nothing;
            for test in &filter.should {
                any = any.or(self.around_test(test)?);
            }
            rows = rows.and(any);
        }
        Ok(rows)
    }

    /// The rows that may have an element that passes: those in which any element passes.
    fn around_test(&self, test: &Test<'_>) -> Result<Subset, QueryError> {
        self.budget.check()?;
        match test {
            Test::Filter(filter) | Test::Nested(_, filter) => self.around(filter),
            Test::Never => Ok(Subset::Nothing),
            Test::Field(field) => {
                let access = Access::around(field, self.source)?;
                let state = (self.rows, self.patched);
                Ok(access.answer(&field.ask, state, self.budget)?.perhaps)
            }
            Test::HasId(_) | Test::HasVector { .. } | Test::Slice(_) => Ok(Subset::Everything),
        }
    }
}

impl Candidates {
    /// Tests the open rows: exactly the rows that match.
    pub(crate) fn settle(
        mut self,
        filter: &Bound<'_>,
        source: &Source,
        budget: &Budget<'_>,
    ) -> Result<RowSet, QueryError> {
        self.settle_in_place(filter, source, budget)?;
        Ok(self.sure)
    }

    /// Tests the open rows; none are left open.
    pub(crate) fn settle_in_place(
        &mut self,
        filter: &Bound<'_>,
        source: &Source,
        budget: &Budget<'_>,
    ) -> Result<(), QueryError> {
        if derive::make(filter, source, self.open.count(), budget)? {
            let left = candidates(filter, source, &self.open, budget)?;
            self.sure.or(&left.sure);
            self.open = left.open;
        }
        let words = self.open.words().len();
        let matching = match budget.helpers(cost::payload_walk_ns(self.open.count())) {
            Some(pool) => {
                // Some more parts than threads: matching rows are seldom spread evenly.
                let parts = 4 * pool.current_num_threads();
                let part = |n: usize| words * n / parts..words * (n + 1) / parts;
                let test = |n| test_rows(filter, source, rows_of(&self.open, part(n)), budget);
                let tested: Result<Vec<_>, _> =
                    pool.install(|| (0..parts).into_par_iter().map(test).collect());
                tested?
            }
            None => vec![test_rows(filter, source, self.open.iter(), budget)?],
        };
        for row in matching.into_iter().flatten() {
            self.sure.insert(row);
        }
        self.open = RowSet::new(self.open.len());
        Ok(())
    }

    /// Rows that match or may match.
    pub(crate) fn possible(&self) -> RowSet {
        let mut rows = self.sure.clone();
        rows.or(&self.open);
        rows
    }
}

/// Corners of the polygons that a place may be held against.
fn corners(filter: &Bound<'_>) -> usize {
    let of_test = |test: &Test<'_>| match test {
        Test::Filter(inner) | Test::Nested(_, inner) => corners(inner),
        Test::Field(field) => match &field.ask {
            Ask::Any(ValueTest::Geo(shape)) => shape.corners(),
            Ask::Any(_) | Ask::IsEmpty(_) | Ask::IsNull(_) | Ask::Count(_) => 0,
        },
        Test::HasId(_) | Test::HasVector { .. } | Test::Slice(_) | Test::Never => 0,
    };
    filter.tests().map(of_test).sum()
}

/// The rows that match.
fn test_rows(
    filter: &Bound<'_>,
    source: &Source,
    rows: impl Iterator<Item = Row>,
    budget: &Budget<'_>,
) -> Result<Vec<Row>, QueryError> {
    let mut tester = RowTester::new(filter, source);
    let mut matching = Vec::new();
    let at_once = (WALKED_CORNERS / corners(filter).max(1)).clamp(1, TESTED_ROWS);
    for (tested, row) in rows.enumerate() {
        if tested % at_once == 0 {
            budget.check()?;
        }
        if tester.test(row)? {
            matching.push(row);
        }
    }
    budget.note_cold(tester.cold_reads());
    Ok(matching)
}

/// Tests rows of one source on their payloads. Neighbouring rows share a decompressed block.
pub(crate) struct RowTester<'a> {
    filter: &'a Bound<'a>,
    source: &'a Source,
    payloads: PayloadReader<'a>,
    /// Which of the vectors asked for the row has.
    vectors: Vec<bool>,
}

impl<'a> RowTester<'a> {
    pub(crate) fn new(filter: &'a Bound<'a>, source: &'a Source) -> Self {
        Self {
            filter,
            source,
            payloads: source.payloads(),
            vectors: Vec::with_capacity(filter.vectors.len()),
        }
    }

    /// As [`PayloadReader::cold_reads`].
    pub(crate) fn cold_reads(&self) -> (u64, u64) {
        self.payloads.cold_reads()
    }

    /// Whether the row matches.
    pub(crate) fn test(&mut self, row: Row) -> Result<bool, QueryError> {
        let id = self.learn(row)?;
        let known = Known {
            id,
            vectors: &self.vectors,
        };
        let payload = ValueRef::new(self.payloads.get(row)?).map_err(damaged_payload)?;
        matches(self.filter, known, payload).map_err(damaged_payload)
    }

    /// Whether the row matches, its payload being this.
    pub(crate) fn test_read(
        &mut self,
        row: Row,
        payload: ValueRef<'_>,
    ) -> Result<bool, QueryError> {
        let id = self.learn(row)?;
        let known = Known {
            id,
            vectors: &self.vectors,
        };
        matches(self.filter, known, payload).map_err(damaged_payload)
    }

    /// Finds out what the filter asks beside the payload: the id, and which vectors the row has.
    fn learn(&mut self, row: Row) -> Result<Option<PointId>, QueryError> {
        self.vectors.clear();
        for position in &self.filter.vectors {
            self.vectors.push(self.source.has_vector(*position, row)?);
        }
        if self.filter.asks_id {
            return Ok(Some(self.source.id(row)?));
        }
        Ok(None)
    }

    /// Tests a few runs of neighbouring rows of `open`, spread over the source: how many were
    /// tested and how many match.
    pub(crate) fn sample(&mut self, open: &RowSet) -> Result<(u32, u32), QueryError> {
        let (mut tested, mut matched) = (0, 0);
        for run in 0..SAMPLE_RUNS {
            let words = open.words().len();
            let part = words * run / SAMPLE_RUNS..words * (run + 1) / SAMPLE_RUNS;
            for row in rows_of(open, part).take(SAMPLE_RUN_ROWS) {
                tested += 1;
                matched += u32::from(self.test(row)?);
            }
        }
        Ok((tested, matched))
    }
}

/// Runs of a sample: each costs at least one payload block, about 12 us.
const SAMPLE_RUNS: usize = 8;
/// Rows of a run, so that a sample of a large source is 256 rows: at a share of one half the
/// interval is a sixteenth wide each way.
const SAMPLE_RUN_ROWS: usize = 32;

/// The rows of `set` in a range of its words.
fn rows_of(set: &RowSet, words: Range<usize>) -> impl Iterator<Item = Row> {
    let first = words.start;
    set.words()[words]
        .iter()
        .enumerate()
        .flat_map(move |(at, word)| {
            let base = ((first + at) * 64) as Row;
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(base + bit)
            })
        })
}
