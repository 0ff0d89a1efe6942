//! RowOrder: which fields say in what order the rows of a segment lie.
//!
//! Rows of one tenant are asked for together, so they lie together: by the field whose index has
//! `is_tenant`, then by the one whose index has `is_principal`, then as they came.
//!
//! # Invariants
//! - Of each of the two, the first field of the schema counts.
//! - Of several values of a row the first that is of the type of the index counts; rows without one
//!   come last.

use std::ops::ControlFlow;

use format_spec::columns::storable;
use format_spec::{
    ColumnValues, ColumnView, DecodeError, FieldIndex, FieldType, Row, Value, ValueKind, ValueRef,
};
use quant::BLOCK_ROWS;

use super::path::FieldPath;
use super::{datetime, uuid};

/// The fields that rows are put in order by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowOrder {
    tenant: Option<Leading>,
    principal: Option<Leading>,
}

/// Where a row belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowKey {
    /// The bytes of its tenant, in the order of the values.
    pub tenant: Option<Vec<u8>>,
    /// Its place among the rows of the tenant.
    pub principal: Option<u64>,
}

/// A field whose values lead.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Leading {
    path: FieldPath,
    field_type: FieldType,
}

impl RowOrder {
    /// The order that the indexes of a schema ask for; `None` where rows lie as they come.
    #[must_use]
    pub fn of(fields: &[FieldIndex]) -> Option<Self> {
        use FieldType as T;
        let tenant = Leading::of(fields, "is_tenant", &[T::Keyword, T::Uuid]);
        let principal = Leading::of(fields, "is_principal", &[T::Integer, T::Float, T::Datetime]);
        (tenant.is_some() || principal.is_some()).then_some(Self { tenant, principal })
    }

    /// Where the row of a payload belongs.
    ///
    /// # Errors
    /// The payload does not decode.
    pub fn key(&self, payload: ValueRef<'_>) -> Result<RowKey, DecodeError> {
        Ok(RowKey {
            tenant: first(self.tenant.as_ref(), payload, tenant)?,
            principal: first(self.principal.as_ref(), payload, principal)?,
        })
    }
}

/// Rows in order touch at least so many blocks; twice as many and some more are far from it.
const BLOCKS_APART: u64 = 64;
/// A share of the values that rows may have beside their first.
const OTHERS_SHARE: u64 = 64;

impl RowOrder {
    /// The field that leads.
    #[must_use]
    pub fn leader(&self) -> Option<&FieldPath> {
        let leading = self.tenant.as_ref().or(self.principal.as_ref());
        leading.map(|leading| &leading.path)
    }

    /// Whether rows lie far from this order, as the column of the leading field tells: rows that
    /// belong together are in more than twice the blocks they fit in.
    ///
    /// Rows that are written in this order are never far from it. Where many rows have several
    /// values the column does not tell which of them counts, and they are not taken to be far.
    #[must_use]
    pub fn is_far(&self, column: &ColumnView<'_>) -> bool {
        let stats = column.stats();
        let others = stats.values.saturating_sub(u64::from(stats.rows_indexed));
        if others > stats.values / OTHERS_SHARE {
            return false;
        }
        // Where one tenant ends and the next begins, both have rows in the block.
        let ends = self.tenant.as_ref().map_or(0, |_| stats.distinct);
        let least = stats.values.div_ceil(BLOCK_ROWS as u64) + ends + others;
        blocks_in_turn(column) > 2 * least + BLOCKS_APART
    }
}

