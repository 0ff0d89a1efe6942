//! Binding: a filter checked and prepared once a request, so that testing a point looks nothing up.
//!
//! Field conditions find the schema's index of their path, lists are sorted for binary search, ids
//! too. The shape of the filter stays as it was.

use format_spec::ids::PointId;
use format_spec::schema::{FieldType, Schema};
use index::FieldPath;

use super::ast::{AnyOf, Condition, DEPTH_MAX, FieldTest, Filter, MatchValue};
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
}

/// A bound condition.
#[derive(Debug)]
pub(crate) enum Test<'f> {
    Field(Field<'f>),
    /// Sorted, without repetition.
    HasId(Box<[PointId]>),
    Filter(Box<Bound<'f>>),
}

/// A bound test of the values at a path.
#[derive(Debug)]
pub(crate) struct Field<'f> {
    pub(crate) path: &'f FieldPath,
    /// The path as the schema spells it and the type, if the schema has an index of it.
    pub(crate) column: Option<(String, FieldType)>,
    pub(crate) ask: Ask<'f>,
}

/// What is asked of a field.
#[derive(Debug)]
pub(crate) enum Ask<'f> {
    /// Whether any of the values passes.
    Any(ValueTest<'f>),
    /// Whether all of them are nothing, or not.
    IsEmpty(bool),
    /// Whether any of them is null, or not.
    IsNull(bool),
}

/// A test of one value. Lists are sorted.
#[derive(Debug)]
pub(crate) enum ValueTest<'f> {
    Keyword(&'f str),
    Integer(i64),
    Bool(bool),
    AnyKeyword(Box<[&'f str]>),
    AnyInteger(Box<[i64]>),
    ExceptKeyword(Box<[&'f str]>),
    ExceptInteger(Box<[i64]>),
    Range(Range),
}

/// Bounds on a number. Numbers are compared as f64, as Qdrant does.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) gt: Option<f64>,
    pub(crate) gte: Option<f64>,
    pub(crate) lt: Option<f64>,
    pub(crate) lte: Option<f64>,
}

impl Range {
    /// Whether `number` is within the bounds.
    pub(crate) fn contains(&self, number: f64) -> bool {
        self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
    }
}

/// Binds `filter` to `schema`.
///
/// # Errors
/// [`QueryError::Invalid`] for a filter nested too deep or with a `min_count` of 0.
pub(crate) fn bind<'f>(filter: &'f Filter, schema: &Schema) -> Result<Bound<'f>, QueryError> {
    let mut indexes = Vec::with_capacity(schema.fields.len());
    for index in &schema.fields {
        // A path that does not parse can be in no filter.
        if let Ok(path) = FieldPath::parse(&index.path) {
            indexes.push((path, index.path.clone(), index.field_type));
        }
    }
    bind_filter(filter, &indexes, 1)
}

type Indexes = [(FieldPath, String, FieldType)];

fn bind_filter<'f>(
    filter: &'f Filter,
    indexes: &Indexes,
    depth: usize,
) -> Result<Bound<'f>, QueryError> {
    if depth > DEPTH_MAX {
        let message = format!("filters nest deeper than {DEPTH_MAX}");
        return Err(QueryError::Invalid {
            field: "filter".to_owned(),
            message,
        });
    }
    let all = |conditions: &'f [Condition]| -> Result<Vec<Test<'f>>, QueryError> {
        conditions
            .iter()
            .map(|condition| bind_condition(condition, indexes, depth))
            .collect()
    };
    let min_should = match &filter.min_should {
        Some(min_should) if min_should.min_count == 0 => {
            let field = "filter.min_should.min_count".to_owned();
            let message = "value 0 is invalid, must be 1 or larger".to_owned();
            return Err(QueryError::Invalid { field, message });
        }
        Some(min_should) => Some((min_should.min_count, all(&min_should.conditions)?)),
        None => None,
    };
    let mut bound = Bound {
        must: all(&filter.must)?,
        should: all(&filter.should)?,
        must_not: all(&filter.must_not)?,
        min_should,
        asks_id: false,
    };
    let asks_id = bound.tests().any(|test| match test {
        Test::HasId(_) => true,
        Test::Filter(inner) => inner.asks_id,
        Test::Field(_) => false,
    });
    bound.asks_id = asks_id;
    Ok(bound)
}

impl<'f> Bound<'f> {
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

fn bind_condition<'f>(
    condition: &'f Condition,
    indexes: &Indexes,
    depth: usize,
) -> Result<Test<'f>, QueryError> {
    let field = |path: &'f FieldPath, ask| {
        let index = indexes.iter().find(|(indexed, _, _)| indexed == path);
        let column = index.map(|(_, name, field_type)| (name.clone(), *field_type));
        Test::Field(Field { path, column, ask })
    };
    Ok(match condition {
        Condition::Field { path, test } => field(path, bind_test(test)),
        Condition::IsEmpty(path) => field(path, Ask::IsEmpty(true)),
        Condition::IsNull(path) => field(path, Ask::IsNull(true)),
        Condition::HasId(ids) => Test::HasId(sorted(ids.iter().copied())),
        Condition::Filter(inner) => Test::Filter(Box::new(bind_filter(inner, indexes, depth + 1)?)),
    })
}

fn bind_test(test: &FieldTest) -> Ask<'_> {
    Ask::Any(match test {
        FieldTest::IsEmpty(wanted) => return Ask::IsEmpty(*wanted),
        FieldTest::IsNull(wanted) => return Ask::IsNull(*wanted),
        FieldTest::Match(MatchValue::Keyword(keyword)) => ValueTest::Keyword(keyword),
        FieldTest::Match(MatchValue::Integer(integer)) => ValueTest::Integer(*integer),
        FieldTest::Match(MatchValue::Bool(value)) => ValueTest::Bool(*value),
        FieldTest::Any(AnyOf::Keywords(list)) => ValueTest::AnyKeyword(sorted_texts(list)),
        FieldTest::Any(AnyOf::Integers(list)) => {
            ValueTest::AnyInteger(sorted(list.iter().copied()))
        }
        FieldTest::Except(AnyOf::Keywords(list)) => ValueTest::ExceptKeyword(sorted_texts(list)),
        FieldTest::Except(AnyOf::Integers(list)) => {
            ValueTest::ExceptInteger(sorted(list.iter().copied()))
        }
        FieldTest::Range { gt, gte, lt, lte } => ValueTest::Range(Range {
            gt: *gt,
            gte: *gte,
            lt: *lt,
            lte: *lte,
        }),
    })
}

fn sorted_texts(list: &[String]) -> Box<[&str]> {
    sorted(list.iter().map(String::as_str))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Box<[T]> {
    let mut list: Vec<T> = items.collect();
    list.sort_unstable();
    list.dedup();
    list.into()
}
