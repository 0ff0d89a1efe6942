//! Bounds and lists as ranges of the values of a column.
//!
//! # Invariants
//! - A value is in the range exactly if it is within the bounds, or not in the list.

use std::ops::Bound as End;

use super::ask::{Bounds, Range};

/// The ranges between the items of a sorted list.
pub(super) fn gaps<T: Copy>(list: &[T]) -> impl Iterator<Item = (End<T>, End<T>)> {
    let starts = std::iter::once(End::Unbounded).chain(list.iter().map(|n| End::Excluded(*n)));
    let ends = list
        .iter()
        .map(|n| End::Excluded(*n))
        .chain(std::iter::once(End::Unbounded));
    starts.zip(ends)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ranges compare as f64, as Qdrant does"
)]
pub(super) fn as_f64(number: i64) -> f64 {
    number as f64
}

/// The least and the greatest integer that is within the bounds once it is an f64.
///
/// Conversion never changes the order, so both are found by bisection, exactly.
pub(crate) fn integers(range: &Range) -> Option<(i64, i64)> {
    let above = |n: i64| {
        let n = as_f64(n);
        range.gt.is_none_or(|bound| n > bound) && range.gte.is_none_or(|bound| n >= bound)
    };
    let below = |n: i64| {
        let n = as_f64(n);
        range.lt.is_none_or(|bound| n < bound) && range.lte.is_none_or(|bound| n <= bound)
    };
    let least = first_where(above)?;
    // The first that is too great, less one; if none is, the greatest there is.
    let most = match first_where(|n| !below(n)) {
        Some(beyond) => beyond.checked_sub(1)?,
        None => i64::MAX,
    };
    (least <= most).then_some((least, most))
}

/// The first integer for which `holds` is true; it stays true from there on.
fn first_where(holds: impl Fn(i64) -> bool) -> Option<i64> {
    if !holds(i64::MAX) {
        return None;
    }
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    while low < high {
        // Rounded down, which `midpoint` does not do below zero.
        let middle = (low & high) + ((low ^ high) >> 1);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// The tighter end of each side.
pub(super) fn ends<T: PartialOrd + Copy>(range: &Bounds<T>) -> (End<T>, End<T>) {
    let start = match (range.gt, range.gte) {
        (Some(gt), Some(gte)) if gt >= gte => End::Excluded(gt),
        (_, Some(gte)) => End::Included(gte),
        (Some(gt), None) => End::Excluded(gt),
        (None, None) => End::Unbounded,
    };
    let end = match (range.lt, range.lte) {
        (Some(lt), Some(lte)) if lt <= lte => End::Excluded(lt),
        (_, Some(lte)) => End::Included(lte),
        (Some(lt), None) => End::Excluded(lt),
        (None, None) => End::Unbounded,
    };
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Range = Range {
        gt: None,
        gte: None,
        lt: None,
        lte: None,
    };

    #[test]
    fn bounds_become_integers_exactly() {
        assert_eq!(integers(&ANY), Some((i64::MIN, i64::MAX)));
        assert_eq!(
            integers(&Range {
                gt: Some(1.0),
                lt: Some(3.0),
                ..ANY
            }),
            Some((2, 2))
        );
        assert_eq!(
            integers(&Range {
                gte: Some(1.5),
                lte: Some(3.9),
                ..ANY
            }),
            Some((2, 3))
        );
        assert_eq!(
            integers(&Range {
                gt: Some(1.0),
                lt: Some(2.0),
                ..ANY
            }),
            None
        );
        assert_eq!(
            integers(&Range {
                gte: Some(-0.0),
                lte: Some(0.0),
                ..ANY
            }),
            Some((0, 0))
        );
        assert_eq!(
            integers(&Range {
                gt: Some(1e19),
                ..ANY
            }),
            None
        );
        assert_eq!(
            integers(&Range {
                lt: Some(-1e19),
                ..ANY
            }),
            None
        );
        // 2^53 + 1 is 2^53 as an f64.
        let near = 9_007_199_254_740_992.0;
        let range = Range {
            gte: Some(near),
            lte: Some(near),
            ..ANY
        };
        assert_eq!(
            integers(&range),
            Some((9_007_199_254_740_992, 9_007_199_254_740_993))
        );
    }

    #[test]
    fn gaps_leave_out_the_list() {
        let numbers: Vec<i64> = (0..10)
            .filter(|n| gaps(&[3, 4, 8]).any(|gap| std::ops::RangeBounds::contains(&gap, n)))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 5, 6, 7, 9]);
    }
}
