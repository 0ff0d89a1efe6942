//! Places on the earth: points, and the three shapes that filters ask for.
//!
//! # Invariants
//! - A [`GeoPoint`] is within -180..=180 degrees of longitude and -90..=90 of latitude: a payload
//!   value beyond that is no point, with an index and without.
//! - Every shape is open: what lies exactly on its border is outside, of a hole too.
//! - Whatever a shape contains is in one of its [`GeoBounds`].

use format_spec::error::DecodeError;
use format_spec::value::{ValueKind, ValueRef};

/// The mean radius of the earth in metres, as the IUGG recommends (H. Moritz, *Geodetic Reference
/// System 1980*) and as Qdrant takes it.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// How far bounds reach beyond the shape, in degrees (11 cm), for what arithmetic rounds off: the
/// arcsine of the haversine formula is wrong by up to 1e-8 near the antipode.
const BOUNDS_SLACK: f64 = 1e-6;

/// A point on the earth, in degrees.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoPoint {
    /// Longitude, -180 to 180.
    pub lon: f64,
    /// Latitude, -90 to 90.
    pub lat: f64,
}

impl GeoPoint {
    /// The point of a longitude and a latitude in degrees, unless there is no such point.
    #[must_use]
    pub fn new(lon: f64, lat: f64) -> Option<Self> {
        let is_there = (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat);
        is_there.then_some(Self { lon, lat })
    }

    /// The point that a payload value is: an object whose `lon` and `lat` are numbers.
    ///
    /// # Errors
    /// The value does not decode.
    pub fn of(value: ValueKind<'_>) -> Result<Option<Self>, DecodeError> {
        let ValueKind::Object(object) = value else {
            return Ok(None);
        };
        let (Some(lon), Some(lat)) = (object.get("lon")?, object.get("lat")?) else {
            return Ok(None);
        };
        let (Some(lon), Some(lat)) = (number(lon)?, number(lat)?) else {
            return Ok(None);
        };
        Ok(Self::new(lon, lat))
    }

    /// Distance over the earth's surface in metres, by the haversine formula (R. W. Sinnott,
    /// *Virtues of the Haversine*, 1984).
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let half_lat = (other.lat - self.lat).to_radians() / 2.0;
        let half_lon = (other.lon - self.lon).to_radians() / 2.0;
        let across = self.lat.to_radians().cos() * other.lat.to_radians().cos();
        let a = half_lat.sin().powi(2) + across * half_lon.sin().powi(2);
        // Rounding may leave the antipode above 1, which has no arcsine.
        2.0 * a.sqrt().min(1.0).asin() * EARTH_RADIUS_M
    }

    /// Longitude and latitude as fractions of their range, in units of 2^-32; neither ever
    /// decreases when its degrees grow.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is wanted at the upper end"
    )]
    pub fn cell(self) -> (u32, u32) {
        const STEPS: f64 = 4_294_967_296.0;
        let lon = (self.lon + 180.0) / 360.0 * STEPS;
        let lat = (self.lat + 90.0) / 180.0 * STEPS;
        (lon as u32, lat as u32)
    }

    /// The Morton key: the bits of [`Self::cell`] in turn, longitude above latitude, so that points
    /// that share their leading bits lie together.
    #[must_use]
    pub fn morton(self) -> u64 {
        let (lon, lat) = self.cell();
        spread(lon) << 1 | spread(lat)
    }
}

/// Puts a zero before each bit (S. E. Anderson, *Bit Twiddling Hacks*, interleave bits by binary
/// magic numbers).
fn spread(bits: u32) -> u64 {
    let mut spread = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        spread = (spread | spread << shift) & mask;
    }
    spread
}

#[expect(
    clippy::cast_precision_loss,
    reason = "degrees are far below 2^53, and what is not is no degree either way"
)]
fn number(value: ValueRef<'_>) -> Result<Option<f64>, DecodeError> {
    Ok(match value.kind()? {
        ValueKind::Int(number) => Some(number as f64),
        ValueKind::Uint(number) => Some(number as f64),
        ValueKind::Float(number) => Some(number),
        ValueKind::Null
        | ValueKind::Bool(_)
        | ValueKind::Text(_)
        | ValueKind::Array(_)
        | ValueKind::Object(_) => None,
    })
}

/// A rectangle of degrees, borders included, that does not cross the antimeridian.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoBounds {
    /// From this longitude,
    pub lon_min: f64,
    /// to this one;
    pub lon_max: f64,
    /// from this latitude,
    pub lat_min: f64,
    /// to this one.
    pub lat_max: f64,
}

