//! Identifiers as they stand in files: order, text form and byte form.
//!
//! # Invariants
//! - The order of [`PointId`] is part of the format: numbers first, then UUIDs by their RFC 4122
//!   bytes. Ranks in a rows part and scroll order depend on it.
//! - [`placement_hash`] never changes: shard ranges are stored in manifests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// Position in the total order of writes of a shard; 0 means nothing yet.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct SeqNo(pub u64);

/// Which primary ordered a write; grows at each change of primary.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

/// A part file of a shard; never reused.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct PartId(pub u64);

/// A segment of a shard; never reused.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct SegmentId(pub u64);

/// A collection: a UUID as the number of its RFC 4122 bytes read in network order.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct CollectionId(pub u128);

/// A shard of a collection.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ShardId(pub u32);

/// Dense number of a point inside one segment.
#[doc(alias = "docid")]
pub type Row = u32;

/// The user's name of a point. Numbers sort before UUIDs.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PointId {
    /// An unsigned number.
    Number(u64),
    /// A UUID: the number of its RFC 4122 bytes read in network order, so that the derived order
    /// is the order of those bytes.
    Uuid(u128),
}

/// The 16 bytes of a UUID in RFC 4122 order.
#[must_use]
#[expect(
    clippy::big_endian_bytes,
    reason = "RFC 4122 fixes network order for UUID bytes"
)]
pub const fn uuid_bytes(uuid: u128) -> [u8; 16] {
    uuid.to_be_bytes()
}

/// The UUID of 16 bytes in RFC 4122 order.
#[must_use]
#[expect(
    clippy::big_endian_bytes,
    reason = "RFC 4122 fixes network order for UUID bytes"
)]
pub const fn uuid_from_bytes(bytes: [u8; 16]) -> u128 {
    u128::from_be_bytes(bytes)
}

/// Where a point belongs: SipHash-2-4 with a zero key over the 8 little-endian bytes of a number or
/// the 16 RFC 4122 bytes of a UUID.
#[must_use]
pub fn placement_hash(id: PointId) -> u64 {
    let hasher = SipHasher24::new();
    match id {
        PointId::Number(number) => hasher.hash(&number.to_le_bytes()),
        PointId::Uuid(uuid) => hasher.hash(&uuid_bytes(uuid)),
    }
}

fn write_uuid(f: &mut fmt::Formatter<'_>, uuid: u128) -> fmt::Result {
    let (a, b, c) = (uuid >> 96, uuid >> 80 & 0xffff, uuid >> 64 & 0xffff);
    let (d, e) = (uuid >> 48 & 0xffff, uuid & 0xffff_ffff_ffff);
    write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

/// Reads the hyphenated form with lower-case digits, the only one in file names.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (at, byte) in text.bytes().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => number.fmt(f),
            Self::Uuid(uuid) => write_uuid(f, uuid),
        }
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

/// Text that is not the canonical form of an identifier.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an identifier: expected a decimal number or a hyphenated lower-case uuid")
    }
}

impl std::error::Error for NotAnId {}

impl FromStr for PointId {
    type Err = NotAnId;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if let Some(uuid) = parse_uuid(text) {
            return Ok(Self::Uuid(uuid));
        }
        parse_decimal(text).map(Self::Number).ok_or(NotAnId)
    }
}

impl FromStr for CollectionId {
    type Err = NotAnId;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        parse_uuid(text).map(Self).ok_or(NotAnId)
    }
}

/// A decimal number without sign or leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

macro_rules! display_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_number!(SeqNo, Epoch, PartId, SegmentId, ShardId);

impl SeqNo {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_sort_before_uuids() {
        assert!(PointId::Number(u64::MAX) < PointId::Uuid(0));
        assert!(PointId::Uuid(1) < PointId::Uuid(1 << 120));
    }

    // The table of chapter 0, computed by another implementation.
    #[test]
    fn placement_hash_is_that_of_the_chapter() {
        for (id, hash) in [
            ("0", 0xe849_e8bb_6ffe_2567),
            ("1", 0x8004_c5a6_9410_5f5e),
            ("18446744073709551615", 0x8050_c18b_6ac9_d15e),
            (
                "00000000-0000-0000-0000-000000000000",
                0x32ca_ecc2_8017_2976,
            ),
            (
                "550e8400-e29b-41d4-a716-446655440000",
                0xf5d0_ca21_ba34_d504,
            ),
        ] {
            assert_eq!(placement_hash(id.parse().unwrap()), hash, "{id}");
        }
    }

    #[test]
    fn only_the_canonical_text_parses() {
        for bad in [
            "",
            "-1",
            "+1",
            "01",
            "1 ",
            "18446744073709551616",
            "550E8400-e29b-41d4-a716-446655440000",
        ] {
            assert_eq!(bad.parse::<PointId>(), Err(NotAnId), "{bad}");
        }
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(text.parse::<PointId>().unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn text_round_trips(number: u64, uuid: u128) {
            for id in [PointId::Number(number), PointId::Uuid(uuid)] {
                prop_assert_eq!(id.to_string().parse::<PointId>(), Ok(id));
            }
        }

        #[test]
        fn uuid_order_is_byte_order(a: u128, b: u128) {
            prop_assert_eq!(a.cmp(&b), uuid_bytes(a).cmp(&uuid_bytes(b)));
            prop_assert_eq!(uuid_from_bytes(uuid_bytes(a)), a);
        }
    }
}
