//! Which values of a payload points are ordered by, and where a column has them.
//!
//! # Invariants
//! - A row that the column answers has the same values in the column as in its payload.

use format_spec::columns::{ColumnValues, ColumnView};
use format_spec::error::DecodeError;
use format_spec::schema::{FieldIndex, FieldType, Schema};
use format_spec::value::{Value, ValueKind, ValueRef};
use index::{FieldPath, datetime};

use super::run::Pairs;
use super::value::OrderValue;
use crate::error::QueryError;
use crate::values::each_value;

/// The field that points are ordered by.
#[derive(Debug)]
pub(crate) struct OrderKey<'r> {
    pub(crate) path: &'r FieldPath,
    /// The path as the schema spells it.
    pub(crate) column: &'r str,
    field_type: FieldType,
}

impl<'r> OrderKey<'r> {
    /// Finds the index of `path`.
    ///
    /// # Errors
    /// [`QueryError::NoRangeIndex`] when there is none, or one whose values have no order.
    pub(crate) fn bind(path: &'r FieldPath, schema: &'r Schema) -> Result<Self, QueryError> {
        let field = field_of(path, schema).filter(|field| has_order(field));
        let Some(field) = field else {
            return Err(QueryError::NoRangeIndex {
                key: path.to_string(),
            });
        };
        Ok(Self {
            path,
            column: &field.path,
            field_type: field.field_type,
        })
    }

    /// The pairs of a column, if it is of the type of the index.
    pub(crate) fn pairs<'s>(&self, view: &ColumnView<'s>) -> Option<Pairs<'s>> {
        match (self.field_type, view.values()) {
            (FieldType::Integer, ColumnValues::Integer(numbers))
            | (FieldType::Datetime, ColumnValues::Datetime(numbers)) => Some(Pairs::Int(numbers)),
            (FieldType::Float, ColumnValues::Float(numbers)) => Some(Pairs::Float(numbers)),
            _ => None,
        }
    }

    /// The values of a payload: ascending, each once.
    pub(crate) fn values(
        &self,
        payload: ValueRef<'_>,
        out: &mut Vec<OrderValue>,
    ) -> Result<(), DecodeError> {
        out.clear();
        each_value(self.path, payload, |kind| out.extend(self.value(kind)))?;
        out.sort_unstable();
        out.dedup();
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a float index holds numbers as f64"
    )]
    fn value(&self, value: ValueKind<'_>) -> Option<OrderValue> {
        match (self.field_type, value) {
            (FieldType::Integer, ValueKind::Int(number)) => Some(OrderValue::Int(number)),
            (FieldType::Datetime, ValueKind::Text(text)) => {
                datetime::parse(text).map(OrderValue::Int)
            }
            (FieldType::Float, ValueKind::Int(number)) => OrderValue::float(number as f64),
            (FieldType::Float, ValueKind::Uint(number)) => OrderValue::float(number as f64),
            (FieldType::Float, ValueKind::Float(number)) => OrderValue::float(number),
            _ => None,
        }
    }
}

/// The index of a path.
pub(crate) fn field_of<'s>(path: &FieldPath, schema: &'s Schema) -> Option<&'s FieldIndex> {
    let same = |field: &&FieldIndex| FieldPath::parse(&field.path).is_ok_and(|p| p == *path);
    schema.fields.iter().find(same)
}

fn has_order(field: &FieldIndex) -> bool {
    match field.field_type {
        FieldType::Integer => !is_off(field, "range"),
        FieldType::Float | FieldType::Datetime => true,
        FieldType::Keyword
        | FieldType::Bool
        | FieldType::Uuid
        | FieldType::Geo
        | FieldType::Text => false,
    }
}

/// Whether a capability of an index is turned off in its settings.
pub(crate) fn is_off(field: &FieldIndex, capability: &str) -> bool {
    let Ok(settings) = ValueRef::new(&field.settings).and_then(|settings| settings.to_value())
    else {
        return false;
    };
    settings.get(capability) == Some(&Value::Bool(false))
}
