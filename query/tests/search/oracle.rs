//! A filter, evaluated the plain way on a decoded payload, and random payloads and filters.
//!
//! Written from the rules and not from the code it judges: values are collected into lists, and
//! each list is looked at as a whole.

use format_spec::{PointId, Value};
use proptest::prelude::*;
use query::filter::PathItem;
use query::{AnyOf, Condition, FieldPath, FieldTest, Filter, MatchValue, MinShould};

/// Whether a point matches.
pub(crate) fn matches(filter: &Filter, id: PointId, payload: &Value) -> bool {
    let count = |list: &[Condition]| list.iter().filter(|c| holds(c, id, payload)).count();
    let min_should = filter.min_should.as_ref();
    count(&filter.must) == filter.must.len()
        && count(&filter.must_not) == 0
        && (filter.should.is_empty() || count(&filter.should) > 0)
        && min_should.is_none_or(|min| count(&min.conditions) >= min.min_count)
}

fn holds(condition: &Condition, id: PointId, payload: &Value) -> bool {
    match condition {
        Condition::HasId(ids) => ids.contains(&id),
        Condition::Filter(filter) => matches(filter, id, payload),
        Condition::IsEmpty(path) => is_empty(payload, path),
        Condition::IsNull(path) => is_null(payload, path),
        Condition::Field { path, test } => match test {
            FieldTest::IsEmpty(wanted) => is_empty(payload, path) == *wanted,
            FieldTest::IsNull(wanted) => is_null(payload, path) == *wanted,
            FieldTest::Match(value) => flat(payload, path).iter().any(|v| equals(v, value)),
            FieldTest::Any(list) => flat(payload, path).iter().any(|v| one_of(v, list)),
            FieldTest::Except(list) => flat(payload, path)
                .iter()
                .any(|v| *v != Value::Null && !one_of(v, list)),
            FieldTest::Range { gt, gte, lt, lte } => flat(payload, path).iter().any(|value| {
                let Some(number) = number(value) else {
                    return false;
                };
                gt.is_none_or(|b| number > b)
                    && gte.is_none_or(|b| number >= b)
                    && lt.is_none_or(|b| number < b)
                    && lte.is_none_or(|b| number <= b)
            }),
        },
    }
}

fn equals(value: &Value, wanted: &MatchValue) -> bool {
    match wanted {
        MatchValue::Keyword(text) => *value == Value::Text(text.clone()),
        MatchValue::Integer(number) => *value == Value::Int(*number),
        MatchValue::Bool(wanted) => *value == Value::Bool(*wanted),
    }
}

fn one_of(value: &Value, list: &AnyOf) -> bool {
    match list {
        AnyOf::Keywords(list) => list.iter().any(|text| *value == Value::Text(text.clone())),
        AnyOf::Integers(list) => list.iter().any(|number| *value == Value::Int(*number)),
    }
}

fn is_empty(payload: &Value, path: &FieldPath) -> bool {
    let empty = |value: &Value| matches!(value, Value::Null) || *value == Value::Array(Vec::new());
    whole(payload, path.items()).iter().all(empty)
}

fn is_null(payload: &Value, path: &FieldPath) -> bool {
    whole(payload, path.items()).iter().any(|value| {
        let Value::Array(items) = value else {
            return *value == Value::Null;
        };
        items.contains(&Value::Null)
    })
}

fn number(value: &Value) -> Option<f64> {
    if let Value::Int(number) = value {
        return Some(*number as f64);
    }
    if let Value::Uint(number) = value {
        return Some(*number as f64);
    }
    let Value::Float(number) = value else {
        return None;
    };
    Some(*number)
}