impl GeoBounds {
    /// Whether the point is within.
    #[must_use]
    pub fn contains(&self, point: GeoPoint) -> bool {
        (self.lon_min..=self.lon_max).contains(&point.lon)
            && (self.lat_min..=self.lat_max).contains(&point.lat)
    }
}

/// Points nearer to the centre than the radius.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoRadius {
    /// The centre.
    pub center: GeoPoint,
    /// In metres.
    pub radius_m: f64,
}

impl GeoRadius {
    /// Whether the point is nearer than the radius.
    #[must_use]
    pub fn contains(&self, point: GeoPoint) -> bool {
        self.center.distance_m(point) < self.radius_m
    }

    /// Rectangles that cover the circle, up to two.
    #[must_use]
    pub fn bounds(&self) -> Vec<GeoBounds> {
        let angle = self.radius_m / EARTH_RADIUS_M;
        let reach = angle.to_degrees() + BOUNDS_SLACK;
        let (lat_min, lat_max) = (self.center.lat - reach, self.center.lat + reach);
        let all_around = GeoBounds {
            lon_min: -180.0,
            lon_max: 180.0,
            lat_min,
            lat_max,
        };
        if lat_min <= -90.0 || lat_max >= 90.0 {
            // A pole is inside or near, and with it every longitude.
            return vec![all_around];
        }
        // The meridian that touches the circle (J. P. Snyder, *Map Projections*, 1987, page 31).
        let widest = (angle.sin() / self.center.lat.to_radians().cos()).min(1.0);
        let width = widest.asin().to_degrees() + BOUNDS_SLACK;
        let (west, east) = (self.center.lon - width, self.center.lon + width);
        let between = |lon_min, lon_max| GeoBounds {
            lon_min,
            lon_max,
            ..all_around
        };
        if west < -180.0 && east > 180.0 {
            vec![all_around]
        } else if west < -180.0 {
            vec![between(-180.0, east), between(west + 360.0, 180.0)]
        } else if east > 180.0 {
            vec![between(west, 180.0), between(-180.0, east - 360.0)]
        } else {
            vec![between(west, east)]
        }
    }
}

/// Points between two meridians and two parallels. Where the left meridian is east of the right
/// one, the box crosses the antimeridian.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoBox {
    /// The north-west corner.
    pub top_left: GeoPoint,
    /// The south-east corner.
    pub bottom_right: GeoPoint,
}

impl GeoBox {
    /// Whether the point is inside.
    #[must_use]
    pub fn contains(&self, point: GeoPoint) -> bool {
        let (west, east) = (self.top_left.lon, self.bottom_right.lon);
        let between = if west > east {
            point.lon > west || point.lon < east
        } else {
            west < point.lon && point.lon < east
        };
        between && self.bottom_right.lat < point.lat && point.lat < self.top_left.lat
    }

    /// Rectangles that cover the box, up to two.
    #[must_use]
    pub fn bounds(&self) -> Vec<GeoBounds> {
        let (west, east) = (self.top_left.lon, self.bottom_right.lon);
        let between = |lon_min, lon_max| GeoBounds {
            lon_min,
            lon_max,
            lat_min: self.bottom_right.lat,
            lat_max: self.top_left.lat,
        };
        if west > east {
            vec![between(west, 180.0), between(-180.0, east)]
        } else {
            vec![between(west, east)]
        }
    }
}

/// Points inside a ring and in none of its holes, on the plane of degrees.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoPolygon {
    exterior: Ring,
    interiors: Vec<Ring>,
}

/// A closed line, and the rectangle around it.
#[derive(Clone, Debug, PartialEq)]
struct Ring {
    points: Vec<GeoPoint>,
    bounds: GeoBounds,
}

/// Where a point lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Border,
    Outside,
}

impl Ring {
    fn new(points: Vec<GeoPoint>) -> Self {
        let mut bounds = GeoBounds {
            lon_min: f64::INFINITY,
            lon_max: f64::NEG_INFINITY,
            lat_min: f64::INFINITY,
            lat_max: f64::NEG_INFINITY,
        };
        for point in &points {
            bounds.lon_min = bounds.lon_min.min(point.lon);
            bounds.lon_max = bounds.lon_max.max(point.lon);
            bounds.lat_min = bounds.lat_min.min(point.lat);
            bounds.lat_max = bounds.lat_max.max(point.lat);
        }
        Self { points, bounds }
    }

