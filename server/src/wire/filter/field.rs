//! A condition on the values of a field: `key`, and what is asked of it.

use query::filter::{Condition, FieldTest, Filter};

use super::geo::{JsonBox, JsonPolygon, JsonRadius};
use super::matching::JsonMatch;
use super::range::JsonRange;
use super::{invalid, path};
use crate::error::ApiError;

/// A field condition as it came.
#[derive(Debug, Default)]
pub(super) struct JsonField {
    pub(super) key: String,
    pub(super) matches: Option<JsonMatch>,
    pub(super) range: Option<JsonRange>,
    pub(super) geo_bounding_box: Option<JsonBox>,
    pub(super) geo_radius: Option<JsonRadius>,
    pub(super) geo_polygon: Option<JsonPolygon>,
    pub(super) values_count: Option<JsonCount>,
    pub(super) is_empty: Option<bool>,
    pub(super) is_null: Option<bool>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `lt`, `lte`, `gt` or `gte`")]
pub(super) struct JsonCount {
    lt: Option<u64>,
    gt: Option<u64>,
    gte: Option<u64>,
    lte: Option<u64>,
}

impl JsonField {
    /// Whether there is anything that only a field can be asked.
    pub(super) fn asks_something(&self) -> bool {
        self.matches.is_some()
            || self.range.is_some()
            || self.geo_bounding_box.is_some()
            || self.geo_radius.is_some()
            || self.geo_polygon.is_some()
            || self.values_count.is_some()
    }

    /// The condition, checked; `field` is where it stands in the body.
    ///
    /// A count of values is asked alone; of several other tests one must hold, as in Qdrant.
    pub(super) fn convert(self, field: &str) -> Result<Condition, ApiError> {
        let path = path(&self.key, &format!("{field}.key"))?;
        let mut tests = self.tests(field)?;
        let Some(test) = tests.pop() else {
            return Err(invalid(
                field,
                "At least one field condition must be specified",
            ));
        };
        if tests.is_empty() {
            return Ok(Condition::Field { path, test });
        }
        let of_path = |test| Condition::Field {
            path: path.clone(),
            test,
        };
        let should = tests.into_iter().chain([test]).map(of_path).collect();
        Ok(Condition::Filter(Box::new(Filter {
            should,
            ..Filter::default()
        })))
    }

    fn tests(self, field: &str) -> Result<Vec<FieldTest>, ApiError> {
        if let Some(count) = self.values_count {
            return Ok(vec![count.convert()]);
        }
        let mut tests = Vec::new();
        if let Some(matches) = self.matches {
            tests.push(matches.convert(&format!("{field}.match"))?);
        }
        if let Some(range) = self.range {
            tests.push(range.convert(&format!("{field}.range"))?);
        }
        if let Some(area) = self.geo_bounding_box {
            tests.push(area.convert(&format!("{field}.geo_bounding_box"))?);
        }
        if let Some(radius) = self.geo_radius {
            tests.push(radius.convert(&format!("{field}.geo_radius"))?);
        }
        if let Some(polygon) = self.geo_polygon {
            tests.push(polygon.convert(&format!("{field}.geo_polygon"))?);
        }
        tests.extend(self.is_empty.map(FieldTest::IsEmpty));
        tests.extend(self.is_null.map(FieldTest::IsNull));
        Ok(tests)
    }
}

impl JsonCount {
    fn convert(self) -> FieldTest {
        FieldTest::ValuesCount {
            gt: self.gt,
            gte: self.gte,
            lt: self.lt,
            lte: self.lte,
        }
    }
}
