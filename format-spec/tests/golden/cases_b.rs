//! Golden files of the part container and of what stands in it.

use crate::case::Case;

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
