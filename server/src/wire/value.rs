//! Payload values: JSON to the stored form and back, without a tree of another library between.
//!
//! # Invariants
//! - Keys keep their order; of a key that comes twice the last value wins, at the first place.
//! - Whole numbers stay whole up to `u64::MAX`; everything else is a double.

use std::collections::HashMap;
use std::fmt;

use format_spec::Value;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A JSON value, read into the stored form.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Json(pub(crate) Value);

/// A JSON object; anything else is an error.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Object(pub(crate) Value);

/// A stored value, written as JSON.
#[derive(Copy, Clone, Debug)]
pub(crate) struct AsJson<'a>(pub(crate) &'a Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Json)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(Object)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Json(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        ObjectVisitor.visit_map(members)
    }
}

struct ObjectVisitor;

/// Up to so many keys a repeated one is found by looking at all of them.
const FEW_KEYS: usize = 16;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object: Vec<(String, Value)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let Json(value) = members.next_value()?;
            if object.len() == FEW_KEYS && places.is_empty() {
                let keys = object.iter().enumerate();
                places = keys.map(|(at, (key, _))| (key.clone(), at)).collect();
            }
            let known = if object.len() < FEW_KEYS {
                object.iter().position(|(known, _)| *known == key)
            } else {
                places.get(&key).copied()
            };
            match known.and_then(|at| object.get_mut(at)) {
                Some((_, old)) => *old = value,
                None => {
                    if object.len() >= FEW_KEYS {
                        places.insert(key.clone(), object.len());
                    }
                    object.push((key, value));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Uint(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Array(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&AsJson(value))?;
                }
                seq.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, &AsJson(value))?;
                }
                map.end()
            }
        }
    }
}

/// A tree of the JSON library in the stored form: configuration goes this way, which is small.
pub(crate) fn from_tree(tree: serde_json::Value) -> Value {
    use serde_json::Value as Tree;
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(value),
        Tree::Number(number) => {
            if let Some(value) = number.as_i64() {
                Value::Int(value)
            } else if let Some(value) = number.as_u64() {
                Value::Uint(value)
            } else {
                Value::Float(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        Tree::String(text) => Value::Text(text),
        Tree::Array(items) => Value::Array(items.into_iter().map(from_tree).collect()),
        Tree::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(key, value)| (key, from_tree(value)))
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        let Json(value) = serde_json::from_str(text).unwrap();
        let bytes = value.to_bytes();
        let back = Value::decode(&bytes).unwrap();
        serde_json::to_string(&AsJson(&back)).unwrap()
    }

    #[test]
    fn a_payload_comes_back_as_it_went_in() {
        for text in [
            r#"{"z":1,"a":[true,null,-1.5,"é\n"],"nested":{"b":{},"a":[]}}"#,
            "[9223372036854775807,-9223372036854775808,18446744073709551615]",
            "[1.0,1e300,0.1]",
        ] {
            assert_eq!(round(text), text.replace("1e300", "1e+300"));
        }
    }

    #[test]
    fn of_a_repeated_key_the_last_value_wins() {
        assert_eq!(round(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
        let many: Vec<_> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!("{{{},\"k3\":-3,\"k39\":-39}}", many.join(","));
        let back = round(&text);
        assert!(back.contains("\"k3\":-3,") && back.contains("\"k39\":-39"));
        assert_eq!(back.matches(':').count(), 40);
    }

    #[test]
    fn an_object_is_required_where_a_payload_is() {
        assert!(serde_json::from_str::<Object>("[1]").is_err());
        assert!(serde_json::from_str::<Object>("{}").is_ok());
    }
}
