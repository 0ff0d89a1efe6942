//! The level of a row: how many upper layers it is in.
//!
//! Drawn from a hash of seed and row, so that it depends on neither order nor threads, and with
//! integers only, so that it is the same on every machine: level >= l with probability m^-l.

use crate::Row;

/// The highest level. At m = 2 one row in 32,768 is here, at m = 16 none is.
pub(crate) const LEVEL_MOST: u8 = 15;

/// The level of `row`.
pub(crate) fn level(seed: u64, row: Row, m: u32) -> u8 {
    let draw = mix(seed ^ mix(u64::from(row).wrapping_add(1)));
    let mut share = u64::MAX / u64::from(m);
    let mut level = 0;
    while level < LEVEL_MOST && draw < share {
        level += 1;
        share /= u64::from(m);
    }
    level
}

/// The finaliser of splitmix64: every bit of the input changes about half the bits of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_in_m_is_a_level_higher() {
        for m in [2, 4, 16] {
            let rows = 200_000;
            let mut at_least = [0u32; 4];
            for row in 0..rows {
                let level = level(7, row, m);
                for (bound, count) in at_least.iter_mut().enumerate() {
                    *count += u32::from(usize::from(level) >= bound);
                }
            }
            for (bound, count) in at_least.iter().enumerate() {
                let expected = f64::from(rows) / f64::from(m).powi(bound as i32);
                let deviation = (f64::from(*count) - expected).abs();
                assert!(
                    deviation <= 5.0 * expected.sqrt(),
                    "m {m}, level {bound}: {count}"
                );
            }
        }
    }

    #[test]
    fn another_seed_draws_other_levels() {
        let levels = |seed| {
            (0..1_000)
                .map(|row| level(seed, row, 4))
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(1), levels(1));
        assert_ne!(levels(1), levels(2));
    }
}
