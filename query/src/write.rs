//! Writes as the request states them, before they are resolved to points.

use engine::UpsertRows;
use format_spec::ids::PointId;
use format_spec::value::Value;

use crate::filter::{FieldPath, Filter};

/// The points an operation is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// These; each must exist, except for a delete.
    Ids(Vec<PointId>),
    /// All that match.
    Filter(Filter),
}

/// What an upsert does about points that exist, or do not.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum UpdateMode {
    /// Insert new points, replace existing ones.
    #[default]
    Upsert,
    /// Leave existing points alone.
    InsertOnly,
    /// Leave out new points.
    UpdateOnly,
}

/// One operation of a write request.
#[derive(Debug)]
pub enum WriteOp {
    /// Whole points.
    Upsert {
        /// The points.
        rows: UpsertRows,
        /// Existing points are replaced only if they match.
        update_filter: Option<Filter>,
        /// What about existing points, and new ones.
        mode: UpdateMode,
    },
    /// Points go; ids that do not exist are fine.
    Delete(Selector),
    /// Keys of the payload are set; null takes a key away.
    SetPayload {
        /// An object.
        payload: Value,
        /// Whose payload.
        select: Selector,
        /// Where in the payload the object goes; the top level if there is none.
        key: Option<FieldPath>,
    },
    /// The payload is replaced.
    OverwritePayload {
        /// An object.
        payload: Value,
        /// Whose payload.
        select: Selector,
    },
    /// What lies at these paths goes.
    DeletePayload {
        /// The paths.
        keys: Vec<FieldPath>,
        /// Whose payload.
        select: Selector,
    },
    /// The payload goes.
    ClearPayload(Selector),
    /// Vectors of existing points are set; their other vectors and their payload stay.
    UpdateVectors {
        /// The new vectors; payloads are ignored.
        rows: UpsertRows,
        /// Only points that match.
        update_filter: Option<Filter>,
    },
    /// Vectors of existing points go.
    DeleteVectors {
        /// Their names.
        names: Vec<String>,
        /// Whose vectors.
        select: Selector,
    },
}

impl WriteOp {
    /// The filter that decides which points it is about.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Upsert { update_filter, .. } | Self::UpdateVectors { update_filter, .. } => {
                update_filter.as_ref()
            }
            Self::Delete(select)
            | Self::SetPayload { select, .. }
            | Self::OverwritePayload { select, .. }
            | Self::DeletePayload { select, .. }
            | Self::ClearPayload(select)
            | Self::DeleteVectors { select, .. } => match select {
                Selector::Ids(_) => None,
                Selector::Filter(filter) => Some(filter),
            },
        }
    }
}

/// Whether the operations may take memory that only a flush frees. Deletes never wait for one.
#[must_use]
pub fn grows(ops: &[WriteOp]) -> bool {
    !ops.iter().all(|op| matches!(op, WriteOp::Delete(_)))
}

/// Whether any of the operations depends on the state of the collection, so that it has to be
/// resolved in the shard's write turn.
#[must_use]
pub fn needs_turn(ops: &[WriteOp]) -> bool {
    ops.iter().any(|op| match op {
        WriteOp::Upsert {
            update_filter,
            mode,
            ..
        } => update_filter.is_some() || *mode != UpdateMode::Upsert,
        WriteOp::Delete(Selector::Ids(_)) => false,
        WriteOp::Delete(Selector::Filter(_))
        | WriteOp::SetPayload { .. }
        | WriteOp::OverwritePayload { .. }
        | WriteOp::DeletePayload { .. }
        | WriteOp::ClearPayload(_)
        | WriteOp::UpdateVectors { .. }
        | WriteOp::DeleteVectors { .. } => true,
    })
}
