//! How many rows of a source match a filter, from columns and statistics alone.
//!
//! # Invariants
//! - `min <= expected <= max <= rows`, and the true number is between `min` and `max`. What no
//!   column tells is between nothing and everything.

use engine::Source;

use super::access::Access;
use super::bind::{Bound, Field, Test};
use crate::budget::Budget;
use crate::error::QueryError;

/// A number of rows, between bounds.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) min: u64,
    pub(crate) expected: f64,
    pub(crate) max: u64,
}

impl Estimate {
    /// Exactly so many.
    pub(crate) fn exact(rows: u64) -> Self {
        Self {
            min: rows,
            expected: to_f64(rows),
            max: rows,
        }
    }

    /// Anything between nothing and `rows`; half, for want of a better guess.
    pub(crate) fn unknown(rows: u64) -> Self {
        Self {
            min: 0,
            expected: to_f64(rows) / 2.0,
            max: rows,
        }
    }

    /// So many may match beside.
    pub(crate) fn loosened_above(self, by: u64, rows: u64) -> Self {
        Self {
            max: self.max.saturating_add(by).min(rows),
            ..self
        }
    }

    /// So many may match beside, or fail to.
    pub(crate) fn loosened(self, by: u64, rows: u64) -> Self {
        Self {
            min: self.min.saturating_sub(by),
            expected: self.expected.min(to_f64(rows)),
            max: self.max.saturating_add(by).min(rows),
        }
    }

    /// The opposite, among `rows`.
    fn complement(self, rows: u64) -> Self {
        Self {
            min: rows - self.max.min(rows),
            expected: to_f64(rows) - self.expected,
            max: rows - self.min.min(rows),
        }
    }

    fn share(&self, rows: u64) -> f64 {
        if rows == 0 {
            0.0
        } else {
            self.expected / to_f64(rows)
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rows of one source are below 2^32"
)]
pub(crate) fn to_f64(rows: u64) -> f64 {
    rows as f64
}

/// Estimates the live rows of `source` that match.
pub(crate) fn estimate(
    filter: &Bound<'_>,
    source: &Source,
    budget: &Budget<'_>,
) -> Result<Estimate, QueryError> {
    let estimator = Estimator::new(source, budget);
    let rows = estimator.rows;
    let dead = rows - u64::from(source.live_count());
    let all = estimator.filter(filter)?;
    let live = rows - dead;
    // Any of the matching rows may be among the dead ones.
    let expected = if rows == 0 {
        0.0
    } else {
        all.expected * to_f64(live) / to_f64(rows)
    };
    Ok(Estimate {
        min: all.min.saturating_sub(dead),
        expected,
        max: all.max.min(live),
    })
}

/// Estimates the rows of one source, dead or alive.
pub(crate) struct Estimator<'s> {
    source: &'s Source,
    rows: u64,
    /// Rows whose payload was replaced.
    patched: u64,
    budget: &'s Budget<'s>,
}

impl<'s> Estimator<'s> {
    pub(crate) fn new(source: &'s Source, budget: &'s Budget<'s>) -> Self {
        let patched = source.patched();
        Self {
            source,
            rows: source.rows().into(),
            patched: patched.map_or(0, |patched| patched.count().into()),
            budget,
        }
    }

    /// The rows that pass one test.
    pub(crate) fn test(&self, test: &Test<'_>) -> Result<Estimate, QueryError> {
        self.budget.check()?;
        let rows = self.rows;
        match test {
            Test::Filter(filter) => self.filter(filter),
            Test::HasId(ids) => {
                let most = rows.min(ids.len() as u64);
                Ok(Estimate {
                    min: 0,
                    expected: to_f64(most),
                    max: most,
                })
            }
            Test::HasVector { position, .. } => Ok(match self.source.present_count(*position)? {
                Some(count) => Estimate::exact(count.into()),
                None => Estimate::unknown(rows),
            }),
            Test::Nested(_, filter) => {
                let max = self.most_around(filter)?;
                Ok(Estimate {
                    min: 0,
                    expected: to_f64(max) / 2.0,
                    max,
                })
            }
            Test::Slice(slice) => Ok(Estimate {
                expected: to_f64(rows) * slice.share(),
                ..Estimate::unknown(rows)
            }),
            Test::Never => Ok(Estimate::exact(0)),
            Test::Field(field) => {
                let access = Access::of(field, self.source)?;
                access.estimate(&field.ask, (rows, self.patched), self.budget)
            }
        }
    }

    /// The most rows that can have an element that matches: of each condition that must hold, the
    /// rows in which it holds for any element.
    fn most_around(&self, filter: &Bound<'_>) -> Result<u64, QueryError> {
        let mut most = self.rows;
        for test in &filter.must {
            self.budget.check()?;
            let of_test = match test {
                Test::Filter(inner) | Test::Nested(_, inner) => self.most_around(inner)?,
                Test::Never => 0,
                Test::Field(field) => self.most_around_field(field)?,
                Test::HasId(_) | Test::HasVector { .. } | Test::Slice(_) => self.rows,
            };
            most = most.min(of_test);
        }
        Ok(most)
    }

