//! Indexed payload fields: the path into a payload, and the column that is made of what lies there.

pub(crate) mod column;
pub(crate) mod content;
pub mod datetime;
pub(crate) mod geo;
pub(crate) mod keyword_draft;
pub(crate) mod path;
pub(crate) mod picked;
pub(crate) mod row_order;
pub(crate) mod statistics;
pub(crate) mod text;
pub mod uuid;
