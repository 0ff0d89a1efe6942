//! What the server noticed that makes requests slow and that its user can mend: fields that are
//! filtered by and have no index.
//!
//! # Invariants
//! - An issue is logged once as long as the server runs, however often it is met or cleared.
//! - There are at most [`ISSUES_MAX`]: clients choose the names of fields.

use std::collections::{BTreeMap, BTreeSet};

use engine::Collection;
use format_spec::{FieldIndex, FieldType, Schema};
use parking_lot::Mutex;
use query::{Filter, Unindexed};
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::index::type_name;
use crate::wire::time::rfc3339;

/// Issues that are kept at most.
const ISSUES_MAX: usize = 1_000;

/// Fields of one request that are noted at most, so that no request takes the room of all.
const REQUEST_MAX: usize = 16;

/// The issues of a server.
#[derive(Debug, Default)]
pub(crate) struct Issues(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    open: BTreeMap<Place, Noticed>,
    /// Also those that were cleared.
    logged: BTreeSet<Place>,
}

/// A collection and a field of its payloads.
type Place = (String, String);

#[derive(Copy, Clone, Debug)]
struct Noticed {
    serving: &'static [FieldType],
    at_ms: u64,
}

/// An issue as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Issue {
    id: String,
    description: String,
    solution: Value,
    timestamp: String,
    related_collection: String,
}

impl Issues {
    /// Notes the fields of a filter that have no index; `now_ms` is asked only if there are any.
    pub(crate) fn note(
        &self,
        collection: &str,
        schema: &Schema,
        filter: Option<&Filter>,
        now_ms: impl Fn() -> u64,
    ) {
        let Some(filter) = filter else { return };
        let found = query::unindexed(filter, schema);
        if found.is_empty() {
            return;
        }
        let mut known = self.0.lock();
        for Unindexed { path, serving } in found.into_iter().take(REQUEST_MAX) {
            let place = (collection.to_owned(), path);
            if known.open.contains_key(&place) {
                continue;
            }
            if known.open.len() >= ISSUES_MAX {
                known.forget_oldest();
            }
            if known.logged.len() < ISSUES_MAX && known.logged.insert(place.clone()) {
                tracing::warn!(
                    collection,
                    field = place.1,
                    "filtered by a field without an index that answers: payloads are read"
                );
            }
            let at_ms = now_ms();
            known.open.insert(place, Noticed { serving, at_ms });
        }
    }

    /// The issues that still are: of collections that exist, and fields that have no index yet.
    pub(crate) fn list(&self, collections: &[std::sync::Arc<Collection>]) -> Vec<Issue> {
        let is_open = |(collection, field): &Place, noticed: &Noticed| {
            let found = collections.iter().find(|known| known.name() == collection);
            let serves = |index: &FieldIndex| {
                index.path == *field && noticed.serving.contains(&index.field_type)
            };
            found.is_some_and(|found| !found.schema().fields.iter().any(serves))
        };
        let mut known = self.0.lock();
        known.open.retain(|place, noticed| is_open(place, noticed));
        known.open.iter().map(issue).collect()
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.0.lock().open.clear();
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        let oldest = self.open.iter().min_by_key(|(_, noticed)| noticed.at_ms);
        if let Some(place) = oldest.map(|(place, _)| place.clone()) {
            self.open.remove(&place);
        }
    }
}

fn issue((place, noticed): (&Place, &Noticed)) -> Issue {
    let (collection, field) = place;
    let first = noticed.serving.first();
    let kind = first.map_or("", |field_type| type_name(*field_type));
    Issue {
        id: format!("UNINDEXED_FIELD/{collection}/{field}"),
        description: format!(
            "Unindexed field '{field}' is slowing down queries in collection '{collection}'"
        ),
        solution: json!({
            "immediate": {
                "message": format!(
                    "Create an index on field '{field}' of type '{kind}' in collection \
                     '{collection}'."
                ),
                "action": {
                    "method": "PUT",
                    "uri": format!("/collections/{collection}/index"),
                    "headers": {},
                    "body": {"field_name": field, "field_schema": kind},
                },
            }
        }),
        timestamp: rfc3339(noticed.at_ms),
        related_collection: collection.clone(),
    }
}
