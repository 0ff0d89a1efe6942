//! Whether the rows of a segment lie as the indexes of the schema ask for.
//!
//! # Invariants
//! - It follows from the schema and the column of the leading field, and is found out once for
//!   both.

use format_spec::FieldIndex;
use index::RowOrder;
use parking_lot::Mutex;

use super::Segment;

/// What was found out, and for which order.
#[derive(Default, Debug)]
pub(super) struct KnownOrder(Mutex<Option<(RowOrder, bool)>>);

impl KnownOrder {
    /// What is known of the same rows.
    pub(super) fn copy(&self, other: &Self) {
        self.0.lock().clone_from(&other.0.lock());
    }
}

impl Segment {
    /// Whether its rows lie far from the order that `fields` ask for; not without the column that
    /// tells.
    pub(crate) fn is_out_of_order(&self, fields: &[FieldIndex]) -> bool {
        let Some(order) = RowOrder::of(fields) else {
            return false;
        };
        let mut known = self.order.0.lock();
        if let Some((of, far)) = &*known
            && *of == order
        {
            return *far;
        }
        let path = order.leader().map(ToString::to_string);
        let index = fields
            .iter()
            .find(|field| Some(&field.path) == path.as_ref());
        let Some(index) = index.filter(|index| self.has_column(index)) else {
            return false;
        };
        let column = self.column(&index.path).ok().flatten();
        let far = column.is_some_and(|column| order.is_far(&column));
        *known = Some((order, far));
        far
    }
}
