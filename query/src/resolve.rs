//! Resolving writes: from what a request says to the points and payloads that are logged.
//!
//! An operation that depends on state (by filter, conditional, on part of a point) is resolved
//! against the snapshot of the shard's write turn, before anything is logged, so that replay and
//! replicas see explicit ids and whole values and cannot fail or differ.
//!
//! ```text
//! each operation, in order:  select points ── their state ── new points, payloads, deaths
//!                                 ▲             ▲                        │
//!                                 └── overlay ──┴────────────────────────┘
//! ```
//!
//! # Invariants
//! - Later operations of one request see the effect of earlier ones.
//! - An error means that nothing was written: there is no batch yet.
//! - Ids that are named must exist, except in a delete; a filter that matches nothing is no error.

use std::collections::HashSet;
use std::sync::Arc;

use engine::{Snapshot, UpsertRows, WriteBatch};
use format_spec::ids::PointId;
use format_spec::schema::Schema;
use format_spec::value::{EMPTY_PAYLOAD, Value};

use crate::budget::{Budget, PAYLOAD_ROWS};
use crate::error::QueryError;
use crate::filter::{FieldPath, Filter, bind};
use crate::overlay::{Chosen, Overlay};
use crate::payload::{Members, delete_at, merge, set_at};
use crate::request::Env;
use crate::write::{Selector, UpdateMode, WriteOp, needs_turn};

/// Resolves the operations of one request to one atomic batch.
///
/// `snapshot` is that of the write turn; it may be missing if [`needs_turn`] says that none is
/// needed.
///
/// # Errors
/// [`QueryError::PointNotFound`] for the first named id that does not exist, a filter or vector
/// name that does not bind, a payload that is no object, the deadline, or a failure to read.
pub fn resolve(
    snapshot: Option<&Snapshot>,
    schema: &Schema,
    ops: Vec<WriteOp>,
    env: &Env<'_>,
) -> Result<WriteBatch, QueryError> {
    if !needs_turn(&ops) {
        return Ok(unconditional(ops));
    }
    let Some(snapshot) = snapshot else {
        return Err(QueryError::Unsupported {
            what: "a write that depends on state outside a turn",
        });
    };
    let (overlay, batch) = (Overlay::new(snapshot), WriteBatch::new());
    let mut resolver = Resolver {
        schema,
        overlay,
        batch,
        budget: Budget::new(env),
        last: false,
    };
    let count = ops.len();
    for (at, op) in ops.into_iter().enumerate() {
        resolver.last = at + 1 == count;
        resolver.resolve(op)?;
    }
    Ok(resolver.batch)
}

/// Operations of which none needs the turn.
fn unconditional(ops: Vec<WriteOp>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for op in ops {
        if let WriteOp::Upsert { rows, .. } = op {
            batch.upsert(rows);
        } else if let WriteOp::Delete(Selector::Ids(ids)) = op {
            batch.delete(ids);
        }
    }
    batch
}

struct Resolver<'a> {
    schema: &'a Schema,
    overlay: Overlay<'a>,
    batch: WriteBatch,
    budget: Budget<'a>,
    /// No operation follows that could see what this one does.
    last: bool,
}

