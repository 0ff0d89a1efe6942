//! Indexes with `nested`: each object of an array is an entry of its own.
//!
//! Which rows have a value that passes a test is the same with and without it, for one element
//! must pass it anyhow. What differs is `is_empty`: it asks for a point of which one element lacks
//! the field, and a point without elements lacks nothing.
//!
//! # Invariants
//! - It is the schema that says so, never what a source has.

use format_spec::Value;
use format_spec::schema::{FieldIndex, Schema};
use index::{FieldPath, PathItem};

use super::ast::{Condition, Filter};

/// The array that the objects are in, and where in each the field is.
pub(super) struct Elements {
    pub(super) array: FieldPath,
    pub(super) field: FieldPath,
}

impl Elements {
    /// Those of an index, if it is of that kind.
    pub(super) fn of(index: &FieldIndex) -> Option<Self> {
        let Ok(Value::Object(settings)) = Value::decode(&index.settings) else {
            return None;
        };
        let nested = settings.iter().find(|(key, _)| key == "nested");
        let Some((_, Value::Text(nested))) = nested else {
            return None;
        };
        let array = FieldPath::parse(nested).ok()?.without_every();
        let path = FieldPath::parse(&index.path).ok()?;
        let inside = path.items().strip_prefix(array.items())?;
        let (PathItem::Every, field) = inside.split_first()? else {
            return None;
        };
        let key_first = matches!(field.first(), Some(PathItem::Key(_)));
        let field = key_first.then(|| FieldPath::of_items(field.to_vec()))?;
        Some(Self { array, field })
    }
}

/// Has `filter` ask for a value at `path` too, whatever index the schema has of it.
pub(crate) fn require_value(filter: &mut Filter, path: &FieldPath, schema: &Schema) {
    let index = schema
        .fields
        .iter()
        .find(|index| FieldPath::parse(&index.path).is_ok_and(|indexed| indexed == *path));
    let Some(Elements { array, field }) = index.and_then(Elements::of) else {
        return filter.must_not.push(Condition::IsEmpty(path.clone()));
    };
    let full = Filter {
        must_not: vec![Condition::IsEmpty(field)],
        ..Filter::default()
    };
    filter.must.push(Condition::Nested {
        path: array,
        filter: Box::new(full),
    });
}

#[cfg(test)]
mod tests {
    use format_spec::FieldType;
    use format_spec::value::ValueRef;

    use super::super::ast::FieldTest;
    use super::super::eval_payload::Known;
    use super::super::{bind, matches};
    use super::*;

    fn schema(nested: Option<&str>) -> Schema {
        let settings = nested.map_or(Value::Null, |nested| {
            Value::Object(vec![("nested".to_owned(), Value::Text(nested.to_owned()))])
        });
        let mut schema = Schema::default();
        schema.fields.push(FieldIndex {
            path: "offers[].price".to_owned(),
            field_type: FieldType::Integer,
            settings: settings.to_bytes(),
        });
        schema
    }

    fn holds(filter: &Filter, schema: &Schema, payload: &Value) -> bool {
        let bound = bind(filter, schema).unwrap();
        let payload = payload.to_bytes();
        matches(&bound, Known::default(), ValueRef::new(&payload).unwrap()).unwrap()
    }

    #[test]
    fn a_point_is_empty_if_one_of_its_elements_lacks_the_field() {
        let path = FieldPath::parse("offers[].price").unwrap();
        let member = |key: &str, value| Value::Object(vec![(key.to_owned(), value)]);
        let price = |value| member("price", value);
        let other = || member("name", Value::Int(1));
        let offers = |list| member("offers", Value::Array(list));
        // The payload, whether it is empty, whether it is with `nested`, whether it has a value.
        let cases = [
            (offers(vec![price(Value::Int(1))]), false, false),
            (offers(vec![price(Value::Int(1)), other()]), false, true),
            (
                offers(vec![price(Value::Null), price(Value::Int(1))]),
                false,
                true,
            ),
            (offers(vec![other()]), true, true),
            (offers(vec![]), true, false),
            (member("x", Value::Int(1)), true, false),
        ];
        for (payload, plain, in_elements) in &cases {
            for (nested, empty) in [
                (None, plain),
                (Some("offers"), in_elements),
                (Some("offers[]"), in_elements),
            ] {
                let schema = schema(nested);
                let only = |condition| Filter {
                    must: vec![condition],
                    ..Filter::default()
                };
                let is_empty = only(Condition::IsEmpty(path.clone()));
                assert_eq!(holds(&is_empty, &schema, payload), *empty, "{payload:?}");
                for wanted in [true, false] {
                    let test = FieldTest::IsEmpty(wanted);
                    let field = only(Condition::Field {
                        path: path.clone(),
                        test,
                    });
                    assert_eq!(holds(&field, &schema, payload), *empty == wanted);
                }
                let mut grouped = Filter::default();
                require_value(&mut grouped, &path, &schema);
                assert_eq!(holds(&grouped, &schema, payload), !plain, "{payload:?}");
            }
        }
    }
}
