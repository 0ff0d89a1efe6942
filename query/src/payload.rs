//! Changing a payload, and cutting parts out of it, by path.
//!
//! Payloads are objects whose keys keep their order: a key that is set again stays in its place, a
//! new one goes to the end.
//!
//! # Invariants
//! - The rules are Qdrant's, odd corners included, because clients rely on them: setting goes
//!   through what is in its way (a step that meets a value of the wrong kind replaces it), deleting
//!   and selecting never do.

use format_spec::error::DecodeError;
use format_spec::value::{Value, ValueKind, ValueRef};

use crate::filter::{FieldPath, PathItem};

/// The members of an object.
pub(crate) type Members = Vec<(String, Value)>;

/// Sets the members of `source` in `target`; null takes the key away.
pub(crate) fn merge(target: &mut Members, source: &Members) {
    for (key, value) in source {
        let place = target.iter().position(|(name, _)| name == key);
        match (place, value) {
            (Some(place), Value::Null) => {
                target.remove(place);
            }
            (None, Value::Null) => {}
            (Some(place), value) => target[place].1 = value.clone(),
            (None, value) => target.push((key.clone(), value.clone())),
        }
    }
}

/// Merges `source` into the objects at `path`.
///
/// Missing keys come into being, an index beyond the end of an array does nothing, and a step into an
/// array that is none leaves an empty array behind.
pub(crate) fn set_at(payload: &mut Members, path: &FieldPath, source: &Members) {
    if let Some((PathItem::Key(key), rest)) = path.items().split_first() {
        set_below(entry(payload, key), rest, source);
    }
}

fn set_below(slot: &mut Value, items: &[PathItem], source: &Members) {
    match items.split_first() {
        None => merge(as_object(slot), source),
        Some((PathItem::Key(key), rest)) => set_below(entry(as_object(slot), key), rest, source),
        Some((item, rest)) => {
            let Value::Array(elements) = slot else {
                *slot = Value::Array(Vec::new());
                return;
            };
            for element in elements_of(elements, item) {
                set_below(element, rest, source);
            }
        }
    }
}

/// The members of `slot`, which becomes an object if it is none.
fn as_object(slot: &mut Value) -> &mut Members {
    if !matches!(slot, Value::Object(_)) {
        *slot = Value::Object(Vec::new());
    }
    let Value::Object(members) = slot else { unreachable!("made an object just above") };
    members
}

/// The value under `key`, which becomes an empty object if there is none.
fn entry<'v>(members: &'v mut Members, key: &str) -> &'v mut Value {
    let place = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
        members.push((key.to_owned(), Value::Object(Vec::new())));
        members.len() - 1
    });
    &mut members[place].1
}

/// The elements of an array that `[n]` or `[]` names; none for a key.
fn elements_of<'v>(elements: &'v mut [Value], item: &PathItem) -> &'v mut [Value] {
    match item {
        PathItem::Every => elements,
        PathItem::Index(index) => match elements.get_mut(*index) {
            Some(element) => std::slice::from_mut(element),
            None => &mut [],
        },
        PathItem::Key(_) => &mut [],
    }
}

/// Takes away what lies at `path`. A final `[]` empties the array; a final `[n]` does nothing, because
/// doing it twice would take away two elements.
pub(crate) fn delete_at(payload: &mut Members, path: &FieldPath) {
    let Some((PathItem::Key(key), rest)) = path.items().split_first() else { return };
    let Some(place) = payload.iter().position(|(name, _)| name == key) else { return };
    if rest.is_empty() {
        payload.remove(place);
    } else {
        delete_below(&mut payload[place].1, rest);
    }
}

fn delete_below(value: &mut Value, items: &[PathItem]) {
    let Some((item, rest)) = items.split_first() else { return };
    match (item, value) {
        (PathItem::Key(key), Value::Object(members)) => {
            let Some(place) = members.iter().position(|(name, _)| name == key) else { return };
            if rest.is_empty() {
                members.remove(place);
            } else {
                delete_below(&mut members[place].1, rest);
            }
        }
        (PathItem::Every, Value::Array(elements)) if rest.is_empty() => elements.clear(),
        (PathItem::Every | PathItem::Index(_), Value::Array(elements)) if !rest.is_empty() => {
            for element in elements_of(elements, item) {
                delete_below(element, rest);
            }
        }
        _ => {}
    }
}

/// The paths of a payload selector as a tree, so that a payload is walked once.
///
/// A node without children selects everything below it.
#[derive(Debug, Default)]
pub(crate) struct PathTree {
    children: Vec<(PathItem, PathTree)>,
}

impl PathTree {
    /// The tree of `paths`; of two paths where one begins the other, the shorter counts.
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        let mut root = Self::default();
        for path in paths {
            root.add(path.items());
        }
        root
    }

    fn add(&mut self, items: &[PathItem]) {
        let Some((item, rest)) = items.split_first() else {
            self.children.clear();
            return;
        };
        if let Some((_, child)) = self.children.iter_mut().find(|(name, _)| name == item) {
            if !child.children.is_empty() {
                child.add(rest);
            }
            return;
        }
        let mut child = Self::default();
        if !rest.is_empty() {
            child.add(rest);
        }
        self.children.push((item.clone(), child));
    }

    fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    fn key(&self, key: &str) -> Option<&Self> {
        let found = self.children.iter().find(|(item, _)| {
            matches!(item, PathItem::Key(name) if name == key)
        });
        found.map(|(_, child)| child)
    }

    /// Only `[]` selects elements; `[n]` never does, as in Qdrant.
    fn every(&self) -> Option<&Self> {
        let found = self.children.iter().find(|(item, _)| matches!(item, PathItem::Every));
        found.map(|(_, child)| child)
    }

    /// The selected parts of `payload`, inside the structure around them.
    pub(crate) fn include(&self, payload: ValueRef<'_>) -> Result<Value, DecodeError> {
        let kind = payload.kind()?;
        if let ValueKind::Object(object) = kind {
            let mut members = Vec::new();
            for member in object.iter() {
                let (key, value) = member?;
                let Some(child) = self.key(key) else { continue };
                let value = if child.is_leaf() { value.to_value()? } else { child.include(value)? };
                members.push((key.to_owned(), value));
            }
            return Ok(Value::Object(members));
        }
        let ValueKind::Array(array) = kind else { return payload.to_value() };
        match self.every() {
            None => Ok(Value::Array(Vec::new())),
            Some(child) if child.is_leaf() => payload.to_value(),
            Some(child) => {
                let elements = array.iter().map(|element| child.include(element?));
                elements.collect::<Result<_, _>>().map(Value::Array)
            }
        }
    }

    /// `payload` without the selected parts.
    pub(crate) fn exclude(&self, payload: ValueRef<'_>) -> Result<Value, DecodeError> {
        let kind = payload.kind()?;
        if let ValueKind::Object(object) = kind {
            let mut members = Vec::new();
            for member in object.iter() {
                let (key, value) = member?;
                let value = match self.key(key) {
                    None => value.to_value()?,
                    Some(child) if child.is_leaf() => continue,
                    Some(child) => child.exclude(value)?,
                };
                members.push((key.to_owned(), value));
            }
            return Ok(Value::Object(members));
        }
        let (ValueKind::Array(array), Some(child)) = (kind, self.every()) else {
            return payload.to_value();
        };
        if child.is_leaf() {
            return Ok(Value::Array(Vec::new()));
        }
        let elements = array.iter().map(|element| child.exclude(element?));
        elements.collect::<Result<_, _>>().map(Value::Array)
    }
}
