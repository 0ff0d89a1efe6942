//! Points by id.

use engine::Snapshot;
use format_spec::ids::PointId;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::hydrate::{Place, Projection, hydrate};
use crate::request::{PayloadSelector, Record, VectorSelector};

/// The points of `ids`, in their order; those that do not exist are left out.
///
/// # Errors
/// A failure to read.
pub fn retrieve(
    snapshot: &Snapshot,
    ids: &[PointId],
    with_payload: &PayloadSelector,
    with_vector: &VectorSelector,
) -> Result<Vec<Record>, QueryError> {
    let projection = Projection::bind(snapshot.schema(), with_payload, with_vector);
    let mut places = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some((source, row)) = snapshot.find(*id)? {
            places.push(Place { source, row });
        }
    }
    // The ids came in the request, whose size bounds the work.
    hydrate(snapshot, &places, &projection, &Budget::UNLIMITED)
}