/// The selected values, arrays as they are.
fn whole(value: &Value, items: &[PathItem]) -> Vec<Value> {
    let Some((item, rest)) = items.split_first() else {
        return vec![value.clone()];
    };
    let inner: Vec<&Value> = match (item, value) {
        (PathItem::Key(key), value) => value.get(key).into_iter().collect(),
        (PathItem::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
        (PathItem::Every, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    inner
        .into_iter()
        .flat_map(|value| whole(value, rest))
        .collect()
}

/// The selected values, with the elements of arrays in the place of the arrays.
fn flat(payload: &Value, path: &FieldPath) -> Vec<Value> {
    let one_level = |value| {
        let Value::Array(items) = value else {
            return vec![value];
        };
        items
    };
    whole(payload, path.items())
        .into_iter()
        .flat_map(one_level)
        .collect()
}

/// The paths that random filters ask for.
pub(crate) const PATHS: [&str; 9] = [
    "a", "b", "c", "c.a", "a[]", "b[].a", "a[0]", "\"d.e\"", "c.b[1].a",
];

/// A value of few kinds, so that filters and payloads meet.
pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        4 => (-2i64..4).prop_map(Value::Int),
        1 => Just(Value::Int(i64::MIN)),
        1 => Just(Value::Int((1 << 53) + 1)),
        1 => Just(Value::Uint(u64::MAX)),
        3 => (-4i32..8).prop_map(|halves| Value::Float(f64::from(halves) / 2.0)),
        4 => prop::sample::select(vec!["", "x", "y", "1"]).prop_map(|t| Value::Text(t.to_owned())),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        let member = (prop::sample::select(vec!["a", "b", "c"]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            prop::collection::vec(member, 0..3).prop_map(object),
        ]
    })
}

/// An object; of a repeated key the first counts.
fn object(members: Vec<(&'static str, Value)>) -> Value {
    let mut kept: Vec<(String, Value)> = Vec::new();
    for (key, value) in members {
        if kept.iter().all(|(name, _)| name != key) {
            kept.push((key.to_owned(), value));
        }
    }
    Value::Object(kept)
}

/// A random payload.
pub(crate) fn payload() -> impl Strategy<Value = Value> {
    let member = (prop::sample::select(vec!["a", "b", "c", "d.e"]), value());
    prop::collection::vec(member, 0..5).prop_map(object)
}

/// A random path out of [`PATHS`].
pub(crate) fn path() -> impl Strategy<Value = FieldPath> {
    prop::sample::select(PATHS.to_vec()).prop_map(|path| FieldPath::parse(path).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "x", "y", "z", "1"]).prop_map(str::to_owned)
}

fn list() -> impl Strategy<Value = AnyOf> {
    prop_oneof![
        prop::collection::vec(text(), 0..4).prop_map(AnyOf::Keywords),
        prop::collection::vec(-2i64..4, 0..4).prop_map(AnyOf::Integers),
    ]
}

fn bound() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        4 => (-4i32..8).prop_map(|halves| Some(f64::from(halves) / 2.0)),
        1 => prop::sample::select(vec![-1e19, 1e19, 9_007_199_254_740_992.0]).prop_map(Some),
    ]
}

/// A random test of one field.
pub(crate) fn test() -> impl Strategy<Value = FieldTest> {
    prop_oneof![
        text().prop_map(|text| FieldTest::Match(MatchValue::Keyword(text))),
        (-2i64..4).prop_map(|number| FieldTest::Match(MatchValue::Integer(number))),
        any::<bool>().prop_map(|value| FieldTest::Match(MatchValue::Bool(value))),
        list().prop_map(FieldTest::Any),
        list().prop_map(FieldTest::Except),
        (bound(), bound(), bound(), bound()).prop_map(|(gt, gte, lt, lte)| FieldTest::Range {
            gt,
            gte,
            lt,
            lte
        }),
        any::<bool>().prop_map(FieldTest::IsEmpty),
        any::<bool>().prop_map(FieldTest::IsNull),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let ids = prop::collection::vec((0u64..40).prop_map(PointId::Number), 0..20);
    let leaf = prop_oneof![
        8 => (path(), test()).prop_map(|(path, test)| Condition::Field { path, test }),
        1 => path().prop_map(Condition::IsEmpty),
        1 => path().prop_map(Condition::IsNull),
        2 => ids.prop_map(Condition::HasId),
    ];
    leaf.prop_recursive(2, 16, 3, |inner| {
        filter_of(&inner.boxed()).prop_map(|filter| Condition::Filter(Box::new(filter)))
    })
}

fn filter_of(condition: &BoxedStrategy<Condition>) -> impl Strategy<Value = Filter> + use<> {
    let some = |most| prop::collection::vec(condition.clone(), 0..most);
    let min_should = (prop::collection::vec(condition.clone(), 0..4), 1usize..4).prop_map(
        |(conditions, min_count)| MinShould {
            conditions,
            min_count,
        },
    );
    (
        some(3),
        some(3),
        some(2),
        prop::option::weighted(0.2, min_should),
    )
        .prop_map(|(must, should, must_not, min_should)| Filter {
            must,
            should,
            must_not,
            min_should,
        })
}

/// A random filter.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    filter_of(&condition().boxed())
}
