//! The state that an operation of a write request sees: the snapshot of the turn, covered by what
//! the operations before it in the same request have done.
//!
//! # Invariants
//! - A point is in the overlay if an earlier operation of the request touched it, and the overlay
//!   then has the last word about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{PayloadReader, Snapshot, UpsertRows};
use format_spec::ids::PointId;
use format_spec::value::{Value, ValueRef};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::{QueryError, damaged_payload};
use crate::filter::{Bound, Known, candidates, matches};
use crate::hydrate::Place;
use crate::payload::Members;

/// A point as an operation of this request has left it.
#[derive(Clone, Debug)]
struct Point {
    /// In element encoding, by position in the schema. `None`: as at the place in the snapshot.
    vectors: Vectors,
    payload: Arc<[u8]>,
}

#[derive(Clone, Debug)]
enum Vectors {
    Stored(Place),
    Own(Vec<Option<Box<[u8]>>>),
}

/// Where an existing point is to be found.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Whereabouts {
    /// In the overlay.
    Overlaid,
    /// In the snapshot.
    Stored(Place),
}

/// A point that an operation is about.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) id: PointId,
    at: Whereabouts,
}

/// Snapshot and earlier operations, seen as one.
pub(crate) struct Overlay<'a> {
    snapshot: &'a Snapshot,
    /// `None` for points that an earlier operation deleted.
    points: BTreeMap<PointId, Option<Point>>,
    /// One for each source, so that rows read in order decompress a block once.
    readers: Vec<PayloadReader<'a>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let readers = snapshot
            .sources()
            .iter()
            .map(|source| source.payloads())
            .collect();
        Self {
            snapshot,
            points: BTreeMap::new(),
            readers,
        }
    }

    /// The point of this id, if it exists.
    pub(crate) fn find(&self, id: PointId) -> Result<Option<Chosen>, QueryError> {
        let at = match self.points.get(&id) {
            Some(None) => None,
            Some(Some(_)) => Some(Whereabouts::Overlaid),
            None => self
                .snapshot
                .find(id)?
                .map(|(source, row)| Whereabouts::Stored(Place { source, row })),
        };
        Ok(at.map(|at| Chosen { id, at }))
    }

    /// All points that match.
    pub(crate) fn matching(
        &self,
        filter: &Bound<'_>,
        budget: &Budget<'_>,
    ) -> Result<Vec<Chosen>, QueryError> {
        let mut chosen = Vec::new();
        for (at, source) in self.snapshot.sources().iter().enumerate() {
            let found = candidates(filter, source, &source.live(), budget)?;
            for row in &found.settle(filter, source, budget)? {
                let id = source.id(row)?;
                if !self.points.contains_key(&id) {
                    chosen.push(Chosen {
                        id,
                        at: Whereabouts::Stored(Place { source: at, row }),
                    });
                }
            }
        }
        for (tested, (id, point)) in self.points.iter().enumerate() {
            if tested % PAYLOAD_ROWS == 0 {
                budget.check()?;
            }
            let Some(point) = point else { continue };
            let vectors = self.has_vectors(filter, Some(point), None)?;
            if passes(filter, *id, &vectors, &point.payload)? {
                chosen.push(Chosen {
                    id: *id,
                    at: Whereabouts::Overlaid,
                });
            }
        }
        Ok(chosen)
    }

    /// Whether an existing point matches.
    pub(crate) fn matches(
        &mut self,
        filter: &Bound<'_>,
        chosen: Chosen,
    ) -> Result<bool, QueryError> {
        let stored = match chosen.at {
            Whereabouts::Stored(place) => Some(place),
            Whereabouts::Overlaid => None,
        };
        let point = self.points.get(&chosen.id).and_then(Option::as_ref);
        let vectors = self.has_vectors(filter, point, stored)?;
        passes(filter, chosen.id, &vectors, self.payload(chosen)?)
    }

    /// Which of the vectors that the filter asks for a point has, which is in the overlay or
    /// stored.
    fn has_vectors(
        &self,
        filter: &Bound<'_>,
        point: Option<&Point>,
        stored: Option<Place>,
    ) -> Result<Vec<bool>, QueryError> {
        let place = match (stored, point.map(|point| &point.vectors)) {
            (Some(place), _) => place,
            (None, Some(Vectors::Stored(place))) => *place,
            (None, Some(Vectors::Own(own))) => {
                let has = |position: &usize| matches!(own.get(*position), Some(Some(_)));
                return Ok(filter.vectors.iter().map(has).collect());
            }
            (None, None) => return Ok(vec![false; filter.vectors.len()]),
        };
        let source = &self.snapshot.sources()[place.source];
        let has = |position: &usize| Ok(source.has_vector(*position, place.row)?);
        filter.vectors.iter().map(has).collect()
    }

    /// The payload of a point, encoded.
    pub(crate) fn payload(&mut self, chosen: Chosen) -> Result<&[u8], QueryError> {
        match chosen.at {
            Whereabouts::Stored(place) => Ok(self.readers[place.source].get(place.row)?),
            Whereabouts::Overlaid => match self.points.get(&chosen.id) {
                Some(Some(point)) => Ok(&point.payload),
                _ => Err(QueryError::PointNotFound { id: chosen.id }),
            },
        }
    }

    /// The members of a point's payload.
    pub(crate) fn members(&mut self, chosen: Chosen) -> Result<Members, QueryError> {
        match Value::decode(self.payload(chosen)?).map_err(damaged_payload)? {
            Value::Object(members) => Ok(members),
            // A payload is an object; one that is not has no members to keep.
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Array(_) => Ok(Members::new()),
        }
    }

    /// Appends the point to `rows` as it is now, but for the vectors that `replace` decides about:
    /// it gets each position and answers `None` to keep what is there.
    pub(crate) fn copy_to<'v>(
        &mut self,
        chosen: Chosen,
        vectors: usize,
        rows: &mut UpsertRows,
        replace: impl Fn(usize) -> Option<Option<&'v [u8]>>,
    ) -> Result<(), QueryError> {
        rows.begin(chosen.id);
        for position in 0..vectors {
            match replace(position) {
                Some(Some(row)) => rows.raw_vector(position, row),
                Some(None) => {}
                None => self.copy_vector(chosen, position, rows)?,
            }
        }
        rows.payload(self.payload(chosen)?);
        Ok(())
    }

    fn copy_vector(
        &self,
        chosen: Chosen,
        position: usize,
        rows: &mut UpsertRows,
    ) -> Result<(), QueryError> {
        let place = match (chosen.at, self.points.get(&chosen.id)) {
            (Whereabouts::Stored(place), _) => place,
            (Whereabouts::Overlaid, Some(Some(point))) => match &point.vectors {
                Vectors::Stored(place) => *place,
                Vectors::Own(own) => {
                    if let Some(Some(row)) = own.get(position) {
                        rows.raw_vector(position, row);
                    }
                    return Ok(());
                }
            },
            (Whereabouts::Overlaid, _) => return Ok(()),
        };
        if let Some(row) = self.snapshot.sources()[place.source].vector(position, place.row)? {
            rows.raw_vector(position, &row);
        }
        Ok(())
    }

    /// Notes that points were written as a whole.
    pub(crate) fn put(&mut self, rows: &UpsertRows, vectors: usize) {
        for at in 0..rows.len() {
            self.put_one(rows, at, vectors);
        }
    }

    /// Notes that one point was written as a whole.
    pub(crate) fn put_one(&mut self, rows: &UpsertRows, at: usize, vectors: usize) {
        let own = (0..vectors).map(|position| rows.get_vector(at, position).map(Box::from));
        let vectors = Vectors::Own(own.collect());
        let payload = Arc::from(rows.get_payload(at));
        self.points
            .insert(rows.id(at), Some(Point { vectors, payload }));
    }

    /// Notes that points are gone.
    pub(crate) fn remove(&mut self, ids: &[PointId]) {
        self.points.extend(ids.iter().map(|id| (*id, None)));
    }

    /// Notes that a point has a new payload.
    pub(crate) fn set_payload(&mut self, chosen: Chosen, payload: Arc<[u8]>) {
        match (chosen.at, self.points.get_mut(&chosen.id)) {
            (_, Some(Some(point))) => point.payload = payload,
            (Whereabouts::Stored(place), _) => {
                let point = Point {
                    vectors: Vectors::Stored(place),
                    payload,
                };
                self.points.insert(chosen.id, Some(point));
            }
            (Whereabouts::Overlaid, _) => {}
        }
    }
}

fn passes(
    filter: &Bound<'_>,
    id: PointId,
    vectors: &[bool],
    payload: &[u8],
) -> Result<bool, QueryError> {
    let payload = ValueRef::new(payload).map_err(damaged_payload)?;
    let known = Known {
        id: Some(id),
        vectors,
    };
    matches(filter, known, payload).map_err(damaged_payload)
}
