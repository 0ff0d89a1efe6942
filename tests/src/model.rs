//! The oracle: what the database must hold, as plain maps and linear scans.
//!
//! Written from the API's meaning and from nothing in the engine: a point is its vectors and its
//! payload, a write changes points one after the other, a filter is a function of a point.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use format_spec::{PointId, Value};

/// Vectors of every collection of the suites: `a`, 16 floats, and `b`, 3 bytes.
pub const VECTORS: usize = 2;

/// Everything there is: the collections by name.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct World {
    /// By name.
    pub collections: BTreeMap<String, Contents>,
}

/// What one collection holds.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Contents {
    /// Paths of its payload indexes.
    pub fields: BTreeSet<String>,
    /// Its points.
    pub points: BTreeMap<PointId, Point>,
}

/// One point.
#[derive(Clone, PartialEq, Default)]
pub struct Point {
    /// Bytes as they are stored, by place in the schema.
    pub vectors: [Option<Vec<u8>>; VECTORS],
    /// Keys in any order: see [`sorted`].
    pub payload: BTreeMap<String, Value>,
}

/// A filter, small enough to be judged by eye.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// `color` is this text.
    ColorIs(String),
    /// `color` is something, but not this text.
    ColorIsNot(String),
    /// `count` is a number from here on.
    CountFrom(i64),
    /// `tags` has this text.
    Tagged(String),
    /// There is nothing at `count`.
    NoCount,
    /// The point is one of these.
    Is(Vec<PointId>),
}

/// Points an operation is about.
#[derive(Clone, PartialEq, Debug)]
pub enum Who {
    /// These, all of which must exist.
    Ids(Vec<PointId>),
    /// All that pass.
    Where(Test),
}

/// One operation of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Whole points; existing ones only if they pass the test, when there is one.
    Upsert(Vec<(PointId, Point)>, Option<Test>),
    /// Whole points, only where there are none.
    Insert(Vec<(PointId, Point)>),
    /// Points go; absent ids are fine.
    Delete(Who),
    /// Keys of the payload are set; null takes a key away.
    Set(Who, BTreeMap<String, Value>),
    /// The same below `meta`.
    SetMeta(Who, BTreeMap<String, Value>),
    /// The payload is replaced.
    Overwrite(Who, BTreeMap<String, Value>),
    /// A key goes.
    Unset(Who, String),
    /// The payload goes.
    Clear(Who),
    /// A vector is set.
    SetVector(Vec<PointId>, usize, Vec<u8>),
    /// A vector goes.
    UnsetVector(Who, usize),
}

/// The first id that a request names and that does not exist.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Absent(pub PointId);

impl fmt::Debug for Point {
    /// In one short line: of a vector only a part, of a long text only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (name, vector) in ["a", "b"].iter().zip(&self.vectors) {
            match vector {
                Some(bytes) => write!(f, "{name} {:?}.. ", &bytes[..bytes.len().min(4)])?,
                None => write!(f, "{name} none ")?,
            }
        }
        for (key, value) in &self.payload {
            match value {
                Value::Text(text) if text.len() > 20 => write!(f, "{key}: {} bytes ", text.len())?,
                value => write!(f, "{key}: {value:?} ")?,
            }
        }
        f.write_str(")")
    }
}

impl Test {
    /// Whether a point passes.
    pub fn passes(&self, id: PointId, point: &Point) -> bool {
        let texts = |key: &str| match point.payload.get(key) {
            Some(Value::Array(items)) => items.clone(),
            Some(value) => vec![value.clone()],
            None => Vec::new(),
        };
        match self {
            Self::ColorIs(color) => texts("color").contains(&Value::Text(color.clone())),
            Self::ColorIsNot(color) => texts("color")
                .iter()
                .any(|value| *value != Value::Null && *value != Value::Text(color.clone())),
            Self::CountFrom(least) => {
                matches!(point.payload.get("count"), Some(Value::Int(count)) if count >= least)
            }
            Self::Tagged(tag) => texts("tags").contains(&Value::Text(tag.clone())),
            Self::NoCount => texts("count").iter().all(|value| *value == Value::Null),
            Self::Is(ids) => ids.contains(&id),
        }
    }
}

impl Contents {
    /// The ids an operation is about.
    fn chosen(&self, who: &Who) -> Result<Vec<PointId>, Absent> {
        match who {
            Who::Ids(ids) => match ids.iter().find(|id| !self.points.contains_key(id)) {
                Some(&absent) => Err(Absent(absent)),
                None => Ok(ids.clone()),
            },
            Who::Where(test) => {
                let passing = self
                    .points
                    .iter()
                    .filter(|(id, point)| test.passes(**id, point));
                Ok(passing.map(|(id, _)| *id).collect())
            }
        }
    }

    /// Does a whole request.
    ///
    /// # Errors
    /// When it names an absent point; the request then does nothing, and `self` must be dropped.
    pub fn apply(&mut self, request: &[Write]) -> Result<(), Absent> {
        request.iter().try_for_each(|write| self.apply_one(write))
    }

