//! Points as they are returned.

use query::{Hit, Record};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::id::Id;
use super::order::JsonOrderValue;
use super::value::AsJson;

/// A point without a score.
#[derive(Debug)]
pub(crate) struct JsonRecord(pub(crate) Record);

/// A point with its score.
#[derive(Debug)]
pub(crate) struct JsonHit(pub(crate) Hit);

/// The vectors of a point: a plain list when there is only the unnamed one.
struct Vectors<'a>(&'a [(String, Vec<f32>)]);

impl Serialize for Vectors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [(name, vector)] if name.is_empty() => vector.serialize(serializer),
            vectors => serializer.collect_map(vectors.iter().map(|(name, vector)| (name, vector))),
        }
    }
}

fn members<M: SerializeMap>(map: &mut M, record: &Record) -> Result<(), M::Error> {
    if let Some(payload) = &record.payload {
        map.serialize_entry("payload", &AsJson(payload))?;
    }
    if let Some(vectors) = &record.vectors {
        map.serialize_entry("vector", &Vectors(vectors))?;
    }
    if let Some(value) = record.order_value {
        map.serialize_entry("order_value", &JsonOrderValue(value))?;
    }
    Ok(())
}

impl Serialize for JsonRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &Id(self.0.id))?;
        members(&mut map, &self.0)?;
        map.end()
    }
}

impl Serialize for JsonHit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = &self.0.record;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &Id(record.id))?;
        map.serialize_entry("version", &record.version.0)?;
        // Finite vectors may be infinitely far from each other, and JSON has no infinity.
        let score = self.0.score.clamp(f32::MIN, f32::MAX);
        map.serialize_entry("score", &score)?;
        members(&mut map, record)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{PointId, SeqNo, Value};

    use super::*;

    fn record(payload: Option<Value>, vectors: Option<Vec<(String, Vec<f32>)>>) -> Record {
        Record {
            id: PointId::Number(7),
            version: SeqNo(3),
            payload,
            vectors,
            order_value: None,
        }
    }

    #[test]
    fn one_unnamed_vector_is_a_list_and_others_are_a_map() {
        let unnamed = vec![(String::new(), vec![0.5, 1.0])];
        let named = vec![("a".to_owned(), vec![0.1])];
        let json = |vectors| serde_json::to_string(&JsonRecord(record(None, vectors))).unwrap();
        assert_eq!(json(None), r#"{"id":7}"#);
        assert_eq!(json(Some(unnamed)), r#"{"id":7,"vector":[0.5,1.0]}"#);
        assert_eq!(json(Some(named)), r#"{"id":7,"vector":{"a":[0.1]}}"#);
        assert_eq!(json(Some(vec![])), r#"{"id":7,"vector":{}}"#);
        let mut listed = record(None, None);
        listed.order_value = query::OrderValue::float(2.0);
        let json = serde_json::to_string(&JsonRecord(listed)).unwrap();
        assert_eq!(json, r#"{"id":7,"order_value":2.0}"#);
    }

    #[test]
    fn a_hit_always_has_version_and_score() {
        let json = |score| {
            let record = record(Some(Value::Object(vec![])), None);
            serde_json::to_string(&JsonHit(Hit { record, score })).unwrap()
        };
        assert_eq!(
            json(0.25),
            r#"{"id":7,"version":3,"score":0.25,"payload":{}}"#
        );
        for (score, text) in [
            (f32::INFINITY, r#""score":3.4028235e+38,"#),
            (f32::NEG_INFINITY, r#""score":-3.4028235e+38,"#),
        ] {
            assert!(json(score).contains(text), "{}", json(score));
        }
    }
}
