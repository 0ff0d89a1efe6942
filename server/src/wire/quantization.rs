//! How vectors are compressed for searching: the API's settings, and the codec they stand for.
//!
//! # Invariants
//! - What is written back has the members that were read, and no others.

use format_spec::Codec;
use serde::{Deserialize, Serialize};

use super::config::Memory;

/// How vectors are compressed for searching.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quantization {
    Scalar(ScalarQuantization),
    Product(ProductQuantization),
    Binary(BinaryQuantization),
    Turbo(TurboQuantization),
}

impl Quantization {
    /// The codec that does what the settings ask for, or better in as many bits.
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Scalar(_) => Codec::Bits8,
            Self::Product(product) => match product.compression {
                Compression::X4 => Codec::Product4,
                Compression::X8 => Codec::Product8,
                Compression::X16 => Codec::Product16,
                Compression::X32 => Codec::Product32,
                Compression::X64 => Codec::Product64,
            },
            Self::Binary(binary) => match binary.encoding.unwrap_or(BinaryEncoding::OneBit) {
                BinaryEncoding::OneBit => Codec::Bits1,
                BinaryEncoding::OneAndHalfBits | BinaryEncoding::TwoBits => Codec::Bits2,
            },
            Self::Turbo(turbo) => match turbo.bits.unwrap_or(TurboBits::Bits4) {
                TurboBits::Bits1 => Codec::Bits1,
                TurboBits::Bits1Half | TurboBits::Bits2 => Codec::Bits2,
                TurboBits::Bits4 => Codec::Bits4,
                TurboBits::Bits8 => Codec::Bits8,
            },
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `type`")]
pub(crate) struct ScalarQuantization {
    r#type: ScalarType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantile: Option<f64>,
    #[serde(flatten)]
    place: Place,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `compression`")]
pub(crate) struct ProductQuantization {
    compression: Compression,
    #[serde(flatten)]
    place: Place,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object of quantization settings")]
pub(crate) struct BinaryQuantization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<BinaryEncoding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_encoding: Option<QueryEncoding>,
    #[serde(flatten)]
    place: Place,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object of quantization settings")]
pub(crate) struct TurboQuantization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bits: Option<TurboBits>,
    #[serde(flatten)]
    place: Place,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `always_ram`")]
pub(super) struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) always_ram: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Memory>,
}

impl Quantization {
    /// Where codes are to be held.
    pub(super) const fn place(&self) -> &Place {
        match self {
            Self::Scalar(scalar) => &scalar.place,
            Self::Product(product) => &product.place,
            Self::Binary(binary) => &binary.place,
            Self::Turbo(turbo) => &turbo.place,
        }
    }
}

#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScalarType {
    Int8,
}

#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    X4,
    X8,
    X16,
    X32,
    X64,
}

#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BinaryEncoding {
    OneBit,
    TwoBits,
    OneAndHalfBits,
}

#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum QueryEncoding {
    Default,
    Binary,
    Scalar4Bits,
    Scalar8Bits,
}

#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TurboBits {
    Bits1,
    #[serde(rename = "bits1_5")]
    Bits1Half,
    Bits2,
    Bits4,
    Bits8,
}
