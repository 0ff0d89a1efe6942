//! Binding: a filter checked and prepared once a request, so that testing a point looks nothing up.
//!
//! Field conditions find the schema's index of their path, lists are sorted for binary search, ids
//! too, and what is asked of texts is cut into tokens. The shape of the filter stays as it was.
//!
//! # Invariants
//! - Where an index changes what a condition means (the tokens of a text index, the entries of a
//!   nested one), it is the schema that says so, and never what a source happens to have.

use std::borrow::Cow;

use format_spec::ids::{PointId, placement_hash};
use format_spec::schema::{FieldIndex, FieldType, Schema};
use index::{ColumnContent, FieldPath, PathItem};

use super::ask::{Ask, ValueTest};
use super::ast::{Condition, DEPTH_MAX, FieldTest, Filter};
use super::elements::Elements;
use super::estimate::to_f64;
use super::text_test::TOKENS_MAX;
use crate::error::QueryError;

/// A filter bound to a schema.
#[derive(Debug)]
pub(crate) struct Bound<'f> {
    pub(crate) must: Vec<Test<'f>>,
    pub(crate) should: Vec<Test<'f>>,
    pub(crate) must_not: Vec<Test<'f>>,
    pub(crate) min_should: Option<(usize, Vec<Test<'f>>)>,
    /// Whether a condition in here asks for the id of the point.
    pub(crate) asks_id: bool,
    /// The vectors that the whole filter asks for, by position in the schema; filters inside it
    /// refer to these.
    pub(crate) vectors: Vec<usize>,
}

/// A bound condition.
#[derive(Debug)]
pub(crate) enum Test<'f> {
    Field(Field<'f>),
    /// Sorted, without repetition.
    HasId(Box<[PointId]>),
    HasVector {
        /// Its place in [`Bound::vectors`],
        place: usize,
        /// and the position in the schema that is there.
        position: usize,
    },
    Slice(Slice),
    /// The path of the array, and what one object in it must match.
    Nested(FieldPath, Box<Bound<'f>>),
    Filter(Box<Bound<'f>>),
    /// Holds for no point.
    Never,
}

/// One of `total` disjoint parts of all ids.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    total: u64,
    index: u64,
}

impl Slice {
    /// Whether the id is in it.
    pub(crate) fn contains(self, id: PointId) -> bool {
        placement_hash(id) % self.total == self.index
    }

    /// The share of all ids that is in it.
    pub(crate) fn share(self) -> f64 {
        1.0 / to_f64(self.total)
    }
}

/// A bound test of the values at a path.
#[derive(Debug)]
pub(crate) struct Field<'f> {
    pub(crate) path: Cow<'f, FieldPath>,
    /// The path as the schema spells it and the type, if the schema has an index of it.
    pub(crate) column: Option<(String, FieldType)>,
    /// For a field inside an array of objects, what knows the rows around.
    pub(crate) around: Option<Around>,
    /// Hash of the settings that the content of the column depends on.
    pub(crate) settings: u64,
    pub(crate) ask: Ask<'f>,
}

/// A field inside an array of objects as the row sees it: the values of all elements.
#[derive(Debug)]
pub(crate) struct Around {
    /// The path from the payload on.
    pub(crate) path: FieldPath,
    /// As [`Field::column`].
    pub(crate) column: Option<(String, FieldType)>,
}

/// Binds `filter` to `schema`.
///
/// # Errors
/// [`QueryError::Invalid`] for a filter nested too deep, with a `min_count` of 0, or with a slice
/// that there is not.
pub(crate) fn bind<'f>(filter: &'f Filter, schema: &Schema) -> Result<Bound<'f>, QueryError> {
    let mut indexes = Vec::with_capacity(schema.fields.len());
    for index in &schema.fields {
        // A path that does not parse can be in no filter.
        if let Ok(path) = FieldPath::parse(&index.path) {
            indexes.push((path, index));
        }
    }
    let mut binder = Binder {
        schema,
        indexes,
        inside: None,
        vectors: Vec::new(),
    };
    let mut bound = binder.filter(filter, 1)?;
    bound.vectors = binder.vectors;
    Ok(bound)
}

