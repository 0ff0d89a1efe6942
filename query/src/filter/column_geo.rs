//! Rows with a place inside a shape: runs along the Morton curve, then each place by itself.
//!
//! # Invariants
//! - Every place inside the shape is in one of the runs.

use std::ops::Range;

use format_spec::columns::{Numbers, interleave, lat_cell, lon_cell};
use format_spec::{ColumnView, Place};
use index::{GeoBounds, GeoPoint, RowSet};

use super::ask::Shape;
use super::estimate::{Estimate, to_f64};
use super::subset::Answer;
use crate::budget::{Budget, WALKED_CORNERS};
use crate::error::QueryError;

/// Squares along the longer side of a rectangle: about eighty in all cover it, with a margin of an
/// eighth of it, and each costs two searches, about a microsecond.
const SQUARES: u32 = 8;
/// The share of a rectangle that a circle in it takes.
const CIRCLE: f64 = std::f64::consts::FRAC_PI_4;

/// The rows with a place inside.
pub(super) fn answer(
    view: &ColumnView<'_>,
    places: Numbers<'_, Place>,
    shape: &Shape,
    budget: &Budget<'_>,
) -> Result<Answer, QueryError> {
    let mut found = RowSet::new(view.stats().rows);
    let at_once = (WALKED_CORNERS / shape.corners().max(1)).max(1);
    for run in runs(&places, shape) {
        for (asked, (place, row)) in places.pairs(run).enumerate() {
            if asked % at_once == 0 {
                budget.check()?;
            }
            let point = GeoPoint {
                lon: place.lon(),
                lat: place.lat(),
            };
            if shape.contains(point) {
                found.insert(row);
            }
        }
    }
    Ok(Answer::exact(found))
}

/// At most as many rows as the runs have pairs.
pub(super) fn estimate(places: Numbers<'_, Place>, shape: &Shape, indexed: u64) -> Estimate {
    let pairs: u64 = runs(&places, shape).map(|run| run.len() as u64).sum();
    let max = pairs.min(indexed);
    Estimate {
        min: 0,
        expected: to_f64(max) * CIRCLE,
        max,
    }
}

/// The positions of the places that may be inside, in runs that do not overlap.
fn runs<'p>(
    places: &'p Numbers<'_, Place>,
    shape: &Shape,
) -> impl Iterator<Item = Range<usize>> + use<'p> {
    let mut keys: Vec<(u64, u64)> = shape.bounds().iter().flat_map(squares).collect();
    keys.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in keys {
        match joined.last_mut() {
            Some((_, end)) if *end >= first.saturating_sub(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined.into_iter().map(|(first, last)| {
        let start = places.first_where(|place| place.morton() >= first);
        start..places.first_where(|place| place.morton() > last).max(start)
    })
}

/// The first and last key of each square of a cover of the rectangle.
fn squares(bounds: &GeoBounds) -> Vec<(u64, u64)> {
    // A cell is found for any number: what is off the globe is at its border, NaN at cell 0.
    let (west, east) = (lon_cell(bounds.lon_min), lon_cell(bounds.lon_max));
    let (south, north) = (lat_cell(bounds.lat_min), lat_cell(bounds.lat_max));
    if west > east || south > north || bounds.lon_min > bounds.lon_max {
        return Vec::new();
    }
    let side = (east - west).max(north - south) / SQUARES;
    let bits = u32::BITS - side.leading_zeros();
    let inside = (1_u64 << (2 * bits)) - 1;
    let mut squares = Vec::new();
    for column in west >> bits..=east >> bits {
        for line in south >> bits..=north >> bits {
            let first = interleave(column << bits, line << bits);
            squares.push((first, first | inside));
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn squares_cover_the_rectangle_and_are_few(
            a in (-200.0..=200.0_f64, -100.0..=100.0_f64),
            b in (-200.0..=200.0_f64, -100.0..=100.0_f64),
            at in (0.0..=1.0_f64, 0.0..=1.0_f64),
        ) {
            let bounds = GeoBounds {
                lon_min: a.0.min(b.0),
                lon_max: a.0.max(b.0),
                lat_min: a.1.min(b.1),
                lat_max: a.1.max(b.1),
            };
            let cover = squares(&bounds);
            prop_assert!(cover.len() <= 17 * 17);
            let lon = bounds.lon_min + at.0 * (bounds.lon_max - bounds.lon_min);
            let lat = bounds.lat_min + at.1 * (bounds.lat_max - bounds.lat_min);
            let Some(place) = Place::new(lon, lat) else { return Ok(()) };
            if bounds.contains(GeoPoint { lon, lat }) {
                let key = place.morton();
                prop_assert!(cover.iter().any(|(first, last)| (first..=last).contains(&&key)));
            }
        }
    }
}
