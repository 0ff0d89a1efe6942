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
        Test::HasVector { place, .. } => {
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
            let full = any_whole(&field.path, payload, |kind| {
                let ValueKind::Array(array) = kind else {
                    return Ok(!is_null(kind));
                };
                Ok(!array.is_empty())
            })?;
            Ok(full != *wanted)
        }
        Ask::IsNull(wanted) => {
            let null = any_whole(&field.path, payload, |kind| {
                let ValueKind::Array(array) = kind else {
                    return Ok(is_null(kind));
                };
                any_element(array, |kind| Ok(is_null(kind)))
            })?;
            Ok(null == *wanted)
        }
        Ask::Count(bounds) => {
            let mut nothing = true;
            let counted = any_whole(&field.path, payload, |kind| {
                nothing = false;
                Ok(bounds.contains(count(kind)))
            })?;
            Ok(counted || nothing && bounds.contains(0))
        }
        Ask::Any(test) => any_whole(&field.path, payload, |kind| {
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
#[path = "eval_payload_test.rs"]
mod tests;