    /// Where `point` lies; most points are outside the rectangle, which takes no walk.
    fn side_of(&self, point: GeoPoint) -> Side {
        if self.bounds.contains(point) {
            side_of(&self.points, point)
        } else {
            Side::Outside
        }
    }
}

impl GeoPolygon {
    /// The polygon of an outer ring and the rings of its holes. A ring ends where it began; one
    /// that does not is closed by a straight line.
    #[must_use]
    pub fn new(exterior: Vec<GeoPoint>, interiors: Vec<Vec<GeoPoint>>) -> Self {
        Self {
            exterior: Ring::new(exterior),
            interiors: interiors.into_iter().map(Ring::new).collect(),
        }
    }

    /// Whether the point is inside.
    #[must_use]
    pub fn contains(&self, point: GeoPoint) -> bool {
        let outside = |hole: &Ring| hole.side_of(point) == Side::Outside;
        self.exterior.side_of(point) == Side::Inside && self.interiors.iter().all(outside)
    }

    /// Corners of all its rings: as many are walked for one point at most.
    #[must_use]
    pub fn corners(&self) -> usize {
        let holes = self.interiors.iter().map(|hole| hole.points.len());
        self.exterior.points.len() + holes.sum::<usize>()
    }

    /// The rectangle around the polygon.
    #[must_use]
    pub fn bounds(&self) -> Vec<GeoBounds> {
        vec![self.exterior.bounds]
    }
}

/// Where `point` lies, by its winding number (D. Sunday, *Inclusion of a Point in a Polygon*,
/// 2001), with exact signs: what is on the border is found to be.
fn side_of(ring: &[GeoPoint], point: GeoPoint) -> Side {
    let mut winding = 0;
    let closing = ring.last().zip(ring.first());
    let edges = ring.iter().zip(ring.iter().skip(1)).chain(closing);
    for (from, to) in edges {
        if from.lat.min(to.lat) > point.lat || from.lat.max(to.lat) < point.lat {
            continue;
        }
        let turn = robust::orient2d(coord(*from), coord(*to), coord(point));
        let (west, east) = (from.lon.min(to.lon), from.lon.max(to.lon));
        if turn == 0.0 && (west..=east).contains(&point.lon) {
            return Side::Border;
        }
        if from.lat <= point.lat && to.lat > point.lat && turn > 0.0 {
            winding += 1;
        } else if from.lat > point.lat && to.lat <= point.lat && turn < 0.0 {
            winding -= 1;
        }
    }
    if winding == 0 {
        Side::Outside
    } else {
        Side::Inside
    }
}

