//! Values that points are ordered by.
//!
//! # Invariants
//! - The order is total and exact: an integer and a float compare as the numbers they are, never by
//!   rounding one to the other. NaN is never made (`OrderValue::float`).

use std::cmp::{Ordering, Reverse};

use format_spec::columns::storable;

use super::Direction;

/// A number that points are ordered by; of a datetime, microseconds since 1970 UTC.
#[derive(Copy, Clone, Debug)]
pub enum OrderValue {
    /// Of an integer or datetime index.
    Int(i64),
    /// Of a float index.
    Float(f64),
}

impl OrderValue {
    /// The float as a column holds it; nothing for NaN.
    #[must_use]
    pub fn float(value: f64) -> Option<Self> {
        storable(value).map(Self::Float)
    }
}

impl PartialEq for OrderValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderValue {}

impl PartialOrd for OrderValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b),
            (Self::Int(a), Self::Float(b)) => exactly(a, b),
            (Self::Float(a), Self::Int(b)) => exactly(b, a).reverse(),
        }
    }
}

/// Compares an integer with a float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only a float within the range of the integers, cut off before"
)]
fn exactly(integer: i64, float: f64) -> Ordering {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if float >= END {
        return Ordering::Less;
    }
    if float < -END {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    let by_whole = integer.cmp(&(whole as i64));
    // What is cut off a negative float is above it.
    by_whole.then(whole.total_cmp(&float))
}

/// A value in the direction of a listing: what comes first is less.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turned {
    /// The least comes first.
    Up(OrderValue),
    /// The greatest comes first.
    Down(Reverse<OrderValue>),
}

impl Turned {
    pub(crate) fn new(value: OrderValue, direction: Direction) -> Self {
        match direction {
            Direction::Ascending => Self::Up(value),
            Direction::Descending => Self::Down(Reverse(value)),
        }
    }

    /// The value itself.
    pub(crate) fn value(self) -> OrderValue {
        match self {
            Self::Up(value) | Self::Down(Reverse(value)) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderValue::{Float, Int};
    use proptest::prelude::*;

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_992.0;
        let ascending = [
            Float(-1e300),
            Int(i64::MIN),
            Float(-2.5),
            Int(-2),
            Float(-1.5),
            Float(-0.5),
            Int(0),
            Float(0.5),
            Int(9_007_199_254_740_991),
            Float(big),
            Int(9_007_199_254_740_993),
            Int(i64::MAX),
            Float(9_223_372_036_854_775_808.0),
        ];
        for (a, left) in ascending.iter().enumerate() {
            for (b, right) in ascending.iter().enumerate() {
                assert_eq!(left.cmp(right), a.cmp(&b), "{left:?} {right:?}");
            }
        }
        assert_eq!(Int(-2), Float(-2.0));
        assert_eq!(Int(i64::MIN), Float(-9_223_372_036_854_775_808.0));
        assert_eq!(OrderValue::float(f64::NAN), None);
        assert_eq!(OrderValue::float(-0.0), Some(Int(0)));
    }

    proptest! {
        #[test]
        fn small_numbers_compare_as_floats(a in -1000i32..1000, b in -4000i32..4000) {
            let float = f64::from(b) / 4.0;
            let expected = f64::from(a).total_cmp(&float);
            // Negative zero is no order value.
            let float = OrderValue::float(float).unwrap();
            prop_assert_eq!(Int(a.into()).cmp(&float), expected);
            prop_assert_eq!(float.cmp(&Int(a.into())), expected.reverse());
        }
    }
}
