//! Hydration: from rows to the records that are returned.
//!
//! Only the final hits are hydrated. They are read source by source in row order, so that hits in
//! one payload block decompress it once and cold ones are read at once, and returned in the order
//! asked for.

use engine::{Snapshot, Source};
use format_spec::ids::Row;
use format_spec::schema::Schema;
use format_spec::value::{Value, ValueRef};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::{QueryError, damaged_payload};
use crate::payload::PathTree;
use crate::request::{PayloadSelector, Record, VectorSelector};

/// Where a point is in a snapshot.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Position in [`Snapshot::sources`].
    pub(crate) source: usize,
    /// Row of the source.
    pub(crate) row: Row,
}

/// What to return of a point, bound to a schema.
#[derive(Debug)]
pub(crate) struct Projection<'s> {
    payload: PayloadPart,
    /// Positions in the schema; `None` when no vectors were asked for.
    vectors: Option<Vec<usize>>,
    schema: &'s Schema,
}

#[derive(Debug)]
enum PayloadPart {
    Nothing,
    Everything,
    Include(PathTree),
    Exclude(PathTree),
}

impl<'s> Projection<'s> {
    /// Binds the two selectors. Names of vectors that do not exist select nothing.
    pub(crate) fn bind(
        schema: &'s Schema,
        payload: &PayloadSelector,
        vectors: &VectorSelector,
    ) -> Self {
        let payload = match payload {
            PayloadSelector::All(false) => PayloadPart::Nothing,
            PayloadSelector::All(true) => PayloadPart::Everything,
            PayloadSelector::Include(paths) => PayloadPart::Include(PathTree::new(paths)),
            PayloadSelector::Exclude(paths) => PayloadPart::Exclude(PathTree::new(paths)),
        };
        let position = |name: &String| schema.vectors.iter().position(|v| v.name == *name);
        let vectors = match vectors {
            VectorSelector::All(false) => None,
            VectorSelector::All(true) => Some((0..schema.vectors.len()).collect()),
            VectorSelector::Names(names) => Some(names.iter().filter_map(position).collect()),
        };
        Self {
            payload,
            vectors,
            schema,
        }
    }

    fn payload(&self, encoded: &[u8]) -> Result<Option<Value>, QueryError> {
        let payload = ValueRef::new(encoded).map_err(damaged_payload)?;
        let selected = match &self.payload {
            PayloadPart::Nothing => return Ok(None),
            PayloadPart::Everything => payload.to_value(),
            PayloadPart::Include(tree) => tree.include(payload),
            PayloadPart::Exclude(tree) => tree.exclude(payload),
        };
        selected.map(Some).map_err(damaged_payload)
    }

    /// The vectors of `rows`, in their order.
    fn vectors(
        &self,
        source: &Source,
        rows: &[Row],
    ) -> Result<Vec<Option<NamedVectors>>, QueryError> {
        let Some(positions) = &self.vectors else {
            return Ok(vec![None; rows.len()]);
        };
        let mut all = vec![Some(Vec::with_capacity(positions.len())); rows.len()];
        for position in positions {
            let schema = &self.schema.vectors[*position];
            let stored = source.vectors(*position, rows)?;
            for (named, bytes) in all.iter_mut().flatten().zip(stored) {
                let Some(bytes) = bytes else { continue };
                let mut values = Vec::with_capacity(schema.dim as usize);
                quant::decode_row(schema.element, &bytes, &mut values);
                named.push((schema.name.clone(), values));
            }
        }
        Ok(all)
    }
}

type NamedVectors = Vec<(String, Vec<f32>)>;

/// The records of `places`, in their order.
pub(crate) fn hydrate(
    snapshot: &Snapshot,
    places: &[Place],
    projection: &Projection<'_>,
    budget: &Budget<'_>,
) -> Result<Vec<Record>, QueryError> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|at| (places[*at].source, places[*at].row));
    let mut records: Vec<Option<Record>> = vec![None; places.len()];
    let same_source = |a: &usize, b: &usize| places[*a].source == places[*b].source;
    for group in order.chunk_by(same_source) {
        let source = &snapshot.sources()[places[group[0]].source];
        let mut payloads = source.hit_payloads();
        for group in group.chunks(PAYLOAD_ROWS) {
            budget.check()?;
            let rows: Vec<Row> = group.iter().map(|at| places[*at].row).collect();
            let with_payload = !matches!(projection.payload, PayloadPart::Nothing);
            if with_payload {
                payloads.prefetch(&rows)?;
            }
            let vectors = projection.vectors(source, &rows)?;
            for ((at, &row), vectors) in group.iter().zip(&rows).zip(vectors) {
                let payload = if with_payload {
                    projection.payload(payloads.get(row)?)?
                } else {
                    None
                };
                records[*at] = Some(Record {
                    id: source.id(row)?,
                    version: source.seqno(row)?,
                    payload,
                    vectors,
                    order_value: None,
                });
            }
        }
    }
    Ok(records.into_iter().flatten().collect())
}
