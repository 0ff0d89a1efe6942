//! What a filter means: one point tested against it, on its encoded payload, without allocating.
//!
//! The other ways to answer a filter are judged by this one. The rules are Qdrant's:
//!
//! - A path selects values; a selected array stands for its elements, one level. A test of equality
//!   or range holds if it holds for any of them, so a missing field, null and `[]` pass none.
//! - Types are strict: an integer equals integers, never `1.0` or `true`. A range takes integers and
//!   floats, compared as f64, never booleans or text.
//! - *Except* holds for a value that is not null and in no way equal to one in the list; a value of
//!   another type, an object or an array inside an array too.
//! - *Is empty*: every selected value, arrays taken whole, is null or `[]`, or none is selected.
//! - *Is null*: a selected value, arrays taken whole, is null or has null as an element.

use std::ops::ControlFlow;

use format_spec::error::DecodeError;
use format_spec::ids::PointId;
use format_spec::value::{ArrayRef, ValueKind, ValueRef};

use super::bind::{Ask, Bound, Field, Test, ValueTest};

/// Whether a point matches. `id` is needed only if [`Bound::asks_id`].
///
/// # Errors
/// The payload does not decode.
pub(crate) fn matches(
    filter: &Bound<'_>,
    id: Option<PointId>,
    payload: ValueRef<'_>,
) -> Result<bool, DecodeError> {
    for test in &filter.must {
        if !holds(test, id, payload)? {
            return Ok(false);
        }
    }
    for test in &filter.must_not {
        if holds(test, id, payload)? {
            return Ok(false);
        }
    }
    if !filter.should.is_empty() && !at_least(1, &filter.should, id, payload)? {
        return Ok(false);
    }
    match &filter.min_should {
        Some((count, tests)) => at_least(*count, tests, id, payload),
        None => Ok(true),
    }
}

fn at_least(
    count: usize,
    tests: &[Test<'_>],
    id: Option<PointId>,
    payload: ValueRef<'_>,
) -> Result<bool, DecodeError> {
    let mut held = 0;
    for test in tests {
        held += usize::from(holds(test, id, payload)?);
        if held >= count {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds(test: &Test<'_>, id: Option<PointId>, payload: ValueRef<'_>) -> Result<bool, DecodeError> {
    match test {
        Test::Field(field) => field_holds(field, payload),
        Test::HasId(ids) => {
            debug_assert!(id.is_some(), "a filter over ids is given the id");
            Ok(id.is_some_and(|id| ids.binary_search(&id).is_ok()))
        }
        Test::Filter(filter) => matches(filter, id, payload),
    }
}

fn field_holds(field: &Field<'_>, payload: ValueRef<'_>) -> Result<bool, DecodeError> {
    match &field.ask {
        Ask::IsEmpty(wanted) => {
            let full = any_whole(field, payload, |kind| {
                let ValueKind::Array(array) = kind else { return Ok(!is_null(kind)) };
                Ok(!array.is_empty())
            })?;
            Ok(full != *wanted)
        }
        Ask::IsNull(wanted) => {
            let null = any_whole(field, payload, |kind| {
                let ValueKind::Array(array) = kind else { return Ok(is_null(kind)) };
                any_element(array, is_null)
            })?;
            Ok(null == *wanted)
        }
        Ask::Any(test) => any_whole(field, payload, |kind| {
            let ValueKind::Array(array) = kind else { return Ok(passes(test, kind)) };
            any_element(array, |kind| passes(test, kind))
        }),
    }
}

fn is_null(value: ValueKind<'_>) -> bool {
    matches!(value, ValueKind::Null)
}

fn any_element<'a>(
    array: ArrayRef<'a>,
    holds: impl Fn(ValueKind<'a>) -> bool,
) -> Result<bool, DecodeError> {
    for element in array.iter() {
        if holds(element?.kind()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `holds` for any selected value, arrays taken whole.
fn any_whole<'a>(
    field: &Field<'_>,
    payload: ValueRef<'a>,
    mut holds: impl FnMut(ValueKind<'a>) -> Result<bool, DecodeError>,
) -> Result<bool, DecodeError> {
    let found = field.path.select(payload, &mut |value| {
        Ok(if holds(value.kind()?)? { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found.is_break())
}

/// Whether one value passes.
fn passes(test: &ValueTest<'_>, value: ValueKind<'_>) -> bool {
    match (test, value) {
        (ValueTest::Keyword(wanted), ValueKind::Text(text)) => text == *wanted,
        (ValueTest::AnyKeyword(list), ValueKind::Text(text)) => list.binary_search(&text).is_ok(),
        (ValueTest::Integer(wanted), ValueKind::Int(integer)) => integer == *wanted,
        (ValueTest::AnyInteger(list), ValueKind::Int(integer)) => {
            list.binary_search(&integer).is_ok()
        }
        (ValueTest::Bool(wanted), ValueKind::Bool(value)) => value == *wanted,
        (ValueTest::ExceptKeyword(_) | ValueTest::ExceptInteger(_), ValueKind::Null) => false,
        (ValueTest::ExceptKeyword(list), ValueKind::Text(text)) => {
            list.binary_search(&text).is_err()
        }
        (ValueTest::ExceptInteger(list), ValueKind::Int(integer)) => {
            list.binary_search(&integer).is_err()
        }
        (ValueTest::ExceptKeyword(_) | ValueTest::ExceptInteger(_), _) => true,
        (ValueTest::Range(range), value) => number(value).is_some_and(|n| range.contains(n)),
        _ => false,
    }
}

/// The number a range compares.
#[expect(clippy::cast_precision_loss, reason = "ranges compare as f64, as Qdrant does")]
fn number(value: ValueKind<'_>) -> Option<f64> {
    match value {
        ValueKind::Int(integer) => Some(integer as f64),
        ValueKind::Uint(integer) => Some(integer as f64),
        ValueKind::Float(float) => Some(float),
        ValueKind::Null
        | ValueKind::Bool(_)
        | ValueKind::Text(_)
        | ValueKind::Array(_)
        | ValueKind::Object(_) => None,
    }
}