/// How often the block changes while the rows of a column are walked in the order of their values.
fn blocks_in_turn(column: &ColumnView<'_>) -> u64 {
    let (mut last, mut blocks) = (None, 0);
    let mut walk = |row: Row| {
        let block = Some(row / BLOCK_ROWS as u32);
        blocks += u64::from(block != last);
        last = block;
    };
    match column.values() {
        ColumnValues::Keyword(words) => {
            let rows = words.iter().flat_map(|(_, rows)| rows.iter());
            rows.for_each(&mut walk);
        }
        ColumnValues::Integer(numbers) | ColumnValues::Datetime(numbers) => {
            numbers.range(..).iter().for_each(&mut walk);
        }
        ColumnValues::Float(numbers) => numbers.range(..).iter().for_each(&mut walk),
        ColumnValues::Uuid(uuids) => uuids.range(..).iter().for_each(&mut walk),
        // None of these leads.
        ColumnValues::Bool(_) | ColumnValues::Geo(_) | ColumnValues::Text(_) => {}
    }
    blocks
}

impl Leading {
    /// The first field of one of these types whose settings have `flag`; settings that are none
    /// have it not.
    fn of(fields: &[FieldIndex], flag: &str, types: &[FieldType]) -> Option<Self> {
        let mut fields = fields.iter().filter(|f| types.contains(&f.field_type));
        let field = fields.find(|field| is_set(field, flag))?;
        Some(Self {
            path: FieldPath::parse(&field.path).ok()?,
            field_type: field.field_type,
        })
    }
}

fn is_set(field: &FieldIndex, flag: &str) -> bool {
    let Ok(Value::Object(members)) = Value::decode(&field.settings) else {
        return false;
    };
    let set = |(name, value): &(String, Value)| name == flag && *value == Value::Bool(true);
    members.iter().any(set)
}

