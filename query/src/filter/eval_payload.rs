//! What a filter means: one point tested against it, on its encoded payload, without allocating but
//! for the tokens of texts.
//!
//! The other ways to answer a filter are judged by this one. The rules are Qdrant's:
//!
//! - A path selects values; a selected array stands for its elements, one level. A test of equality
//!   or range holds if it holds for any of them, so a missing field, null and `[]` pass none.
//! - Types are strict: an integer equals integers, never `1.0` or `true`. A range takes integers
//!   and floats, compared as f64, never booleans or text; a range of dates takes texts only.
//! - *Except* holds for a value that is not null and in no way equal to one in the list; a value of
//!   another type, an object or an array inside an array too.
//! - *Is empty*: every selected value, arrays taken whole, is null or `[]`, or none is selected.
//! - *Is null*: a selected value, arrays taken whole, is null or has null as an element.
//! - *Values count*: a selected value, arrays taken whole, is as many values; or none is selected,
//!   and the bounds allow 0.
//! - *Nested*: of a selected array, one element that is an object matches on its own. What is not
//!   an array has no elements.

use std::ops::ControlFlow;

use format_spec::error::DecodeError;
use format_spec::ids::PointId;
use format_spec::value::{ArrayRef, ValueKind, ValueRef};
use index::FieldPath;

use super::ask::Ask;
use super::bind::{Bound, Field, Test};

/// What a filter may ask of a point beside its payload.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Known<'a> {
    /// Needed only if [`Bound::asks_id`].
    pub(crate) id: Option<PointId>,
    /// Of each of [`Bound::vectors`], whether the point has it.
    pub(crate) vectors: &'a [bool],
}

/// Whether a point matches.
///
/// # Errors
/// The payload does not decode.
pub(crate) fn matches(
    filter: &Bound<'_>,
    known: Known<'_>,
    payload: ValueRef<'_>,
) -> Result<bool, DecodeError> {
    for test in &filter.must {
        if !holds(test, known, payload)? {
            return Ok(false);
        }
    }
    for test in &filter.must_not {
        if holds(test, known, payload)? {
            return Ok(false);
        }
    }
    if !filter.should.is_empty() && !at_least(1, &filter.should, known, payload)? {
        return Ok(false);
    }
    match &filter.min_should {
        Some((count, tests)) => at_least(*count, tests, known, payload),
        None => Ok(true),
    }
}

