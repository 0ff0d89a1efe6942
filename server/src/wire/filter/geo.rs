//! `geo_radius`, `geo_bounding_box` and `geo_polygon`.
//!
//! # Invariants
//! - Every point is within -180..=180 degrees of longitude and -90..=90 of latitude.
//! - Every ring has 4 points at least and ends where it began.

use query::filter::{FieldTest, GeoPoint};

use super::invalid;
use crate::error::ApiError;

#[derive(Copy, Clone, Debug, serde::Deserialize)]
#[serde(expecting = "an object with `lon` and `lat`")]
struct JsonPoint {
    lon: f64,
    lat: f64,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `center` and `radius`")]
pub(super) struct JsonRadius {
    center: JsonPoint,
    radius: f64,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `top_left` and `bottom_right`")]
pub(super) struct JsonBox {
    top_left: JsonPoint,
    bottom_right: JsonPoint,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `exterior` and, where there are holes, `interiors`")]
pub(super) struct JsonPolygon {
    exterior: JsonRing,
    interiors: Option<Vec<JsonRing>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with `points`")]
struct JsonRing {
    points: Vec<JsonPoint>,
}

impl JsonPoint {
    fn convert(self, field: &str) -> Result<GeoPoint, ApiError> {
        let Self { lon, lat } = self;
        GeoPoint::new(lon, lat).ok_or_else(|| {
            ApiError::json(format!(
                "{field}: Wrong format of GeoPoint: expected `lat` = {lat} within [-90;90] and \
                 `lon` = {lon} within [-180;180]"
            ))
        })
    }
}

impl JsonRadius {
    pub(super) fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        let radius = self.radius;
        if radius < 0.0 || !radius.is_finite() {
            let what = format!("value {radius} invalid, must be 0 or larger");
            return Err(invalid(&format!("{field}.radius"), what));
        }
        Ok(FieldTest::GeoRadius {
            center: self.center.convert(&format!("{field}.center"))?,
            radius,
        })
    }
}

impl JsonBox {
    pub(super) fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        Ok(FieldTest::GeoBox {
            top_left: self.top_left.convert(&format!("{field}.top_left"))?,
            bottom_right: self
                .bottom_right
                .convert(&format!("{field}.bottom_right"))?,
        })
    }
}

impl JsonPolygon {
    pub(super) fn convert(self, field: &str) -> Result<FieldTest, ApiError> {
        let exterior = self.exterior.convert(&format!("{field}.exterior"))?;
        let holes = self.interiors.unwrap_or_default().into_iter().enumerate();
        let interiors = holes.map(|(at, hole)| hole.convert(&format!("{field}.interiors[{at}]")));
        Ok(FieldTest::GeoPolygon {
            exterior,
            interiors: interiors.collect::<Result<_, _>>()?,
        })
    }
}

impl JsonRing {
    fn convert(self, field: &str) -> Result<Vec<GeoPoint>, ApiError> {
        let count = self.points.len();
        if count < 4 {
            return Err(ApiError::json(format!(
                "{field}: polygon invalid, the size must be at least 4, got {count}"
            )));
        }
        let points = self.points.into_iter().enumerate();
        let points: Vec<GeoPoint> = points
            .map(|(at, point)| point.convert(&format!("{field}.points[{at}]")))
            .collect::<Result<_, _>>()?;
        // Coordinates that were computed may miss each other by the last bit.
        let apart = |a: f64, b: f64| (a - b).abs() > f64::EPSILON;
        if let (Some(first), Some(last)) = (points.first(), points.last())
            && (apart(first.lon, last.lon) || apart(first.lat, last.lat))
        {
            return Err(ApiError::json(format!(
                "{field}: polygon invalid, the first and the last points should be the same to \
                 form a closed line"
            )));
        }
        Ok(points)
    }
}
