//! A place on the globe, ordered along a Morton curve.
//!
//! # Invariants
//! - The order of places is that of their Morton keys, and of their coordinates where those agree;
//!   the key of a box's places is between the keys of its two extreme corners.

use std::cmp::Ordering;

/// A longitude and latitude in degrees.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Place {
    lon: f64,
    lat: f64,
}

impl Place {
    /// A place, unless the coordinates are none: the longitude within ±180, the latitude within
    /// ±90. Negative zero becomes zero.
    #[must_use]
    pub fn new(lon: f64, lat: f64) -> Option<Self> {
        let within = (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat);
        within.then_some(Self {
            lon: lon + 0.0,
            lat: lat + 0.0,
        })
    }

    pub(crate) const fn unchecked(lon: f64, lat: f64) -> Self {
        Self { lon, lat }
    }

    /// Degrees east.
    #[must_use]
    pub const fn lon(self) -> f64 {
        self.lon
    }

    /// Degrees north.
    #[must_use]
    pub const fn lat(self) -> f64 {
        self.lat
    }

    /// The key along the curve (chapter 10): the bits of the two cells taken in turn, the
    /// longitude's first.
    #[must_use]
    pub fn morton(self) -> u64 {
        interleave(lon_cell(self.lon), lat_cell(self.lat))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let keys = self.morton().cmp(&other.morton());
        let east = self.lon.partial_cmp(&other.lon)?;
        Some(keys.then(east).then(self.lat.partial_cmp(&other.lat)?))
    }
}

/// The cell of a longitude: 2^32 of them from west to east.
#[must_use]
pub fn lon_cell(lon: f64) -> u32 {
    cell((lon + 180.0) / 360.0)
}

/// The cell of a latitude: 2^32 of them from south to north.
#[must_use]
pub fn lat_cell(lat: f64) -> u32 {
    cell((lat + 90.0) / 180.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion to an integer saturates, which is what is wanted at both ends"
)]
fn cell(share: f64) -> u32 {
    (share * 4_294_967_296.0) as u32
}

/// The bits of both, taken in turn; the highest is of `lon`.
#[must_use]
pub fn interleave(lon: u32, lat: u32) -> u64 {
    spread(lon) << 1 | spread(lat)
}

/// Puts a zero before each bit.
fn spread(bits: u32) -> u64 {
    let steps = [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ];
    let start = u64::from(bits);
    steps
        .into_iter()
        .fold(start, |bits, (by, mask)| (bits | bits << by) & mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coordinates_off_the_globe_are_no_place() {
        assert!(Place::new(180.0, 90.0).is_some());
        for (lon, lat) in [
            (180.1, 0.0),
            (0.0, -90.5),
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert_eq!(Place::new(lon, lat), None);
        }
        assert_eq!(Place::new(-0.0, 0.0).unwrap().lon().to_bits(), 0);
    }

    #[test]
    fn the_key_is_that_of_the_chapter() {
        assert_eq!(Place::new(-180.0, -90.0).unwrap().morton(), 0);
        assert_eq!(Place::new(180.0, 90.0).unwrap().morton(), u64::MAX);
        assert_eq!(Place::new(0.0, -90.0).unwrap().morton(), 1 << 63);
        assert_eq!(Place::new(-180.0, 0.0).unwrap().morton(), 1 << 62);
        assert_eq!(Place::new(0.0, 0.0).unwrap().morton(), 3 << 62);
    }

    proptest! {
        #[test]
        fn keys_of_a_box_are_between_those_of_its_corners(
            a in (-180.0..=180.0_f64, -90.0..=90.0_f64),
            b in (-180.0..=180.0_f64, -90.0..=90.0_f64),
            at in (0.0..=1.0_f64, 0.0..=1.0_f64),
        ) {
            let (west, east) = (f64::min(a.0, b.0), f64::max(a.0, b.0));
            let (south, north) = (f64::min(a.1, b.1), f64::max(a.1, b.1));
            let inside: (f64, f64) = (
                (west + at.0 * (east - west)).clamp(west, east),
                (south + at.1 * (north - south)).clamp(south, north),
            );
            let key = |lon, lat| Place::new(lon, lat).unwrap().morton();
            prop_assert!(key(west, south) <= key(inside.0, inside.1));
            prop_assert!(key(inside.0, inside.1) <= key(east, north));
        }
    }
}