fn coord(point: GeoPoint) -> robust::Coord<f64> {
    robust::Coord {
        x: point.lon,
        y: point.lat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::value::Value;
    use proptest::prelude::*;

    fn at(lon: f64, lat: f64) -> GeoPoint {
        GeoPoint::new(lon, lat).unwrap()
    }

    fn read(value: &Value) -> Option<GeoPoint> {
        let bytes = value.to_bytes();
        GeoPoint::of(ValueRef::new(&bytes).unwrap().kind().unwrap()).unwrap()
    }

    fn object(lon: Value, lat: Value) -> Value {
        Value::Object(vec![("lon".to_owned(), lon), ("lat".to_owned(), lat)])
    }

    #[test]
    fn a_point_is_an_object_of_two_numbers_in_range() {
        let point = |lon, lat| read(&object(lon, lat));
        assert_eq!(
            point(Value::Float(1.5), Value::Int(-2)),
            Some(at(1.5, -2.0))
        );
        assert_eq!(
            point(Value::Int(180), Value::Int(90)),
            Some(at(180.0, 90.0))
        );
        assert_eq!(point(Value::Float(180.1), Value::Int(0)), None);
        assert_eq!(point(Value::Int(0), Value::Int(-91)), None);
        assert_eq!(point(Value::Uint(u64::MAX), Value::Int(0)), None);
        assert_eq!(point(Value::Text("1".to_owned()), Value::Int(0)), None);
        assert_eq!(point(Value::Bool(true), Value::Int(0)), None);
        assert_eq!(
            read(&Value::Object(vec![("lon".to_owned(), Value::Int(1))])),
            None
        );
        assert_eq!(
            read(&Value::Array(vec![Value::Int(1), Value::Int(1)])),
            None
        );
        assert_eq!(GeoPoint::new(f64::NAN, 0.0), None);
    }

    #[test]
    fn distances_are_those_on_the_map() {
        let (moscow, london) = (at(37.6173, 55.7558), at(-0.1278, 51.5074));
        assert!((moscow.distance_m(london) - 2_500_000.0).abs() < 10_000.0);
        assert_eq!(moscow.distance_m(moscow), 0.0);
        let half_way_round = at(0.0, 0.0).distance_m(at(180.0, 0.0));
        assert!((half_way_round - std::f64::consts::PI * EARTH_RADIUS_M).abs() < 1.0);
        assert!(at(10.0, 30.0).distance_m(at(-170.0, -30.0)).is_finite());
        assert!(at(179.9, 0.0).distance_m(at(-179.9, 0.0)) < 25_000.0);
    }

    #[test]
    fn borders_are_outside() {
        let square = GeoBox {
            top_left: at(0.0, 10.0),
            bottom_right: at(10.0, 0.0),
        };
        assert!(square.contains(at(5.0, 5.0)));
        for (lon, lat) in [
            (0.0, 5.0),
            (10.0, 5.0),
            (5.0, 0.0),
            (5.0, 10.0),
            (-1.0, 5.0),
        ] {
            assert!(!square.contains(at(lon, lat)), "{lon} {lat}");
        }
        let circle = GeoRadius {
            center: at(0.0, 0.0),
            radius_m: at(0.0, 0.0).distance_m(at(1.0, 1.0)),
        };
        assert!(!circle.contains(at(1.0, 1.0)));
        assert!(circle.contains(at(0.99, 0.99)));
        let nothing = GeoRadius {
            radius_m: 0.0,
            ..circle
        };
        assert!(!nothing.contains(at(0.0, 0.0)));
    }

    #[test]
    fn a_box_may_cross_the_antimeridian() {
        let pacific = GeoBox {
            top_left: at(170.0, 10.0),
            bottom_right: at(-170.0, -10.0),
        };
        assert!(pacific.contains(at(175.0, 0.0)));
        assert!(pacific.contains(at(-175.0, 0.0)));
        assert!(!pacific.contains(at(0.0, 0.0)));
        assert!(!pacific.contains(at(170.0, 0.0)));
        assert_eq!(pacific.bounds().len(), 2);
        let upside_down = GeoBox {
            top_left: at(0.0, -10.0),
            bottom_right: at(10.0, 10.0),
        };
        assert!(!upside_down.contains(at(5.0, 0.0)));
    }

    fn ring(points: &[(f64, f64)]) -> Vec<GeoPoint> {
        points.iter().map(|(lon, lat)| at(*lon, *lat)).collect()
    }

    #[test]
    fn a_polygon_has_holes_and_borders() {
        let outer = ring(&[
            (0.0, 0.0),
            (10.0, 0.0),
            (10.0, 10.0),
            (0.0, 10.0),
            (0.0, 0.0),
        ]);
        let hole = ring(&[(4.0, 4.0), (4.0, 6.0), (6.0, 6.0), (6.0, 4.0), (4.0, 4.0)]);
        let polygon = GeoPolygon::new(outer, vec![hole]);
        for (lon, lat, inside) in [
            (2.0, 2.0, true),
            (5.0, 5.0, false),
            (4.0, 5.0, false),
            (4.0, 4.0, false),
            (0.0, 5.0, false),
            (0.0, 0.0, false),
            (10.0, 10.0, false),
            (-1.0, 0.0, false),
            (12.0, 4.0, false),
            (3.9, 4.0, true),
            (0.1, 0.1, true),
        ] {
            assert_eq!(polygon.contains(at(lon, lat)), inside, "{lon} {lat}");
        }
        let slanted = ring(&[(0.0, 0.0), (8.0, 4.0), (1.0, 9.0), (0.0, 0.0)]);
        assert!(!GeoPolygon::new(slanted, Vec::new()).contains(at(2.0, 1.0)));
    }

    #[test]
    fn keys_keep_the_order_of_each_axis() {
        assert_eq!(at(-180.0, -90.0).morton(), 0);
        assert_eq!(at(180.0, 90.0).morton(), u64::MAX);
        assert_eq!(at(0.0, -90.0).morton(), 1 << 63);
        assert_eq!(at(-180.0, 0.0).morton(), 1 << 62);
        assert_eq!(at(1.0, 1.0).cell(), (2_159_414_112, 2_171_344_577));
    }

    fn place() -> impl Strategy<Value = GeoPoint> {
        let lon = prop_oneof![
            4 => -180.0..=180.0_f64,
            1 => prop::sample::select(vec![-180.0, -179.999, 0.0, 179.999, 180.0]),
        ];
        let lat = prop_oneof![
            4 => -90.0..=90.0_f64,
            1 => prop::sample::select(vec![-90.0, -89.999, 0.0, 89.999, 90.0]),
        ];
        (lon, lat).prop_map(|(lon, lat)| at(lon, lat))
    }

    /// Few different coordinates, so that many points are on borders and corners.
    fn coarse() -> impl Strategy<Value = GeoPoint> {
        (-6..=6_i32, -6..=6_i32).prop_map(|(lon, lat)| at(lon.into(), lat.into()))
    }

    fn fine() -> impl Strategy<Value = GeoPoint> {
        (-180.0..=180.0_f64, -90.0..=90.0_f64).prop_map(|(lon, lat)| at(lon, lat))
    }

    /// A ring of corners, and holes that may cross it and each other.
    type Rings = (Vec<GeoPoint>, Vec<Vec<GeoPoint>>);

    fn rings(of: impl Strategy<Value = GeoPoint> + 'static) -> impl Strategy<Value = Rings> {
        let ring = prop::collection::vec(of.boxed(), 3..9).boxed();
        (ring.clone(), prop::collection::vec(ring, 0..3))
    }

    fn theirs((exterior, interiors): &Rings) -> geo::Polygon {
        let line = |ring: &Vec<GeoPoint>| {
            let coords = ring.iter().map(|p| geo::Coord { x: p.lon, y: p.lat });
            geo::LineString::new(coords.collect())
        };
        geo::Polygon::new(line(exterior), interiors.iter().map(line).collect())
    }

    fn agrees(rings: &Rings, points: &[GeoPoint]) {
        let polygon = GeoPolygon::new(rings.0.clone(), rings.1.clone());
        let theirs = theirs(rings);
        for &point in points {
            // Open in both: what lies on the border of the ring or of a hole is outside.
            let coord = geo::Coord {
                x: point.lon,
                y: point.lat,
            };
            let expected = geo::Contains::contains(&theirs, &coord);
            assert_eq!(polygon.contains(point), expected, "{point:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn polygons_are_those_of_the_library(
            coarse_rings in rings(coarse()),
            coarse_points in prop::collection::vec(coarse(), 20),
            fine_rings in rings(fine()),
            fine_points in prop::collection::vec(fine(), 20),
        ) {
            agrees(&coarse_rings, &coarse_points);
            agrees(&fine_rings, &fine_points);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn bounds_leave_out_nothing_inside(
            center in place(),
            other in place(),
            exponent in 0.0..7.5_f64,
            (d_lon, d_lat) in (-1.0..1.0_f64, -1.0..1.0_f64),
        ) {
            let radius_m = 10.0_f64.powf(exponent);
            let circle = GeoRadius { center, radius_m };
            let near = (radius_m / EARTH_RADIUS_M).to_degrees();
            let beside = GeoPoint::new(center.lon + d_lon * near, center.lat + d_lat * near);
            for point in [Some(other), beside].into_iter().flatten() {
                if circle.contains(point) {
                    prop_assert!(circle.bounds().iter().any(|bounds| bounds.contains(point)));
                }
                let area = GeoBox { top_left: center, bottom_right: other };
                if area.contains(point) {
                    prop_assert!(area.bounds().iter().any(|bounds| bounds.contains(point)));
                }
            }
        }

        // A convex ring contains what is on the same side of all its edges.
        #[test]
        fn a_convex_ring_is_the_meet_of_its_half_planes(
            angles in prop::collection::btree_set(0u32..360, 3..9),
            point in (-6i32..=6, -6i32..=6),
        ) {
            let corner = |angle: &u32| {
                let angle = f64::from(*angle).to_radians();
                at(5.0 * angle.cos(), 5.0 * angle.sin())
            };
            let mut corners: Vec<GeoPoint> = angles.iter().map(corner).collect();
            corners.push(corners[0]);
            let point = at(f64::from(point.0), f64::from(point.1));
            let left_of = |edge: &[GeoPoint]| {
                robust::orient2d(coord(edge[0]), coord(edge[1]), coord(point)) > 0.0
            };
            let inside = corners.windows(2).all(left_of);
            prop_assert_eq!(GeoPolygon::new(corners, Vec::new()).contains(point), inside);
        }
    }
}