    fn most_around_field(&self, field: &Field<'_>) -> Result<u64, QueryError> {
        let access = Access::around(field, self.source)?;
        let state = (self.rows, self.patched);
        Ok(access.estimate(&field.ask, state, self.budget)?.max)
    }

    fn filter(&self, filter: &Bound<'_>) -> Result<Estimate, QueryError> {
        let rows = self.rows;
        let list = |tests: &[Test<'_>]| -> Result<Vec<Estimate>, QueryError> {
            tests.iter().map(|test| self.test(test)).collect()
        };
        let mut parts = list(&filter.must)?;
        parts.extend(
            list(&filter.must_not)?
                .iter()
                .map(|part| part.complement(rows)),
        );
        if !filter.should.is_empty() {
            parts.push(at_least(1, &list(&filter.should)?, rows));
        }
        if let Some((count, tests)) = &filter.min_should {
            parts.push(at_least(*count, &list(tests)?, rows));
        }
        Ok(all_of(&parts, rows))
    }
}

/// All hold: as if they were independent, within the bounds that hold anyway.
fn all_of(parts: &[Estimate], rows: u64) -> Estimate {
    let max = parts.iter().map(|part| part.max).fold(rows, u64::min);
    // Each part leaves out at most rows - min; together they leave out at most the sum.
    let left_out = parts.iter().map(|part| rows - part.min.min(rows));
    let min = rows
        .saturating_sub(left_out.fold(0, u64::saturating_add))
        .min(max);
    let share: f64 = parts.iter().map(|part| part.share(rows)).product();
    Estimate {
        min,
        expected: (share * to_f64(rows)).clamp(to_f64(min), to_f64(max)),
        max,
    }
}

/// At least `count` hold.
fn at_least(count: usize, parts: &[Estimate], rows: u64) -> Estimate {
    if count > parts.len() {
        return Estimate::exact(0);
    }
    // A row that counts is in at least `count` of the parts, so the sum of the parts has it `count`
    // times; one that does not count is in at most `count - 1`.
    let needed = count as u64;
    let sum_max = parts
        .iter()
        .map(|part| part.max)
        .fold(0, u64::saturating_add);
    let sum_min = parts
        .iter()
        .map(|part| part.min)
        .fold(0, u64::saturating_add);
    let max = (sum_max / needed).min(rows);
    let spare = parts.len() as u64 - needed + 1;
    let without = rows.saturating_mul(needed - 1);
    let min = sum_min.saturating_sub(without).div_ceil(spare).min(max);
    // exactly[k] is the chance that k of the parts seen so far hold.
    let mut exactly = vec![0.0; parts.len() + 1];
    exactly[0] = 1.0;
    for part in parts {
        let share = part.share(rows);
        for k in (0..exactly.len()).rev() {
            let from_below = if k == 0 { 0.0 } else { exactly[k - 1] * share };
            exactly[k] = exactly[k] * (1.0 - share) + from_below;
        }
    }
    let share: f64 = exactly[count..].iter().sum();
    Estimate {
        min,
        expected: (share * to_f64(rows)).clamp(to_f64(min), to_f64(max)),
        max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(rows: u64, share: f64) -> Estimate {
        Estimate::exact((to_f64(rows) * share) as u64)
    }

    #[test]
    fn independent_parts_multiply() {
        let parts = [of(1_000, 0.5), of(1_000, 0.1)];
        let both = all_of(&parts, 1_000);
        assert_eq!((both.min, both.max), (0, 100));
        assert!((both.expected - 50.0).abs() < 1e-9);
        let either = at_least(1, &parts, 1_000);
        assert_eq!((either.min, either.max), (300, 600));
        assert!((either.expected - 550.0).abs() < 1e-9);
    }

    #[test]
    fn impossible_counts_are_zero() {
        assert_eq!(
            at_least(3, &[of(10, 1.0), of(10, 1.0)], 10),
            Estimate::exact(0)
        );
    }

    proptest! {
        // Rows are bits; each part is a set of them, known exactly.
        #[test]
        fn bounds_hold_for_any_sets(
            sets in prop::collection::vec(prop::collection::vec(any::<bool>(), 40), 1..6),
            count in 1usize..7,
        ) {
            let parts: Vec<Estimate> = sets
                .iter()
                .map(|set| Estimate::exact(set.iter().filter(|bit| **bit).count() as u64))
                .collect();
            let hits = |row: usize| sets.iter().filter(|set| set[row]).count();
            for (estimate, wanted) in
                [(all_of(&parts, 40), sets.len()), (at_least(count, &parts, 40), count)]
            {
                let truth = (0..40).filter(|row| hits(*row) >= wanted).count() as u64;
                let within = estimate.min <= truth && truth <= estimate.max;
                prop_assert!(within, "{estimate:?} {truth}");
                prop_assert!(to_f64(estimate.min) <= estimate.expected);
                prop_assert!(estimate.expected <= to_f64(estimate.max));
            }
        }
    }
}
