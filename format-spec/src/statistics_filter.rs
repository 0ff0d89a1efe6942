//! Membership filters of the statistics chapter: what is hashed, and which bits it sets.
//!
//! # Invariants
//! - A value that was put into a filter is always found in it.

use twox_hash::XxHash3_64;

/// Most different values that have a filter.
pub const DISTINCT_MAX: u16 = 4_096;
/// In place of the number of different values: nothing is known of them.
pub const UNKNOWN: u16 = u16::MAX;

const SEED_TEXT: u64 = 10;
const SEED_INTEGER: u64 = 4;
const PROBES: u32 = 5;
/// Values for each word of 32 bits: 8 bits a value, at which five probes are best
/// (`ln 2 × 8 = 5.5`) and find 2 % of absent values.
const VALUES_PER_WORD: usize = 4;

/// The hash of a text.
#[inline]
#[must_use]
pub fn hash_text(text: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(SEED_TEXT, text.as_bytes())
}

/// The hash of a whole number.
#[inline]
#[must_use]
pub fn hash_integer(number: i64) -> u64 {
    XxHash3_64::oneshot_with_seed(SEED_INTEGER, &number.to_le_bytes())
}

/// Length in bytes of the filter of so many different values.
#[must_use]
pub const fn filter_len(distinct: u16) -> usize {
    if distinct > DISTINCT_MAX {
        return 0;
    }
    4 * (distinct as usize).div_ceil(VALUES_PER_WORD)
}

/// The bits of a value in a filter of `words` words.
#[inline]
fn bits(hash: u64, words: u64) -> impl Iterator<Item = (usize, u8)> {
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    let first = u32::from_le_bytes([a, b, c, d]);
    let step = u32::from_le_bytes([e, f, g, h]) | 1;
    (0..PROBES).map(move |i| {
        let place = u64::from(first.wrapping_add(step.wrapping_mul(i)));
        let bit = (place * 32 * words) >> 32;
        // Bytes of little-endian words hold their bits in order.
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

/// Appends the filter of these hashes, all different, to `out` and tells their number as a record
/// has it; more than [`DISTINCT_MAX`] have no filter.
pub fn filter_of(hashes: &[u64], out: &mut Vec<u8>) -> u16 {
    let distinct = u16::try_from(hashes.len()).unwrap_or(UNKNOWN);
    if distinct > DISTINCT_MAX {
        return UNKNOWN;
    }
    let start = out.len();
    out.resize(start + filter_len(distinct), 0);
    let filter = out.get_mut(start..).unwrap_or_default();
    let words = (filter.len() / 4) as u64;
    for &hash in hashes {
        for (byte, bit) in bits(hash, words) {
            if let Some(byte) = filter.get_mut(byte) {
                *byte |= bit;
            }
        }
    }
    distinct
}

/// Whether a value of this hash may be in a filter.
#[inline]
#[must_use]
pub fn may_have(filter: &[u8], hash: u64) -> bool {
    let words = (filter.len() / 4) as u64;
    bits(hash, words).all(|(byte, bit)| filter.get(byte).is_some_and(|byte| byte & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the chapter.
    #[test]
    fn hashes_are_those_of_the_chapter() {
        let chapter = include_str!("../docs/15-statistics.md");
        for (name, hash) in [
            ("text `\"\"`", hash_text("")),
            ("text `cairn`", hash_text("cairn")),
            ("whole number 0", hash_integer(0)),
            ("whole number −1", hash_integer(-1)),
        ] {
            let line = format!("| {name} | `{hash:016x}` |");
            assert!(chapter.contains(&line), "{line}");
        }
    }

    #[test]
    fn absent_values_are_seldom_found_and_present_ones_always() {
        for count in [1_i64, 3, 4, 17, 80, 1_000, 4_096] {
            let hashes: Vec<u64> = (0..count).map(hash_integer).collect();
            let mut filter = Vec::new();
            assert_eq!(i64::from(filter_of(&hashes, &mut filter)), count);
            assert!(hashes.iter().all(|&hash| may_have(&filter, hash)));
            let absent = (0..20_000).filter(|n| may_have(&filter, hash_integer(-1 - n)));
            let share = absent.count() as f64 / 20_000.0;
            let most = if count < 16 { 0.1 } else { 0.035 };
            assert!(share < most, "{share} of {count}");
        }
        let many: Vec<u64> = (0..4_097).map(hash_integer).collect();
        let mut filter = Vec::new();
        assert_eq!((filter_of(&many, &mut filter), filter.len()), (UNKNOWN, 0));
    }
}
