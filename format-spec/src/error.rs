//! What is wrong with some bytes, and where.
//!
//! One error type for every decoder of the crate: `Copy`, no allocation, so that it costs nothing
//! on hot paths and can be returned from views over mapped files.

use std::fmt;

/// Why bytes were refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Why {
    /// Fewer bytes than the layout asks for.
    Truncated {
        /// Bytes needed from `at` on.
        need: u64,
        /// Bytes there.
        have: u64,
    },
    /// A CRC-32 differs.
    Checksum {
        /// The one in the file.
        stored: u32,
        /// The one of the bytes.
        computed: u32,
    },
    /// The first bytes are not those of this kind of file.
    Magic,
    /// A format version this code cannot read.
    Version {
        /// In the file.
        found: u32,
        /// The newest one this code reads.
        newest: u32,
    },
    /// Required feature bits this code does not know.
    Feature {
        /// The unknown bits.
        bits: u64,
    },
    /// Reserved or padding bytes that must be zero are not.
    NotZero,
    /// A number outside its range.
    OutOfRange {
        /// In the file.
        value: u64,
        /// Smallest allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
    },
    /// Bytes after the end.
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// Entries are out of order, or one appears twice.
    Order,
    /// Text is not UTF-8.
    Utf8,
    /// The file belongs to another place: number, collection, shard or part differ.
    Identity,
    /// A postcard body does not decode.
    Postcard,
    /// A zstd frame does not decode.
    Zstd,
    /// A tag that is not in the list.
    Kind {
        /// The tag.
        found: u32,
    },
    /// A SHA-256 differs.
    Hash,
}

/// Bytes that were refused: where, which field, why.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Offset from the start of the bytes given to the decoder.
    pub at: u64,
    /// The field, in the words of the chapter.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: Why,
}

impl DecodeError {
    /// An error at `at` in `field`.
    #[must_use]
    pub const fn new(at: u64, field: &'static str, why: Why) -> Self {
        Self { at, field, why }
    }

    /// The same error, seen from bytes that start `base` earlier.
    #[must_use]
    pub const fn shifted(self, base: u64) -> Self {
        Self {
            at: self.at.saturating_add(base),
            field: self.field,
            why: self.why,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { need, have } => {
                write!(f, "truncated: needs {need} bytes, has {have}")
            }
            Self::Checksum { stored, computed } => {
                write!(
                    f,
                    "checksum mismatch: stored {stored:08x}, computed {computed:08x}"
                )
            }
            Self::Magic => f.write_str("wrong magic"),
            Self::Version { found, newest } => {
                write!(f, "format version {found}, newest known is {newest}")
            }
            Self::Feature { bits } => write!(f, "unknown required features {bits:#x}"),
            Self::NotZero => f.write_str("reserved bytes are not zero"),
            Self::OutOfRange { value, least, most } => {
                write!(f, "value {value} outside {least}..={most}")
            }
            Self::Trailing { bytes } => write!(f, "{bytes} bytes after the end"),
            Self::Order => f.write_str("out of order or twice"),
            Self::Utf8 => f.write_str("not UTF-8"),
            Self::Identity => f.write_str("belongs to another file"),
            Self::Postcard => f.write_str("postcard body does not decode"),
            Self::Zstd => f.write_str("zstd frame does not decode"),
            Self::Kind { found } => write!(f, "unknown kind {found}"),
            Self::Hash => f.write_str("sha-256 mismatch"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.field, self.at, self.why)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_field_place_and_values() {
        let error = DecodeError::new(
            7,
            "body crc",
            Why::Checksum {
                stored: 1,
                computed: 0xff,
            },
        );
        assert_eq!(
            error.shifted(10).to_string(),
            "body crc at byte 17: checksum mismatch: stored 00000001, computed 000000ff"
        );
    }
}
