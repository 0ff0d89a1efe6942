//! The JSON of the API: its shapes, read into domain types and written from them.
//!
//! Bodies that carry vectors in bulk are streamed ([`upsert`]); all others are small and become
//! plain structures that are then turned into domain types, which is where values are checked
//! and where what this version does not have is refused, by the path of its field.
//!
//! # Invariants
//! - Unknown fields are ignored, except in a filter and a payload selector, where a misspelt
//!   name would silently select something else.
//! - An error names the field, or for malformed JSON the line and column.

pub(crate) mod collection;
pub(crate) mod columns;
pub(crate) mod config;
pub(crate) mod explain;
pub(crate) mod facet;
pub(crate) mod filter;
pub(crate) mod group;
pub(crate) mod id;
pub(crate) mod index;
pub(crate) mod json;
pub(crate) mod known_recall;
pub(crate) mod number;
pub(crate) mod optimizations;
pub(crate) mod order;
pub(crate) mod parameters;
pub(crate) mod placement;
pub(crate) mod quantization;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod time;
pub(crate) mod upsert;
pub(crate) mod value;
pub(crate) mod vector;
pub(crate) mod write;