fn at_least(
    count: usize,
    tests: &[Test<'_>],
    known: Known<'_>,
    payload: ValueRef<'_>,
) -> Result<bool, DecodeError> {
    let mut held = 0;
    for test in tests {
        held += usize::from(holds(test, known, payload)?);
        if held >= count {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds(test: &Test<'_>, known: Known<'_>, payload: ValueRef<'_>) -> Result<bool, DecodeError> {
    match test {
        Test::Field(field) => field_holds(field, payload),
        Test::HasId(ids) => {
            debug_assert!(known.id.is_some(), "a filter over ids is given the id");
            Ok(known.id.is_some_and(|id| ids.binary_search(&id).is_ok()))
        }
        Test::Slice(slice) => {
            debug_assert!(known.id.is_some(), "a filter over slices is given the id");
            Ok(known.id.is_some_and(|id| slice.contains(id)))
        }
        Test::HasVector(place) => {
            debug_assert!(*place < known.vectors.len(), "vectors asked for are given");
            Ok(known.vectors.get(*place).is_some_and(|has| *has))
        }
        Test::Nested(path, filter) => nested_holds(path, filter, payload),
        Test::Filter(filter) => matches(filter, known, payload),
        Test::Never => Ok(false),
    }
}

fn nested_holds(
    path: &FieldPath,
    filter: &Bound<'_>,
    payload: ValueRef<'_>,
) -> Result<bool, DecodeError> {
    any_whole(path, payload, |kind| {
        let ValueKind::Array(array) = kind else {
            return Ok(false);
        };
        for element in array.iter() {
            let element = element?;
            if matches!(element.kind()?, ValueKind::Object(_))
                && matches(filter, Known::default(), element)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

fn field_holds(field: &Field<'_>, payload: ValueRef<'_>) -> Result<bool, DecodeError> {
    match &field.ask {
        Ask::IsEmpty(wanted) => {
            let full = any_whole(field.path, payload, |kind| {
                let ValueKind::Array(array) = kind else {
                    return Ok(!is_null(kind));
                };
                Ok(!array.is_empty())
            })?;
            Ok(full != *wanted)
        }
        Ask::IsNull(wanted) => {
            let null = any_whole(field.path, payload, |kind| {
                let ValueKind::Array(array) = kind else {
                    return Ok(is_null(kind));
                };
                any_element(array, |kind| Ok(is_null(kind)))
            })?;
            Ok(null == *wanted)
        }
        Ask::Count(bounds) => {
            let mut nothing = true;
            let counted = any_whole(field.path, payload, |kind| {
                nothing = false;
                Ok(bounds.contains(count(kind)))
            })?;
            Ok(counted || nothing && bounds.contains(0))
        }
        Ask::Any(test) => any_whole(field.path, payload, |kind| {
            let ValueKind::Array(array) = kind else {
                return test.passes(kind);
            };
            any_element(array, |kind| test.passes(kind))
        }),
    }
}

fn is_null(value: ValueKind<'_>) -> bool {
    matches!(value, ValueKind::Null)
}

/// How many values a selected value is.
fn count(value: ValueKind<'_>) -> u64 {
    match value {
        ValueKind::Null => 0,
        ValueKind::Array(array) => array.len() as u64,
        ValueKind::Bool(_)
        | ValueKind::Int(_)
        | ValueKind::Uint(_)
        | ValueKind::Float(_)
        | ValueKind::Text(_)
        | ValueKind::Object(_) => 1,
    }
}

fn any_element<'a>(
    array: ArrayRef<'a>,
    holds: impl Fn(ValueKind<'a>) -> Result<bool, DecodeError>,
) -> Result<bool, DecodeError> {
    for element in array.iter() {
        if holds(element?.kind()?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `holds` for any selected value, arrays taken whole.
fn any_whole<'a>(
    path: &FieldPath,
    payload: ValueRef<'a>,
    mut holds: impl FnMut(ValueKind<'a>) -> Result<bool, DecodeError>,
) -> Result<bool, DecodeError> {
    let found = path.select(payload, &mut |value| {
        Ok(if holds(value.kind()?)? {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(found.is_break())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{AnyOf, Condition, FieldPath, FieldTest, Filter, MatchValue, bind, oracle};
    use format_spec::schema::Schema;
    use format_spec::value::Value;
    use proptest::prelude::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn array(items: &[Value]) -> Value {
        Value::Array(items.to_vec())
    }

    fn object(members: &[(&str, Value)]) -> Value {
        let member = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
        Value::Object(members.iter().map(member).collect())
    }

    fn check(path: &str, test: FieldTest, payload: &Value) -> bool {
        let path = FieldPath::parse(path).unwrap();
        let filter = Filter {
            must: vec![Condition::Field { path, test }],
            ..Filter::default()
        };
        evaluate(&filter, PointId::Number(0), payload)
    }

    fn evaluate(filter: &Filter, id: PointId, payload: &Value) -> bool {
        let bound = bind(filter, &Schema::default()).unwrap();
        let bytes = payload.to_bytes();
        let known = Known {
            id: Some(id),
            vectors: &[],
        };
        matches(&bound, known, ValueRef::new(&bytes).unwrap()).unwrap()
    }

    fn keyword(text: &str) -> FieldTest {
        FieldTest::Match(MatchValue::Keyword(text.to_owned()))
    }

    fn integer(number: i64) -> FieldTest {
        FieldTest::Match(MatchValue::Integer(number))
    }

    fn except(list: &[&str]) -> FieldTest {
        FieldTest::Except(AnyOf::Keywords(
            list.iter().map(|text| (*text).to_owned()).collect(),
        ))
    }

    fn range(gte: f64, lt: f64) -> FieldTest {
        FieldTest::Range {
            gt: None,
            gte: Some(gte),
            lt: Some(lt),
            lte: None,
        }
    }

    #[test]
    fn equality_knows_types_and_looks_into_arrays_one_level() {
        let one = object(&[("a", Value::Int(1))]);
        assert!(check("a", integer(1), &one));
        assert!(!check(
            "a",
            integer(1),
            &object(&[("a", Value::Float(1.0))])
        ));
        assert!(!check(
            "a",
            integer(1),
            &object(&[("a", Value::Bool(true))])
        ));
        assert!(!check("a", integer(1), &object(&[("a", text("1"))])));
        assert!(!check("a", FieldTest::Match(MatchValue::Bool(true)), &one));
        let list = object(&[("a", array(&[text("x"), text("y")]))]);
        assert!(check("a", keyword("y"), &list));
        assert!(check("a[]", keyword("y"), &list));
        assert!(check("a[1]", keyword("y"), &list));
        assert!(!check("a[0]", keyword("y"), &list));
        assert!(!check("a[2]", keyword("y"), &list));
        let nested = object(&[("a", array(&[array(&[text("x")])]))]);
        assert!(!check("a", keyword("x"), &nested));
        assert!(check("a[]", keyword("x"), &nested));
    }

    #[test]
    fn keys_do_not_look_through_arrays_unless_told_to() {
        let inner = object(&[("b", text("x"))]);
        let list = object(&[("a", array(std::slice::from_ref(&inner)))]);
        assert!(!check("a.b", keyword("x"), &list));
        assert!(check("a[].b", keyword("x"), &list));
        let plain = object(&[("a", inner)]);
        assert!(check("a.b", keyword("x"), &plain));
        assert!(!check("a[].b", keyword("x"), &plain));
        let dotted = object(&[("a.b", text("x"))]);
        assert!(!check("a.b", keyword("x"), &dotted));
        assert!(check("\"a.b\"", keyword("x"), &dotted));
    }

    #[test]
    fn except_needs_a_value_that_is_not_null() {
        let holds = |value: Option<Value>| {
            let members: Vec<_> = value.into_iter().map(|value| ("a", value)).collect();
            check("a", except(&["x"]), &object(&members))
        };
        assert!(holds(Some(text("y"))));
        assert!(!holds(Some(text("x"))));
        assert!(holds(Some(array(&[text("x"), text("y")]))));
        assert!(holds(Some(Value::Int(3))));
        assert!(holds(Some(object(&[]))));
        assert!(!holds(Some(Value::Null)));
        assert!(!holds(Some(array(&[Value::Null]))));
        assert!(!holds(Some(array(&[]))));
        assert!(!holds(None));
    }

    #[test]
    fn ranges_take_numbers_only() {
        let holds = |value: Value| check("a", range(1.0, 3.0), &object(&[("a", value)]));
        assert!(holds(Value::Int(1)));
        assert!(holds(Value::Float(2.9)));
        assert!(!holds(Value::Int(3)));
        assert!(!holds(Value::Bool(true)));
        assert!(!holds(text("2")));
        assert!(holds(array(&[text("2"), Value::Int(2)])));
        assert!(!holds(Value::Uint(u64::MAX)));
    }

    #[test]
    fn empty_and_null_are_about_what_is_there() {
        let empty = |path: &str, payload: &Value| check(path, FieldTest::IsEmpty(true), payload);
        let null = |path: &str, payload: &Value| check(path, FieldTest::IsNull(true), payload);
        let payload = object(&[
            ("nothing", Value::Null),
            ("none", array(&[])),
            ("nulls", array(&[Value::Null])),
            ("deep", array(&[array(&[Value::Null])])),
            ("zero", Value::Int(0)),
            ("blank", text("")),
        ]);
        for (path, is_empty, is_null) in [
            ("missing", true, false),
            ("nothing", true, true),
            ("none", true, false),
            ("nulls", false, true),
            ("nulls[]", true, true),
            ("deep", false, false),
            ("deep[]", false, true),
            ("zero", false, false),
            ("blank", false, false),
        ] {
            assert_eq!(empty(path, &payload), is_empty, "{path}");
            assert_eq!(null(path, &payload), is_null, "{path}");
            assert_eq!(
                check(path, FieldTest::IsEmpty(false), &payload),
                !is_empty,
                "{path}"
            );
            assert_eq!(
                check(path, FieldTest::IsNull(false), &payload),
                !is_null,
                "{path}"
            );
        }
    }

    #[test]
    fn an_empty_filter_matches_everything() {
        assert!(evaluate(
            &Filter::default(),
            PointId::Number(7),
            &object(&[])
        ));
        let ids = vec![PointId::Number(7), PointId::Uuid(1)];
        let by_id = Filter {
            must: vec![Condition::HasId(ids)],
            ..Filter::default()
        };
        assert!(evaluate(&by_id, PointId::Number(7), &object(&[])));
        assert!(!evaluate(&by_id, PointId::Number(8), &object(&[])));
    }

    #[test]
    fn filters_that_cannot_be_evaluated_are_refused() {
        let mut deep = Filter::default();
        for _ in 0..64 {
            deep = Filter {
                must: vec![Condition::Filter(Box::new(deep))],
                ..Filter::default()
            };
        }
        assert!(bind(&deep, &Schema::default()).is_err());
        let min_should = crate::filter::MinShould {
            conditions: Vec::new(),
            min_count: 0,
        };
        let none = Filter {
            min_should: Some(min_should),
            ..Filter::default()
        };
        assert!(bind(&none, &Schema::default()).is_err());
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_the_oracle(
            filter in oracle::filter(),
            payload in oracle::payload(),
            id in 0u64..40,
        ) {
            let id = PointId::Number(id);
            prop_assert_eq!(
                evaluate(&filter, id, &payload),
                oracle::matches(&filter, id, &payload)
            );
        }
    }
}
