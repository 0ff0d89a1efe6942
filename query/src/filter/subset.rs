//! Sets of rows with cheap extremes, and answers that may leave rows open.
//!
//! # Invariants
//! - In an [`Answer`], every row of `sure` is in `perhaps`.

use index::RowSet;

/// A set of the rows of one source. The two extremes cost no bitmap.
#[derive(Clone, Debug)]
pub(crate) enum Subset {
    /// No row.
    Nothing,
    /// Every row.
    Everything,
    /// These rows.
    These(RowSet),
}

impl Subset {
    /// The rows in both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Everything, rest) | (rest, Self::Everything) => rest,
            (Self::These(mut a), Self::These(b)) => {
                a.and(&b);
                Self::These(a)
            }
        }
    }

    /// The rows in either.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Nothing, rest) | (rest, Self::Nothing) => rest,
            (Self::These(mut a), Self::These(b)) => {
                a.or(&b);
                Self::These(a)
            }
        }
    }

    /// The rows that are not in it.
    pub(crate) fn not(self) -> Self {
        match self {
            Self::Nothing => Self::Everything,
            Self::Everything => Self::Nothing,
            Self::These(mut rows) => {
                rows.not();
                Self::These(rows)
            }
        }
    }

    /// The rows of `within` that are in it.
    pub(crate) fn of(self, within: &RowSet) -> RowSet {
        match self {
            Self::Nothing => RowSet::new(within.len()),
            Self::Everything => within.clone(),
            Self::These(mut rows) => {
                rows.and(within);
                rows
            }
        }
    }
}

/// What is known about which rows match: `sure` do, `perhaps` may, the others do not.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) sure: Subset,
    pub(crate) perhaps: Subset,
}

impl Answer {
    /// Nothing is known.
    pub(crate) const OPEN: Self = Self {
        sure: Subset::Nothing,
        perhaps: Subset::Everything,
    };
    /// Every row matches.
    pub(crate) const ALL: Self = Self {
        sure: Subset::Everything,
        perhaps: Subset::Everything,
    };
    /// No row matches.
    pub(crate) const NONE: Self = Self {
        sure: Subset::Nothing,
        perhaps: Subset::Nothing,
    };

    /// Exactly these rows match.
    pub(crate) fn exact(rows: RowSet) -> Self {
        Self {
            sure: Subset::These(rows.clone()),
            perhaps: Subset::These(rows),
        }
    }

    /// The same, but nothing is known about `rows`.
    pub(crate) fn with_open(self, rows: &RowSet) -> Self {
        Self {
            sure: self.sure.and(Subset::These(rows.clone()).not()),
            perhaps: self.perhaps.or(Subset::These(rows.clone())),
        }
    }

    /// Both match.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            sure: self.sure.and(other.sure),
            perhaps: self.perhaps.and(other.perhaps),
        }
    }

    /// Either matches.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            sure: self.sure.or(other.sure),
            perhaps: self.perhaps.or(other.perhaps),
        }
    }

    /// It does not match.
    pub(crate) fn not(self) -> Self {
        Self {
            sure: self.perhaps.not(),
            perhaps: self.sure.not(),
        }
    }

    /// At least `count` of `answers` match.
    pub(crate) fn at_least(count: usize, answers: Vec<Self>) -> Self {
        if count > answers.len() {
            return Self::NONE;
        }
        // reached[k] holds the rows that at least k of the answers seen so far match.
        let mut reached = vec![Self::NONE; count + 1];
        reached[0] = Self::ALL;
        for answer in answers {
            for k in (1..=count).rev() {
                let one_more = reached[k - 1].clone().and(answer.clone());
                let before = std::mem::replace(&mut reached[k], Self::NONE);
                reached[k] = before.or(one_more);
            }
        }
        reached.swap_remove(count)
    }

    /// Whether no row can match.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.perhaps, Subset::Nothing)
    }
}