    fn apply_one(&mut self, write: &Write) -> Result<(), Absent> {
        match write {
            Write::Upsert(points, test) => {
                for (id, point) in points {
                    let old = self.points.get(id);
                    if old.is_none_or(|old| test.as_ref().is_none_or(|t| t.passes(*id, old))) {
                        self.points.insert(*id, point.clone());
                    }
                }
            }
            Write::Insert(points) => {
                for (id, point) in points {
                    self.points.entry(*id).or_insert_with(|| point.clone());
                }
            }
            Write::Delete(Who::Ids(ids)) => self.points.retain(|id, _| !ids.contains(id)),
            Write::Delete(who @ Who::Where(_)) => {
                let gone = self.chosen(who)?;
                self.points.retain(|id, _| !gone.contains(id));
            }
            Write::Set(who, new) => self.each_payload(who, |payload| merge(payload, new))?,
            Write::SetMeta(who, new) => self.each_payload(who, |payload| {
                let mut below = match payload.get("meta") {
                    Some(Value::Object(entries)) => entries.iter().cloned().collect(),
                    _ => BTreeMap::new(),
                };
                merge(&mut below, new);
                payload.insert("meta".into(), Value::Object(below.into_iter().collect()));
            })?,
            Write::Overwrite(who, new) => self.each_payload(who, |payload| {
                payload.clone_from(new);
            })?,
            Write::Unset(who, key) => self.each_payload(who, |payload| {
                payload.remove(key);
            })?,
            Write::Clear(who) => self.each_payload(who, BTreeMap::clear)?,
            Write::SetVector(ids, vector, bytes) => {
                for id in self.chosen(&Who::Ids(ids.clone()))? {
                    self.point(id).vectors[*vector] = Some(bytes.clone());
                }
            }
            Write::UnsetVector(who, vector) => {
                for id in self.chosen(who)? {
                    self.point(id).vectors[*vector] = None;
                }
            }
        }
        Ok(())
    }

    fn point(&mut self, id: PointId) -> &mut Point {
        self.points
            .get_mut(&id)
            .expect("the id was chosen from the points")
    }

    fn each_payload(
        &mut self,
        who: &Who,
        change: impl Fn(&mut BTreeMap<String, Value>),
    ) -> Result<(), Absent> {
        for id in self.chosen(who)? {
            change(&mut self.point(id).payload);
        }
        Ok(())
    }
}

fn merge(payload: &mut BTreeMap<String, Value>, new: &BTreeMap<String, Value>) {
    for (key, value) in new {
        if *value == Value::Null {
            payload.remove(key);
        } else {
            payload.insert(key.clone(), value.clone());
        }
    }
}

/// The same value with the keys of all objects in order, for comparing.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries: BTreeMap<String, Value> = entries
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain @ (Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::Text(_)) => plain,
    }
}

impl World {
    /// How another world differs, for people.
    pub fn difference(&self, other: &Self) -> String {
        let mut said = String::new();
        let names: BTreeSet<&String> = self
            .collections
            .keys()
            .chain(other.collections.keys())
            .collect();
        for name in names {
            match (self.collections.get(name), other.collections.get(name)) {
                (Some(one), Some(two)) => one.difference(name, two, &mut said),
                // Writing to a String cannot fail.
                (None, _) => drop(writeln!(said, "  {name}: too much")),
                (_, None) => drop(writeln!(said, "  {name}: missing")),
            }
        }
        said
    }
}

impl Contents {
    fn difference(&self, name: &str, other: &Self, said: &mut String) {
        if self.fields != other.fields {
            let _ = writeln!(
                said,
                "  {name}: indexes {:?}, not {:?}",
                other.fields, self.fields
            );
        }
        let ids: BTreeSet<&PointId> = self.points.keys().chain(other.points.keys()).collect();
        let different = ids
            .into_iter()
            .filter(|id| self.points.get(id) != other.points.get(id));
        for id in different.take(8) {
            let (want, got) = (self.points.get(id), other.points.get(id));
            let _ = writeln!(said, "  {name} {id}: is {got:?}\n    should be {want:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(count: i64) -> Point {
        Point {
            payload: BTreeMap::from([("count".into(), Value::Int(count))]),
            ..Point::default()
        }
    }

    #[test]
    fn a_request_sees_its_earlier_operations() {
        let (one, two) = (PointId::Number(1), PointId::Number(2));
        let mut contents = Contents::default();
        let request = [
            Write::Upsert(vec![(one, point(1)), (two, point(5))], None),
            Write::Delete(Who::Where(Test::CountFrom(4))),
            Write::Insert(vec![(one, point(9)), (two, point(6))]),
        ];
        assert_eq!(contents.apply(&request), Ok(()));
        assert_eq!(contents.points[&one], point(1));
        assert_eq!(contents.points[&two], point(6));
        let absent = PointId::Uuid(7);
        let request = [Write::Clear(Who::Ids(vec![one, absent]))];
        assert_eq!(contents.apply(&request), Err(Absent(absent)));
    }

    #[test]
    fn null_takes_a_key_away_from_an_object() {
        let one = PointId::Number(1);
        let mut contents = Contents::default();
        let null = BTreeMap::from([("count".to_owned(), Value::Null)]);
        let request = [
            Write::Upsert(vec![(one, point(1))], None),
            Write::Set(Who::Ids(vec![one]), null),
        ];
        assert_eq!(contents.apply(&request), Ok(()));
        assert!(contents.points[&one].payload.is_empty());
    }
}
