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

    /// The same among `rows` rows; the extremes are extremes of all of them.
    fn extended(self, rows: u32) -> Self {
        match self {
            Self::These(set) => Self::These(set.extended(rows)),
            Self::Nothing => Self::Nothing,
            Self::Everything => Self::Everything,
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

    /// An answer about the first rows, of `rows` in all: nothing is known about the others.
    pub(crate) fn of_first(self, first: u32, rows: u32) -> Self {
        if first >= rows {
            return self;
        }
        let mut others = RowSet::new(rows);
        others.insert_range(first, rows);
        let among_all = Self {
            sure: self.sure.extended(rows),
            perhaps: self.perhaps.extended(rows),
        };
        among_all.with_open(&others)
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

    /// Whether no row can match.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.perhaps, Subset::Nothing)
    }
}

/// How many of some answers match, row by row.
#[derive(Debug)]
pub(crate) struct Tally {
    rows: u32,
    sure: Counts,
    perhaps: Counts,
}

impl Tally {
    /// Of no answers, for so many rows.
    pub(crate) fn new(rows: u32) -> Self {
        Self {
            rows,
            sure: Counts::default(),
            perhaps: Counts::default(),
        }
    }

    /// Counts one more answer.
    pub(crate) fn add(&mut self, answer: &Answer) {
        self.sure.add(&answer.sure);
        self.perhaps.add(&answer.perhaps);
    }

    /// Whether at least `count` of them match.
    pub(crate) fn at_least(&self, count: usize) -> Answer {
        Answer {
            sure: self.sure.at_least(count as u64, self.rows),
            perhaps: self.perhaps.at_least(count as u64, self.rows),
        }
    }
}

/// A number for each row, a bit of it a plane: adding a set touches two planes on average, and
/// there are as many as the numbers have bits.
#[derive(Default, Debug)]
struct Counts {
    /// What every row has.
    all: u64,
    /// Bit `p` of the number of each row, 64 rows a word.
    planes: Vec<Vec<u64>>,
}

impl Counts {
    fn add(&mut self, set: &Subset) {
        let rows = match set {
            Subset::Nothing => return,
            Subset::Everything => {
                self.all += 1;
                return;
            }
            Subset::These(rows) => rows,
        };
        let mut carried = rows.words().to_vec();
        for plane in &mut self.planes {
            let mut more = 0;
            for (plane, carried) in plane.iter_mut().zip(&mut carried) {
                (*plane, *carried) = (*plane ^ *carried, *plane & *carried);
                more |= *carried;
            }
            if more == 0 {
                return;
            }
        }
        self.planes.push(carried);
    }

    fn at_least(&self, count: u64, rows: u32) -> Subset {
        let Some(least) = count.checked_sub(self.all).filter(|&least| least > 0) else {
            return Subset::Everything;
        };
        if self.planes.is_empty() || least >> self.planes.len() != 0 {
            return Subset::Nothing;
        }
        let words = self.planes[0].len();
        // From the highest bit down: rows that are above `least` by now, and those that are level.
        let (mut above, mut level) = (vec![0_u64; words], vec![u64::MAX; words]);
        for (bit, plane) in self.planes.iter().enumerate().rev() {
            let wanted = least >> bit & 1 == 1;
            for ((above, level), plane) in above.iter_mut().zip(&mut level).zip(plane) {
                if wanted {
                    *level &= plane;
                } else {
                    *above |= *level & plane;
                    *level &= !plane;
                }
            }
        }
        let reached = above.iter().zip(&level).map(|(above, level)| above | level);
        // Bits beyond the rows are in no plane, and `least` is at least 1.
        RowSet::from_words(rows, reached.collect()).map_or(Subset::Nothing, Subset::These)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Kind {
        Nothing,
        Everything,
        These(Vec<bool>),
    }

    fn subset(kind: &Kind) -> Subset {
        match kind {
            Kind::Nothing => Subset::Nothing,
            Kind::Everything => Subset::Everything,
            Kind::These(bits) => {
                let rows = (0..).zip(bits).filter_map(|(row, set)| set.then_some(row));
                Subset::These(RowSet::from_rows(bits.len() as u32, rows))
            }
        }
    }

    fn holds(kind: &Kind, row: usize) -> bool {
        match kind {
            Kind::Nothing => false,
            Kind::Everything => true,
            Kind::These(bits) => bits[row],
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            1 => Just(Kind::Nothing),
            1 => Just(Kind::Everything),
            6 => prop::collection::vec(any::<bool>(), 70).prop_map(Kind::These),
        ]
    }

    proptest! {
        #[test]
        fn rows_are_counted_one_by_one(
            kinds in prop::collection::vec(kind(), 0..20),
            count in 0..22_usize,
        ) {
            let mut tally = Tally::new(70);
            for kind in &kinds {
                let sure = subset(kind);
                tally.add(&Answer { perhaps: sure.clone(), sure });
            }
            let answer = tally.at_least(count);
            let all = RowSet::full(70);
            let (sure, perhaps) = (answer.sure.of(&all), answer.perhaps.of(&all));
            prop_assert_eq!(&sure, &perhaps);
            for row in 0..70 {
                let reached = kinds.iter().filter(|kind| holds(kind, row)).count() >= count;
                prop_assert_eq!(sure.contains(row as u32), reached);
            }
        }
    }
}
