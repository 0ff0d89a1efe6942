//! CRC-32 (IEEE, reflected, as zlib) bound to a place, and SHA-256 of a whole.
//!
//! A CRC is *seeded* with what the bytes belong to (a file id, an offset, a block number), so that
//! bytes that were moved, swapped or left over from another file never verify. Chapter 0 has the
//! exact rule.

use crc32fast::Hasher;
use sha2::{Digest, Sha256};

/// CRC-32 of `words`, each as 8 little-endian bytes: the start value for [`crc32`].
#[must_use]
pub fn seed(words: &[u64]) -> u32 {
    let mut hasher = Hasher::new();
    for word in words {
        hasher.update(&word.to_le_bytes());
    }
    hasher.finalize()
}

/// CRC-32 of `bytes` continued from `seed`; the same as `zlib.crc32(bytes, seed)` in Python.
#[must_use]
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// What [`crc32`]`(seed, bytes)` is, from `crc` = `crc32(0, bytes)` and the number of bytes,
/// without
/// the bytes: lets the expensive part run before the place of the bytes is known.
#[must_use]
pub fn reseed(seed: u32, crc: u32, len: u64) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.combine(&Hasher::new_with_initial_len(crc, len));
    hasher.finalize()
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of bytes that come piece by piece.
#[derive(Clone, Debug, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_one_of_zlib() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn seed_of_zero_words_is_not_zero() {
        assert_eq!(seed(&[0, 0]), 0xecbb_4b55);
        assert_ne!(seed(&[1, 0]), seed(&[0, 1]));
    }

    #[test]
    fn reseeding_equals_seeding() {
        for len in [0_usize, 1, 7, 64, 5000] {
            let bytes = vec![0x5a; len];
            let s = seed(&[3, 4]);
            assert_eq!(reseed(s, crc32(0, &bytes), len as u64), crc32(s, &bytes));
        }
    }

    #[test]
    fn a_hash_of_pieces_is_that_of_the_whole() {
        let mut hash = ContentHash::default();
        hash.update(b"1234");
        hash.update(b"56789");
        assert_eq!(hash.finish(), sha256(b"123456789"));
    }

    #[test]
    fn sha256_of_nothing() {
        assert_eq!(sha256(b"").first(), Some(&0xe3));
    }
}