struct Binder<'s> {
    schema: &'s Schema,
    indexes: Vec<(FieldPath, &'s FieldIndex)>,
    /// The elements that paths begin in, inside a nested condition.
    inside: Option<Vec<PathItem>>,
    vectors: Vec<usize>,
}

impl Binder<'_> {
    fn filter<'f>(&mut self, filter: &'f Filter, depth: usize) -> Result<Bound<'f>, QueryError> {
        if depth > DEPTH_MAX {
            return Err(invalid(
                "filter",
                format!("filters nest deeper than {DEPTH_MAX}"),
            ));
        }
        let min_should = match &filter.min_should {
            Some(min_should) if min_should.min_count == 0 => {
                let message = "value 0 is invalid, must be 1 or larger".to_owned();
                return Err(invalid("filter.min_should.min_count", message));
            }
            Some(min_should) => {
                let tests = self.conditions(&min_should.conditions, depth)?;
                Some((min_should.min_count, tests))
            }
            None => None,
        };
        let mut bound = Bound {
            must: self.conditions(&filter.must, depth)?,
            should: self.conditions(&filter.should, depth)?,
            must_not: self.conditions(&filter.must_not, depth)?,
            min_should,
            asks_id: false,
            vectors: Vec::new(),
        };
        let asks_id = bound.tests().any(|test| match test {
            Test::HasId(_) | Test::Slice(_) => true,
            Test::Filter(inner) => inner.asks_id,
            Test::Field(_) | Test::HasVector { .. } | Test::Nested(..) | Test::Never => false,
        });
        bound.asks_id = asks_id;
        Ok(bound)
    }

    fn conditions<'f>(
        &mut self,
        conditions: &'f [Condition],
        depth: usize,
    ) -> Result<Vec<Test<'f>>, QueryError> {
        conditions
            .iter()
            .map(|condition| self.condition(condition, depth))
            .collect()
    }

    fn condition<'f>(
        &mut self,
        condition: &'f Condition,
        depth: usize,
    ) -> Result<Test<'f>, QueryError> {
        Ok(match condition {
            Condition::Field {
                path,
                test: FieldTest::IsEmpty(wanted),
            } => self.is_empty(path, *wanted),
            Condition::Field { path, test } => {
                let ask = Ask::new(test, self.index(path));
                if let Ask::Any(ValueTest::Text(text)) = &ask
                    && text.tokens.len() > TOKENS_MAX
                {
                    let tokens = text.tokens.len();
                    let message =
                        format!("{tokens} tokens asked for in {path}, at most {TOKENS_MAX}");
                    return Err(invalid("filter", message));
                }
                self.field(Cow::Borrowed(path), ask)
            }
            Condition::IsEmpty(path) => self.is_empty(path, true),
            Condition::IsNull(path) => self.field(Cow::Borrowed(path), Ask::IsNull(true)),
            Condition::Nested { path, filter } => self.nested(path, filter, depth)?,
            Condition::Filter(inner) => Test::Filter(Box::new(self.filter(inner, depth + 1)?)),
            Condition::Slice { total, index } if index >= total => {
                let message = format!("there is no slice {index} of {total}");
                return Err(invalid("filter.slice", message));
            }
            // What is nested has no id and no vectors of its own.
            Condition::HasId(_) | Condition::HasVector(_) | Condition::Slice { .. }
                if self.inside.is_some() =>
            {
                Test::Never
            }
            Condition::HasId(ids) => Test::HasId(sorted(ids.iter().copied())),
            Condition::HasVector(name) => self.has_vector(name),
            Condition::Slice { total, index } => Test::Slice(Slice {
                total: u64::from(*total),
                index: u64::from(*index),
            }),
        })
    }

    /// The index of a path, which begins in an element if this is inside a nested condition.
    fn index(&self, path: &FieldPath) -> Option<&FieldIndex> {
        let before = self.inside.as_deref().unwrap_or_default();
        let items = || before.iter().chain(path.items());
        let found = self
            .indexes
            .iter()
            .find(|(indexed, _)| indexed.items().iter().eq(items()));
        found.map(|(_, index)| *index)
    }

    /// Whether nothing is at the path, or, where each element has an entry, in one of them.
    fn is_empty<'f>(&mut self, path: &'f FieldPath, wanted: bool) -> Test<'f> {
        let outside = self.inside.is_none();
        let elements = self.index(path).filter(|_| outside).and_then(Elements::of);
        let Some(Elements { array, field }) = elements else {
            return self.field(Cow::Borrowed(path), Ask::IsEmpty(wanted));
        };
        self.inside = Some([array.items(), &[PathItem::Every]].concat());
        let lacking = self.field(Cow::Owned(field), Ask::IsEmpty(true));
        self.inside = None;
        let lacking = Test::Nested(array, Box::new(Bound::of_must(vec![lacking])));
        if wanted {
            return lacking;
        }
        Test::Filter(Box::new(Bound {
            must_not: vec![lacking],
            ..Bound::of_must(Vec::new())
        }))
    }

    fn field<'f>(&self, path: Cow<'f, FieldPath>, ask: Ask<'f>) -> Test<'f> {
        let index = self.index(&path);
        let content = index.and_then(|index| ColumnContent::of(index).ok());
        let column = index.map(|index| (index.path.clone(), index.field_type));
        // A column knows rows, and not which element of a row its values are in.
        let (column, around) = match &self.inside {
            Some(array) => {
                let path = FieldPath::of_items([array.as_slice(), path.items()].concat());
                (None, Some(Around { path, column }))
            }
            None => (column, None),
        };
        Test::Field(Field {
            path,
            column,
            around,
            settings: content.map_or(0, |content| content.settings_hash()),
            ask,
        })
    }

    fn nested<'f>(
        &mut self,
        path: &FieldPath,
        filter: &'f Filter,
        depth: usize,
    ) -> Result<Test<'f>, QueryError> {
        let array = path.without_every();
        let outside = self.inside.clone();
        let inside = self.inside.get_or_insert_default();
        inside.extend(array.items().iter().cloned());
        inside.push(PathItem::Every);
        let bound = self.filter(filter, depth + 1);
        self.inside = outside;
        Ok(Test::Nested(array, Box::new(bound?)))
    }

    fn has_vector<'f>(&mut self, name: &str) -> Test<'f> {
        let vectors = &self.schema.vectors;
        let Some(position) = vectors.iter().position(|vector| vector.name == name) else {
            return Test::Never;
        };
        let asked = self.vectors.iter().position(|asked| *asked == position);
        let place = asked.unwrap_or_else(|| {
            self.vectors.push(position);
            self.vectors.len() - 1
        });
        Test::HasVector { place, position }
    }
}

impl<'f> Bound<'f> {
    /// All of `must`, which ask for no id and no vector.
    fn of_must(must: Vec<Test<'f>>) -> Self {
        Self {
            must,
            should: Vec::new(),
            must_not: Vec::new(),
            min_should: None,
            asks_id: false,
            vectors: Vec::new(),
        }
    }

    /// All conditions of this level.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &Test<'f>> {
        let alternatives = self.min_should.iter().flat_map(|(_, tests)| tests);
        self.must
            .iter()
            .chain(&self.should)
            .chain(&self.must_not)
            .chain(alternatives)
    }
}

pub(super) fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Box<[T]> {
    let mut list: Vec<T> = items.collect();
    list.sort_unstable();
    list.dedup();
    list.into()
}

fn invalid(field: &str, message: String) -> QueryError {
    QueryError::Invalid {
        field: field.to_owned(),
        message,
    }
}
