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
/// Missing keys come into being, an index beyond the end of an array does nothing, and a step into
/// an array that is none leaves an empty array behind.
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
    let Value::Object(members) = slot else {
        unreachable!("made an object just above")
    };
    members
}

/// The value under `key`, which becomes an empty object if there is none.
fn entry<'v>(members: &'v mut Members, key: &str) -> &'v mut Value {
    let place = members
        .iter()
        .position(|(name, _)| name == key)
        .unwrap_or_else(|| {
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

/// Takes away what lies at `path`. A final `[]` empties the array; a final `[n]` does nothing,
/// because doing it twice would take away two elements.
pub(crate) fn delete_at(payload: &mut Members, path: &FieldPath) {
    let Some((PathItem::Key(key), rest)) = path.items().split_first() else {
        return;
    };
    let Some(place) = payload.iter().position(|(name, _)| name == key) else {
        return;
    };
    if rest.is_empty() {
        payload.remove(place);
    } else {
        delete_below(&mut payload[place].1, rest);
    }
}

fn delete_below(value: &mut Value, items: &[PathItem]) {
    let Some((item, rest)) = items.split_first() else {
        return;
    };
    match (item, value) {
        (PathItem::Key(key), Value::Object(members)) => {
            let Some(place) = members.iter().position(|(name, _)| name == key) else {
                return;
            };
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
        let found = self
            .children
            .iter()
            .find(|(item, _)| matches!(item, PathItem::Key(name) if name == key));
        found.map(|(_, child)| child)
    }

    /// Only `[]` selects elements; `[n]` never does, as in Qdrant.
    fn every(&self) -> Option<&Self> {
        let found = self
            .children
            .iter()
            .find(|(item, _)| matches!(item, PathItem::Every));
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
                let value = if child.is_leaf() {
                    value.to_value()?
                } else {
                    child.include(value)?
                };
                members.push((key.to_owned(), value));
            }
            return Ok(Value::Object(members));
        }
        let ValueKind::Array(array) = kind else {
            return payload.to_value();
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i64) -> Value {
        Value::Int(number)
    }

    fn array(items: &[Value]) -> Value {
        Value::Array(items.to_vec())
    }

    fn members(members: &[(&str, Value)]) -> Members {
        members
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect()
    }

    fn object(of: &[(&str, Value)]) -> Value {
        Value::Object(members(of))
    }

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    #[test]
    fn merging_keeps_places_and_null_takes_a_key_away() {
        let mut target = members(&[("a", int(1)), ("b", int(2)), ("c", int(3))]);
        merge(
            &mut target,
            &members(&[
                ("c", int(9)),
                ("a", Value::Null),
                ("d", int(4)),
                ("e", Value::Null),
            ]),
        );
        assert_eq!(
            target,
            members(&[("b", int(2)), ("c", int(9)), ("d", int(4))])
        );
    }

    #[test]
    fn setting_by_path_goes_through_what_is_in_its_way() {
        let source = members(&[("x", int(1)), ("gone", Value::Null)]);
        let x = object(&[("x", int(1))]);
        let cases: [(&str, Members, Members); 11] = [
            ("a", vec![], members(&[("a", x.clone())])),
            ("a", members(&[("a", int(5))]), members(&[("a", x.clone())])),
            (
                "a",
                members(&[("a", object(&[("y", int(2)), ("gone", int(3))]))]),
                members(&[("a", object(&[("y", int(2)), ("x", int(1))]))]),
            ),
            (
                "a.b",
                vec![],
                members(&[("a", object(&[("b", x.clone())]))]),
            ),
            (
                "a.b",
                members(&[("a", array(&[]))]),
                members(&[("a", object(&[("b", x.clone())]))]),
            ),
            (
                "a[].b",
                members(&[("a", array(&[int(1), object(&[])]))]),
                members(&[(
                    "a",
                    array(&[object(&[("b", x.clone())]), object(&[("b", x.clone())])]),
                )]),
            ),
            (
                "a[1]",
                members(&[("a", array(&[int(1), int(2)]))]),
                members(&[("a", array(&[int(1), x.clone()]))]),
            ),
            (
                "a[5]",
                members(&[("a", array(&[int(1)]))]),
                members(&[("a", array(&[int(1)]))]),
            ),
            (
                "a[]",
                members(&[("a", int(1))]),
                members(&[("a", array(&[]))]),
            ),
            ("a[0]", vec![], members(&[("a", array(&[]))])),
            (
                "a[]",
                members(&[("a", array(&[int(1)]))]),
                members(&[("a", array(std::slice::from_ref(&x)))]),
            ),
        ];
        for (key, mut payload, expected) in cases {
            set_at(&mut payload, &path(key), &source);
            assert_eq!(payload, expected, "{key}");
        }
    }

    #[test]
    fn deleting_by_path_touches_only_what_is_there() {
        let payload = members(&[
            ("a", object(&[("b", int(1)), ("c", int(2))])),
            (
                "l",
                array(&[object(&[("b", int(1)), ("c", int(2))]), int(3)]),
            ),
        ]);
        let delete = |key: &str| {
            let mut payload = payload.clone();
            delete_at(&mut payload, &path(key));
            Value::Object(payload)
        };
        let get = |key: &str, of: &str| delete(key).get(of).cloned();
        assert_eq!(get("a", "a"), None);
        assert_eq!(get("a.b", "a"), Some(object(&[("c", int(2))])));
        assert_eq!(get("l[]", "l"), Some(array(&[])));
        assert_eq!(
            get("l[].b", "l"),
            Some(array(&[object(&[("c", int(2))]), int(3)]))
        );
        assert_eq!(
            get("l[0].c", "l"),
            Some(array(&[object(&[("b", int(1))]), int(3)]))
        );
        for nothing in ["x", "a.x", "a.b.c", "a[]", "a[0]", "l[0]", "l[7].b", "l.b"] {
            assert_eq!(delete(nothing), Value::Object(payload.clone()), "{nothing}");
        }
    }

    fn cut(payload: &Value, include: bool, paths: &[&str]) -> Value {
        let paths: Vec<FieldPath> = paths.iter().map(|text| path(text)).collect();
        let tree = PathTree::new(&paths);
        let bytes = payload.to_bytes();
        let payload = ValueRef::new(&bytes).unwrap();
        if include {
            tree.include(payload).unwrap()
        } else {
            tree.exclude(payload).unwrap()
        }
    }

    #[test]
    fn included_parts_keep_the_structure_around_them() {
        let payload = object(&[
            ("a", object(&[("b", int(1)), ("c", int(2))])),
            ("aa", object(&[("b", int(3))])),
            ("a.b", int(4)),
            (
                "l",
                array(&[object(&[("b", int(5)), ("c", int(6))]), int(7)]),
            ),
        ]);
        let include = |paths: &[&str]| cut(&payload, true, paths);
        assert_eq!(include(&[]), object(&[]));
        assert_eq!(
            include(&["a.b"]),
            object(&[("a", object(&[("b", int(1))]))])
        );
        assert_eq!(include(&["a.b", "a"]).get("a"), payload.get("a"));
        assert_eq!(include(&["a", "a.b"]).get("a"), payload.get("a"));
        let listed = array(&[object(&[("c", int(6))]), int(7)]);
        assert_eq!(
            include(&["\"a.b\"", "l[].c"]),
            object(&[("a.b", int(4)), ("l", listed)])
        );
        assert_eq!(include(&["l[0]"]), object(&[("l", array(&[]))]));
        assert_eq!(include(&["l.c"]), object(&[("l", array(&[]))]));
        assert_eq!(include(&["l[]"]).get("l"), payload.get("l"));
        assert_eq!(
            include(&["aa.b.c"]),
            object(&[("aa", object(&[("b", int(3))]))])
        );
    }

    #[test]
    fn excluded_parts_are_cut_out() {
        let payload = object(&[
            ("a", object(&[("b", int(1)), ("c", int(2))])),
            (
                "l",
                array(&[object(&[("b", int(5)), ("c", int(6))]), int(7)]),
            ),
        ]);
        let exclude = |paths: &[&str]| cut(&payload, false, paths);
        assert_eq!(exclude(&[]), payload);
        assert_eq!(exclude(&["a"]).get("a"), None);
        assert_eq!(exclude(&["a.b"]).get("a"), Some(&object(&[("c", int(2))])));
        let without = array(&[object(&[("c", int(6))]), int(7)]);
        assert_eq!(exclude(&["l[].b"]).get("l"), Some(&without));
        assert_eq!(exclude(&["l[]"]).get("l"), Some(&array(&[])));
        assert_eq!(exclude(&["l[0]", "l.b", "x"]), payload);
    }
}
