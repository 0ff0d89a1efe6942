//! The schema of a collection as the catalog stores it (chapter 5).
//!
//! # Invariants
//! - The order of the fields of each struct here is the order of their bytes in catalog body
//!   version 1. A change of any of them is a new body version with a frozen copy of these.
//! - Tags are written as one byte and never reused; 0 is never a valid tag.

use serde::{Deserialize, Serialize};

/// A byte that is not a tag of the list.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct UnknownTag(pub u8);

impl std::fmt::Display for UnknownTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown tag {}", self.0)
    }
}

impl std::error::Error for UnknownTag {}

macro_rules! tagged {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $tag:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(into = "u8", try_from = "u8")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every one, in tag order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The byte that stands for it in files.
            #[must_use]
            pub const fn tag(self) -> u8 {
                match self { $(Self::$variant => $tag,)* }
            }

            /// The one of a byte in a file.
            #[must_use]
            pub const fn from_tag(tag: u8) -> Option<Self> {
                match tag { $($tag => Some(Self::$variant),)* _ => None }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value.tag()
            }
        }

        impl TryFrom<u8> for $name {
            type Error = $crate::schema::UnknownTag;

            fn try_from(tag: u8) -> Result<Self, Self::Error> {
                Self::from_tag(tag).ok_or($crate::schema::UnknownTag(tag))
            }
        }
    };
}
pub(crate) use tagged;

tagged! {
    /// How near two vectors are.
    Metric {
        /// Cosine of the angle.
        Cosine = 1,
        /// Dot product.
        Dot = 2,
        /// L2.
        Euclid = 3,
        /// L1.
        Manhattan = 4,
    }
}

tagged! {
    /// How one component of a vector is stored.
    Element {
        /// IEEE 754 binary32.
        F32 = 1,
        /// IEEE 754 binary16.
        F16 = 2,
        /// Unsigned byte.
        U8 = 3,
    }
}

impl Element {
    /// Bytes a component takes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::U8 => 1,
        }
    }
}

tagged! {
    /// How vectors are compressed for searching; the vectors themselves are kept as they are.
    Codec {
        /// As the engine chooses.
        Auto = 1,
        /// Codes of one bit a dimension.
        Bits1 = 2,
        /// Codes of one bit, refined by two.
        Bits2 = 3,
        /// Codes of one bit, refined by four.
        Bits4 = 4,
        /// Codes of one bit, refined by eight.
        Bits8 = 5,
        /// Product quantization: a byte for 1 dimension.
        Product4 = 6,
        /// A byte for 2 dimensions.
        Product8 = 7,
        /// A byte for 4 dimensions.
        Product16 = 8,
        /// A byte for 8 dimensions.
        Product32 = 9,
        /// A byte for 16 dimensions.
        Product64 = 10,
    }
}

tagged! {
    /// What a field index holds.
    FieldType {
        /// Exact text.
        Keyword = 1,
        /// 64-bit signed numbers.
        Integer = 2,
        /// 64-bit floating point numbers.
        Float = 3,
        /// True and false.
        Bool = 4,
        /// Moments, to the microsecond.
        Datetime = 5,
        /// UUIDs, however they are spelt.
        Uuid = 6,
        /// Places on the globe.
        Geo = 7,
        /// The tokens of texts.
        Text = 8,
    }
}

/// How a graph is built.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HnswSettings {
    /// Neighbours a row has in the upper layers; the base layer has twice as many.
    pub m: u32,
    /// Width of the beam while building.
    pub ef_construct: u32,
    /// Below this many KiB of vectors a segment is scanned and has no graph.
    pub full_scan_threshold_kb: u64,
    /// Seed of the level draw.
    pub seed: u64,
}

impl Default for HnswSettings {
    /// The defaults of the API.
    fn default() -> Self {
        Self {
            m: 16,
            ef_construct: 100,
            full_scan_threshold_kb: 10_000,
            seed: 0,
        }
    }
}