/// What `of` makes of the first value of a field that it makes anything of; an array stands for its
/// elements, as in a column.
fn first<T>(
    field: Option<&Leading>,
    payload: ValueRef<'_>,
    of: impl Fn(FieldType, ValueKind<'_>) -> Option<T>,
) -> Result<Option<T>, DecodeError> {
    let Some(Leading { path, field_type }) = field else {
        return Ok(None);
    };
    let mut found = None;
    let _ = path.select(payload, &mut |value| {
        let kind = value.kind()?;
        if let ValueKind::Array(array) = kind {
            for element in array.iter() {
                found = of(*field_type, element?.kind()?);
                if found.is_some() {
                    break;
                }
            }
        } else {
            found = of(*field_type, kind);
        }
        Ok(if found.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(found)
}

fn tenant(field_type: FieldType, value: ValueKind<'_>) -> Option<Vec<u8>> {
    match (field_type, value) {
        (FieldType::Keyword, ValueKind::Text(text)) => Some(text.as_bytes().to_vec()),
        (FieldType::Uuid, ValueKind::Text(text)) => {
            // The highest byte first, as they are spelt.
            uuid::parse(text).map(|uuid| uuid.swap_bytes().to_le_bytes().to_vec())
        }
        _ => None,
    }
}

fn principal(field_type: FieldType, value: ValueKind<'_>) -> Option<u64> {
    match (field_type, value) {
        (FieldType::Integer, ValueKind::Int(number)) => Some(of_signed(number)),
        (FieldType::Float, ValueKind::Int(number)) => Some(of_float(number as f64)),
        (FieldType::Float, ValueKind::Uint(number)) => Some(of_float(number as f64)),
        (FieldType::Float, ValueKind::Float(number)) => storable(number).map(of_float),
        (FieldType::Datetime, ValueKind::Text(text)) => datetime::parse(text).map(of_signed),
        _ => None,
    }
}

const SIGN: u64 = 1 << 63;

fn of_signed(number: i64) -> u64 {
    number.cast_unsigned() ^ SIGN
}

/// Bits that ascend as the numbers do: those of negative ones the other way round.
fn of_float(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(path: &str, field_type: FieldType, flag: &str) -> FieldIndex {
        let settings = Value::Object(vec![
            ("on_disk".to_owned(), Value::Bool(true)),
            (flag.to_owned(), Value::Bool(true)),
        ]);
        FieldIndex {
            path: path.to_owned(),
            field_type,
            settings: settings.to_bytes(),
        }
    }

    fn key(order: &RowOrder, members: &[(&str, Value)]) -> RowKey {
        let members = members.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        let payload = Value::Object(members.collect()).to_bytes();
        order.key(ValueRef::new(&payload).unwrap()).unwrap()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn only_fields_that_lead_make_an_order() {
        use FieldType as T;
        let bare = FieldIndex {
            settings: Value::Null.to_bytes(),
            ..index("a", T::Keyword, "is_tenant")
        };
        let broken = FieldIndex {
            settings: vec![0xff],
            ..bare.clone()
        };
        let others = [
            bare,
            broken,
            index("a", T::Text, "is_tenant"),
            index("b", T::Integer, "is_tenant"),
            index("c", T::Keyword, "is_principal"),
            index("d", T::Keyword, "prefix"),
        ];
        assert_eq!(RowOrder::of(&others), None);
        let mut fields = others.to_vec();
        fields.push(index("who", T::Keyword, "is_tenant"));
        fields.push(index("other", T::Uuid, "is_tenant"));
        fields.push(index("when", T::Datetime, "is_principal"));
        let order = RowOrder::of(&fields).unwrap();
        let members = [
            ("other", text("550e8400-e29b-41d4-a716-446655440000")),
            ("when", text("2026-01-02")),
            ("who", text("me")),
        ];
        let found = key(&order, &members);
        assert_eq!(found.tenant.as_deref(), Some(&b"me"[..]));
        assert!(found.principal.is_some());
    }

    #[test]
    fn the_first_value_of_the_type_counts() {
        let order = RowOrder::of(&[index("a", FieldType::Keyword, "is_tenant")]).unwrap();
        let array = Value::Array(vec![Value::Int(3), text("x"), text("b")]);
        let tenant = |value: Value| key(&order, &[("a", value)]).tenant;
        assert_eq!(tenant(array).as_deref(), Some(&b"x"[..]));
        assert_eq!(tenant(Value::Int(3)), None);
        assert_eq!(tenant(Value::Array(vec![])), None);
        assert_eq!(key(&order, &[("b", text("x"))]).tenant, None);
        let uuids = RowOrder::of(&[index("a", FieldType::Uuid, "is_tenant")]).unwrap();
        let spelt = |spelling: &str| key(&uuids, &[("a", text(spelling))]).tenant;
        let plain = spelt("550E8400E29B41D4A716446655440000");
        assert_eq!(plain, spelt("550e8400-e29b-41d4-a716-446655440000"));
        assert_eq!(plain.map(|bytes| bytes.len()), Some(16));
        assert_eq!(spelt("none"), None);
    }

    #[test]
    fn principals_ascend_as_their_values_do() {
        use FieldType as T;
        for (field_type, values) in [
            (
                T::Integer,
                [i64::MIN, -5, 0, 7, i64::MAX].map(Value::Int).to_vec(),
            ),
            (
                T::Float,
                vec![
                    Value::Float(-1e300),
                    Value::Int(-2),
                    Value::Float(-0.5),
                    Value::Float(0.0),
                    Value::Float(1e-300),
                    Value::Int(3),
                    Value::Uint(u64::MAX),
                ],
            ),
            (
                T::Datetime,
                vec![
                    text("1901-01-01"),
                    text("1970-01-01"),
                    text("2026-11-23T01:00:00Z"),
                    text("2026-11-23T01:00:00.5Z"),
                ],
            ),
        ] {
            let order = RowOrder::of(&[index("a", field_type, "is_principal")]).unwrap();
            let keys = values.iter().map(|v| key(&order, &[("a", v.clone())]));
            let keys: Vec<u64> = keys.map(|key| key.principal.unwrap()).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "{field_type:?}: {keys:?}");
        }
        let order = RowOrder::of(&[index("a", T::Float, "is_principal")]).unwrap();
        let of = |value| key(&order, &[("a", value)]).principal;
        assert_eq!(of(Value::Float(-0.0)), of(Value::Int(0)));
        assert_eq!(of(Value::Float(f64::NAN)), None);
    }
}