impl Resolver<'_> {
    fn resolve(&mut self, op: WriteOp) -> Result<(), QueryError> {
        match op {
            WriteOp::Upsert {
                rows,
                update_filter: None,
                mode: UpdateMode::Upsert,
            } => {
                if !self.last {
                    self.overlay.put(&rows, self.vectors());
                }
                self.batch.upsert(rows);
                Ok(())
            }
            WriteOp::Upsert {
                rows,
                update_filter,
                mode,
            } => self.upsert_if(&rows, update_filter.as_ref(), mode),
            WriteOp::Delete(Selector::Ids(ids)) => {
                self.delete(ids);
                Ok(())
            }
            WriteOp::Delete(Selector::Filter(filter)) => {
                let chosen = self.matching(&filter)?;
                self.delete(chosen.into_iter().map(|chosen| chosen.id).collect());
                Ok(())
            }
            WriteOp::SetPayload {
                payload,
                select,
                key,
            } => {
                let source = members_of(payload)?;
                self.patch(&select, |members| match &key {
                    Some(path) => set_at(members, path, &source),
                    None => merge(members, &source),
                })
            }
            WriteOp::OverwritePayload { payload, select } => {
                let payload = Value::Object(members_of(payload)?).to_bytes();
                self.replace_payloads(&select, &Arc::from(payload))
            }
            WriteOp::DeletePayload { keys, select } => self.delete_payload(&keys, &select),
            WriteOp::ClearPayload(select) => {
                self.replace_payloads(&select, &Arc::from(EMPTY_PAYLOAD))
            }
            WriteOp::UpdateVectors {
                rows,
                update_filter,
            } => self.update_vectors(&rows, update_filter.as_ref()),
            WriteOp::DeleteVectors { names, select } => self.delete_vectors(&names, &select),
        }
    }

    fn vectors(&self) -> usize {
        self.schema.vectors.len()
    }

    fn matching(&self, filter: &Filter) -> Result<Vec<Chosen>, QueryError> {
        self.overlay
            .matching(&bind(filter, self.schema)?, &self.budget)
    }

    /// The points of a selector. Every id must exist; one named twice is chosen once.
    fn select(&self, select: &Selector) -> Result<Vec<Chosen>, QueryError> {
        let ids = match select {
            Selector::Filter(filter) => return self.matching(filter),
            Selector::Ids(ids) => ids,
        };
        let mut seen = HashSet::with_capacity(ids.len());
        let mut chosen = Vec::with_capacity(ids.len());
        for id in ids {
            if seen.insert(*id) {
                chosen.push(self.existing(*id)?);
            }
        }
        Ok(chosen)
    }

    fn existing(&self, id: PointId) -> Result<Chosen, QueryError> {
        self.overlay
            .find(id)?
            .ok_or(QueryError::PointNotFound { id })
    }

    fn delete(&mut self, ids: Vec<PointId>) {
        if !self.last {
            self.overlay.remove(&ids);
        }
        self.batch.delete(ids);
    }

    /// An upsert with conditions: point after point, because an id may occur twice.
    fn upsert_if(
        &mut self,
        rows: &UpsertRows,
        filter: Option<&Filter>,
        mode: UpdateMode,
    ) -> Result<(), QueryError> {
        let filter = filter.map(|filter| bind(filter, self.schema)).transpose()?;
        let remember = !self.last || has_repeats(rows.ids());
        let mut kept = UpsertRows::new(self.schema);
        for at in 0..rows.len() {
            if at % PAYLOAD_ROWS == 0 {
                self.budget.check()?;
            }
            let write = match (self.overlay.find(rows.id(at))?, mode) {
                (None, UpdateMode::UpdateOnly) | (Some(_), UpdateMode::InsertOnly) => false,
                (None, _) => true,
                (Some(existing), _) => match &filter {
                    Some(filter) => self.overlay.matches(filter, existing)?,
                    None => true,
                },
            };
            if write {
                kept.push_from(rows, at);
                if remember {
                    self.overlay.put_one(rows, at, self.schema.vectors.len());
                }
            }
        }
        self.upsert(kept);
        Ok(())
    }

    fn upsert(&mut self, rows: UpsertRows) {
        if !rows.is_empty() {
            self.batch.upsert(rows);
        }
    }

    /// Changes the payload of each selected point.
    fn patch(
        &mut self,
        select: &Selector,
        change: impl Fn(&mut Members),
    ) -> Result<(), QueryError> {
        let chosen = self.select(select)?;
        let mut patches: Vec<(PointId, Arc<[u8]>)> = Vec::with_capacity(chosen.len());
        let mut encoded = Vec::new();
        for (at, chosen) in chosen.into_iter().enumerate() {
            if at % PAYLOAD_ROWS == 0 {
                self.budget.check()?;
            }
            let mut members = self.overlay.members(chosen)?;
            change(&mut members);
            encoded.clear();
            Value::Object(members).encode(&mut encoded);
            // Points that were alike often stay alike: they then share the bytes.
            let payload = match patches.last() {
                Some((_, before)) if **before == *encoded => Arc::clone(before),
                _ => Arc::from(encoded.as_slice()),
            };
            if !self.last {
                self.overlay.set_payload(chosen, Arc::clone(&payload));
            }
            patches.push((chosen.id, payload));
        }
        self.log_patches(patches);
        Ok(())
    }

    /// Gives each selected point the same payload.
    fn replace_payloads(
        &mut self,
        select: &Selector,
        payload: &Arc<[u8]>,
    ) -> Result<(), QueryError> {
        let chosen = self.select(select)?;
        if !self.last {
            for chosen in &chosen {
                self.overlay.set_payload(*chosen, Arc::clone(payload));
            }
        }
        self.log_patches(chosen.iter().map(|c| (c.id, Arc::clone(payload))).collect());
        Ok(())
    }

    fn delete_payload(&mut self, keys: &[FieldPath], select: &Selector) -> Result<(), QueryError> {
        self.patch(select, |members| {
            keys.iter().for_each(|key| delete_at(members, key));
        })
    }

    fn log_patches(&mut self, patches: Vec<(PointId, Arc<[u8]>)>) {
        if !patches.is_empty() {
            self.batch.patch(patches);
        }
    }

    fn update_vectors(
        &mut self,
        rows: &UpsertRows,
        filter: Option<&Filter>,
    ) -> Result<(), QueryError> {
        let filter = filter.map(|filter| bind(filter, self.schema)).transpose()?;
        let remember = !self.last || has_repeats(rows.ids());
        let mut whole = UpsertRows::new(self.schema);
        for at in 0..rows.len() {
            if at % PAYLOAD_ROWS == 0 {
                self.budget.check()?;
            }
            let chosen = self.existing(rows.id(at))?;
            if let Some(filter) = &filter
                && !self.overlay.matches(filter, chosen)?
            {
                continue;
            }
            let vectors = self.vectors();
            self.overlay
                .copy_to(chosen, vectors, &mut whole, |position| {
                    rows.get_vector(at, position).map(Some)
                })?;
            if remember {
                self.overlay.put_one(&whole, whole.len() - 1, vectors);
            }
        }
        self.upsert(whole);
        Ok(())
    }

    fn delete_vectors(&mut self, names: &[String], select: &Selector) -> Result<(), QueryError> {
        let chosen = self.select(select)?;
        let position = |name: &String| {
            let found = self
                .schema
                .vectors
                .iter()
                .position(|vector| vector.name == *name);
            found.ok_or_else(|| QueryError::UnknownVector { name: name.clone() })
        };
        let gone: Vec<usize> = names.iter().map(position).collect::<Result<_, _>>()?;
        let mut whole = UpsertRows::new(self.schema);
        for (at, chosen) in chosen.into_iter().enumerate() {
            if at % PAYLOAD_ROWS == 0 {
                self.budget.check()?;
            }
            let vectors = self.vectors();
            self.overlay
                .copy_to(chosen, vectors, &mut whole, |position| {
                    gone.contains(&position).then_some(None)
                })?;
        }
        if !self.last {
            self.overlay.put(&whole, self.vectors());
        }
        self.upsert(whole);
        Ok(())
    }
}

fn has_repeats(ids: &[PointId]) -> bool {
    let mut seen = HashSet::with_capacity(ids.len());
    ids.iter().any(|id| !seen.insert(*id))
}

fn members_of(payload: Value) -> Result<Members, QueryError> {
    match payload {
        Value::Object(members) => Ok(members),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Array(_) => Err(QueryError::Invalid {
            field: "payload".to_owned(),
            message: "must be an object".to_owned(),
        }),
    }
}