/// One named vector.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VectorSchema {
    /// Its name; empty for the unnamed one.
    pub name: String,
    /// Number of components.
    pub dim: u32,
    /// How two are compared.
    pub metric: Metric,
    /// How a component is stored.
    pub element: Element,
    /// How its graph is built.
    pub hnsw: HnswSettings,
    /// How it is compressed for searching.
    pub codec: Codec,
}

impl VectorSchema {
    /// The unnamed vector, of 32-bit floats, and all else as it is unless somebody says otherwise.
    #[must_use]
    pub fn unnamed(dim: u32, metric: Metric) -> Self {
        Self {
            name: String::new(),
            dim,
            metric,
            element: Element::F32,
            hnsw: HnswSettings::default(),
            codec: Codec::Auto,
        }
    }

    /// Bytes of one stored vector.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.dim as usize * self.element.size()
    }
}

/// One indexed payload field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FieldIndex {
    /// Path of the field in the payload, as the API writes it.
    pub path: String,
    /// What the index holds.
    pub field_type: FieldType,
    /// An encoded value: the parameters of the API as they were given.
    pub settings: Vec<u8>,
}

/// When and how much to compact; the first fields are `optimizers_config` of the API.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CompactionSettings {
    /// Share of dead rows from which a segment is rewritten.
    pub deleted_threshold: f64,
    /// Segments with fewer rows are not rewritten for their dead rows.
    pub vacuum_min_rows: u64,
    /// Segments to aim for; 0 = chosen by the engine.
    pub segment_count_target: u32,
    /// Largest segment a merge makes; 0 = chosen by the engine.
    pub segment_bytes_max: u64,
    /// KiB of vectors from which a segment gets a graph; 0 = never.
    pub indexing_threshold_kb: u64,
    /// Longest time between two flushes.
    pub flush_interval_ms: u64,
    /// A memtable is sealed at this size.
    pub memtable_bytes_max: u64,
    /// Segments of one size that are merged together.
    pub fan_out: u32,
    /// Jobs at once; 0 = chosen by the engine.
    pub jobs_max: u32,
    /// Bytes a second that jobs may write; 0 = no limit.
    pub rate_bytes_per_s: u64,
    /// No new job starts.
    pub paused: bool,
}

impl Default for CompactionSettings {
    /// The defaults of the API where it has the setting, our own for the rest.
    fn default() -> Self {
        Self {
            deleted_threshold: 0.2,
            vacuum_min_rows: 1_000,
            segment_count_target: 0,
            segment_bytes_max: 0,
            indexing_threshold_kb: 10_000,
            flush_interval_ms: 5_000,
            memtable_bytes_max: 64 << 20,
            fan_out: 4,
            jobs_max: 0,
            rate_bytes_per_s: 0,
            paused: false,
        }
    }
}

/// What a collection holds; `version` grows with each change.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Schema {
    /// Grows with each change; WAL records name the one they were made under.
    pub version: u64,
    /// Named vectors; WAL operations name them by their position here.
    pub vectors: Vec<VectorSchema>,
    /// Indexed payload fields.
    pub fields: Vec<FieldIndex>,
    /// When to compact.
    pub compaction: CompactionSettings,
    /// An encoded value that belongs to the server: configuration it returns as it was given.
    pub document: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip_and_zero_is_not_one() {
        for &metric in Metric::ALL {
            assert_eq!(Metric::from_tag(metric.tag()), Some(metric));
        }
        for &element in Element::ALL {
            assert_eq!(Element::from_tag(element.tag()), Some(element));
        }
        for &field_type in FieldType::ALL {
            assert_eq!(FieldType::try_from(field_type.tag()), Ok(field_type));
        }
        for &codec in Codec::ALL {
            assert_eq!(Codec::try_from(codec.tag()), Ok(codec));
        }
        assert_eq!(Metric::from_tag(0), None);
        assert_eq!(Element::try_from(9), Err(UnknownTag(9)));
    }

    #[test]
    fn a_tag_is_one_postcard_byte() {
        assert_eq!(postcard::to_stdvec(&Metric::Manhattan).unwrap(), [4]);
        assert!(postcard::from_bytes::<Metric>(&[0]).is_err());
    }
}
