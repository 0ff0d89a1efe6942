//! The values of one field of one payload, as filters and indexes see them.

use std::ops::ControlFlow;

use format_spec::error::DecodeError;
use format_spec::value::{ValueKind, ValueRef};
use index::FieldPath;

/// Gives `take` every value at `path`; a selected array stands for its elements, one level.
pub(crate) fn each_value<'a>(
    path: &FieldPath,
    payload: ValueRef<'a>,
    mut take: impl FnMut(ValueKind<'a>),
) -> Result<(), DecodeError> {
    let _ = path.select(payload, &mut |value| {
        let kind = value.kind()?;
        if let ValueKind::Array(array) = kind {
            for element in array.iter() {
                take(element?.kind()?);
            }
        } else {
            take(kind);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}
