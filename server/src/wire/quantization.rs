//! How vectors would be compressed: validated, stored and returned, without effect yet.
//!
//! # Invariants
//! - What is written back has the members that were read, and no others.

use serde::{Deserialize, Serialize};

use super::config::Memory;

/// How vectors would be compressed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quantization {
    Scalar(ScalarQuantization),
    Product(ProductQuantization),
    Binary(BinaryQuantization),
    Turbo(TurboQuantization),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `type`")]
pub(crate) struct ScalarQuantization {
    r#type: ScalarType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantile: Option<f32>,
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
struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    always_ram: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
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
