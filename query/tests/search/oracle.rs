//! A filter, evaluated the plain way on a decoded payload, and random payloads and filters.
//!
//! Written from the rules and not from the code it judges: values are collected into lists, and
//! each list is looked at as a whole.

use format_spec::ids::placement_hash;
use format_spec::{PointId, Value};
use proptest::prelude::*;
use query::filter::{GeoPoint, PathItem};
use query::{AnyOf, Condition, FieldPath, FieldTest, Filter, MatchValue, MinShould};

/// Whether a point matches that has the vectors of these names.
pub(crate) fn matches(filter: &Filter, id: PointId, vectors: &[&str], payload: &Value) -> bool {
    let subject = Subject {
        id: Some(id),
        vectors,
        payload,
    };
    subject.matches(filter)
}

/// What a filter may ask of a point.
#[derive(Copy, Clone)]
struct Subject<'a> {
    /// None for what is inside a point.
    id: Option<PointId>,
    vectors: &'a [&'a str],
    payload: &'a Value,
}

impl Subject<'_> {
    fn matches(self, filter: &Filter) -> bool {
        let count = |list: &[Condition]| list.iter().filter(|c| self.holds(c)).count();
        let min_should = filter.min_should.as_ref();
        count(&filter.must) == filter.must.len()
            && count(&filter.must_not) == 0
            && (filter.should.is_empty() || count(&filter.should) > 0)
            && min_should.is_none_or(|min| count(&min.conditions) >= min.min_count)
    }

    fn holds(self, condition: &Condition) -> bool {
        let payload = self.payload;
        match condition {
            Condition::HasId(ids) => self.id.is_some_and(|id| ids.contains(&id)),
            Condition::HasVector(name) => self.vectors.contains(&name.as_str()),
            Condition::Slice { total, index } => self
                .id
                .is_some_and(|id| placement_hash(id) % u64::from(*total) == u64::from(*index)),
            Condition::Nested { path, filter } => {
                let arrays = whole(payload, without_every(path));
                let elements = arrays.iter().flat_map(|value| {
                    let Value::Array(items) = value else {
                        return &[][..];
                    };
                    items.as_slice()
                });
                elements
                    .filter(|element| matches!(element, Value::Object(_)))
                    .any(|payload| {
                        let inside = Subject {
                            id: None,
                            vectors: &[],
                            payload,
                        };
                        inside.matches(filter)
                    })
            }
            Condition::Filter(filter) => self.matches(filter),
            Condition::IsEmpty(path) => is_empty(payload, path),
            Condition::IsNull(path) => is_null(payload, path),
            Condition::Field { path, test } => field(payload, path, test),
        }
    }
}

fn without_every(path: &FieldPath) -> &[PathItem] {
    match path.items() {
        [array @ .., PathItem::Every] => array,
        items => items,
    }
}

fn field(payload: &Value, path: &FieldPath, test: &FieldTest) -> bool {
    let any = |passes: &dyn Fn(&Value) -> bool| flat(payload, path).iter().any(passes);
    let text = |passes: &dyn Fn(&str) -> bool| {
        any(&|value| matches!(value, Value::Text(text) if passes(text)))
    };
    let place = |inside: &dyn Fn(f64, f64) -> bool| {
        any(&|value| geo(value).is_some_and(|(lon, lat)| inside(lon, lat)))
    };
    match test {
        FieldTest::IsEmpty(wanted) => is_empty(payload, path) == *wanted,
        FieldTest::IsNull(wanted) => is_null(payload, path) == *wanted,
        FieldTest::Match(wanted) => any(&|value| equals(value, wanted)),
        FieldTest::Any(list) => any(&|value| one_of(value, list)),
        FieldTest::Except(list) => any(&|value| *value != Value::Null && !one_of(value, list)),
        FieldTest::Range { gt, gte, lt, lte } => {
            any(&|value| number(value).is_some_and(|number| within(number, [gt, gte, lt, lte])))
        }
        FieldTest::DatetimeRange { gt, gte, lt, lte } => text(&|text| {
            let date = DATES.iter().find(|(date, _)| *date == text);
            date.is_some_and(|(_, micros)| within(*micros, [gt, gte, lt, lte]))
        }),
        FieldTest::ValuesCount { gt, gte, lt, lte } => {
            let values = whole(payload, path.items());
            let mut counts: Vec<u64> = values.iter().map(count_of).collect();
            if counts.is_empty() {
                counts.push(0);
            }
            counts
                .into_iter()
                .any(|count| within(count, [gt, gte, lt, lte]))
        }
        FieldTest::Text(query) => text(&|text| {
            let (query, words) = (words(query), words(text));
            !query.is_empty() && query.iter().all(|word| words.contains(word))
        }),
        FieldTest::TextAny(query) => {
            text(&|text| words(query).iter().any(|word| words(text).contains(word)))
        }
        FieldTest::Phrase(query) => text(&|text| {
            let (query, words) = (words(query), words(text));
            !query.is_empty() && words.windows(query.len()).any(|run| run == query)
        }),
        FieldTest::Prefix(start) => text(&|text| text.as_bytes().starts_with(start.as_bytes())),
        FieldTest::Substring(part) => text(&|text| {
            (0..=text.len()).any(|from| text.as_bytes()[from..].starts_with(part.as_bytes()))
        }),
        FieldTest::GeoRadius { center, radius } => {
            place(&|lon, lat| chord_distance((center.lon, center.lat), (lon, lat)) < *radius)
        }
        FieldTest::GeoBox {
            top_left,
            bottom_right,
        } => place(&|lon, lat| {
            let (west, east) = (top_left.lon, bottom_right.lon);
            let across = west > east && (lon > west || lon < east);
            (across || west < lon && lon < east) && bottom_right.lat < lat && lat < top_left.lat
        }),
        FieldTest::GeoPolygon {
            exterior,
            interiors,
        } => place(&|lon, lat| {
            inside_ring(exterior, lon, lat) == Some(true)
                && interiors
                    .iter()
                    .all(|hole| inside_ring(hole, lon, lat) == Some(false))
        }),
    }
}

fn within<T: PartialOrd + Copy>(value: T, [gt, gte, lt, lte]: [&Option<T>; 4]) -> bool {
    gt.is_none_or(|b| value > b)
        && gte.is_none_or(|b| value >= b)
        && lt.is_none_or(|b| value < b)
        && lte.is_none_or(|b| value <= b)
}

fn count_of(value: &Value) -> u64 {
    if let Value::Array(items) = value {
        return items.len() as u64;
    }
    u64::from(*value != Value::Null)
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Longitude and latitude of what is a geo point.
fn geo(value: &Value) -> Option<(f64, f64)> {
    let axis = |name, most: f64| {
        number(value.get(name)?).filter(|degrees| -most <= *degrees && *degrees <= most)
    };
    Some((axis("lon", 180.0)?, axis("lat", 90.0)?))
}

/// Metres over the sphere, from the length of the straight line through it.
fn chord_distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    let on_sphere = |(lon, lat): (f64, f64)| {
        let (lon, lat) = (lon.to_radians(), lat.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (on_sphere(a), on_sphere(b));
    let squared: f64 = (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum();
    2.0 * 6_371_008.8 * (squared.sqrt() / 2.0).min(1.0).asin()
}

/// Whether a point is inside a ring, by counting the edges east of it; `None` on the border.
/// All coordinates are halves, so that the arithmetic is exact.
fn inside_ring(ring: &[GeoPoint], lon: f64, lat: f64) -> Option<bool> {
    let halves = |degrees: f64| (degrees * 2.0) as i64;
    let (x, y) = (halves(lon), halves(lat));
    let mut inside = false;
    for edge in ring.windows(2) {
        let (x1, y1) = (halves(edge[0].lon), halves(edge[0].lat));
        let (x2, y2) = (halves(edge[1].lon), halves(edge[1].lat));
        let turn = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1);
        let between = x1.min(x2) <= x && x <= x1.max(x2) && y1.min(y2) <= y && y <= y1.max(y2);
        if turn == 0 && between {
            return None;
        }
        if (y1 > y) != (y2 > y) && (turn > 0) == (y2 > y1) {
            inside = !inside;
        }
    }
    Some(inside)
}

fn equals(value: &Value, wanted: &MatchValue) -> bool {
    match wanted {
        MatchValue::Keyword(text) => *value == Value::Text(text.clone()),
        MatchValue::Integer(number) => *value == Value::Int(*number),
        MatchValue::Bool(wanted) => *value == Value::Bool(*wanted),
    }
}

fn one_of(value: &Value, list: &AnyOf) -> bool {
    match list {
        AnyOf::Keywords(list) => list.iter().any(|text| *value == Value::Text(text.clone())),
        AnyOf::Integers(list) => list.iter().any(|number| *value == Value::Int(*number)),
    }
}

fn is_empty(payload: &Value, path: &FieldPath) -> bool {
    let empty = |value: &Value| matches!(value, Value::Null) || *value == Value::Array(Vec::new());
    whole(payload, path.items()).iter().all(empty)
}

fn is_null(payload: &Value, path: &FieldPath) -> bool {
    whole(payload, path.items()).iter().any(|value| {
        let Value::Array(items) = value else {
            return *value == Value::Null;
        };
        items.contains(&Value::Null)
    })
}

fn number(value: &Value) -> Option<f64> {
    if let Value::Int(number) = value {
        return Some(*number as f64);
    }
    if let Value::Uint(number) = value {
        return Some(*number as f64);
    }
    let Value::Float(number) = value else {
        return None;
    };
    Some(*number)
}

/// The selected values, arrays as they are.
fn whole(value: &Value, items: &[PathItem]) -> Vec<Value> {
    let Some((item, rest)) = items.split_first() else {
        return vec![value.clone()];
    };
    let inner: Vec<&Value> = match (item, value) {
        (PathItem::Key(key), value) => value.get(key).into_iter().collect(),
        (PathItem::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
        (PathItem::Every, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    inner
        .into_iter()
        .flat_map(|value| whole(value, rest))
        .collect()
}

/// The selected values, with the elements of arrays in the place of the arrays.
pub(crate) fn flat(payload: &Value, path: &FieldPath) -> Vec<Value> {
    let one_level = |value| {
        let Value::Array(items) = value else {
            return vec![value];
        };
        items
    };
    whole(payload, path.items())
        .into_iter()
        .flat_map(one_level)
        .collect()
}

/// The paths that random filters ask for.
pub(crate) const PATHS: [&str; 9] = [
    "a", "b", "c", "c.a", "a[]", "b[].a", "a[0]", "\"d.e\"", "c.b[1].a",
];

/// The names of vectors that random filters ask for.
pub(crate) const VECTORS: [&str; 3] = ["", "image", "none"];

/// Texts that are dates, and when that is in microseconds.
const DATES: [(&str, i64); 6] = [
    ("2024-01-31", 1_706_659_200_000_000),
    ("2024-01-31T00:00:01Z", 1_706_659_201_000_000),
    ("2024-01-31 02:00:00.000001+02:00", 1_706_659_200_000_001),
    ("2024-01-30T23:59:59.9999999", 1_706_659_199_999_999),
    ("1969-12-31 23:59", -60_000_000),
    ("2000-02-29T12:00:00-0130", 951_831_000_000_000),
];

const TEXTS: [&str; 11] = [
    "",
    "x",
    "y",
    "1",
    "red fox",
    "The RED-fox!",
    "fox, red",
    "redfox",
    "été",
    "2024-01-32",
    "fox",
];

fn any_text() -> impl Strategy<Value = String> {
    let dates: Vec<&str> = DATES.iter().map(|(text, _)| *text).collect();
    prop_oneof![
        3 => prop::sample::select(TEXTS.to_vec()),
        1 => prop::sample::select(dates),
    ]
    .prop_map(str::to_owned)
}

/// Degrees in halves, so that points and borders meet.
fn degrees(most: i32) -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-6i32..=6).prop_map(|halves| f64::from(halves) / 2.0),
        1 => prop::sample::select(vec![-most, most]).prop_map(f64::from),
        1 => (-2 * most..=2 * most).prop_map(|halves| f64::from(halves) / 2.0),
    ]
}

fn geo_point() -> impl Strategy<Value = GeoPoint> {
    (degrees(180), degrees(90)).prop_map(|(lon, lat)| GeoPoint { lon, lat })
}

/// An object that is a geo point, or nearly.
fn geo_value() -> impl Strategy<Value = Value> {
    let broken = prop::sample::select(vec![
        Value::Float(200.5),
        Value::Int(-91),
        Value::Text("1".to_owned()),
        Value::Bool(true),
        Value::Null,
    ]);
    let axes = (geo_point(), prop::option::weighted(0.2, broken));
    axes.prop_map(|(point, broken)| {
        let lat = broken.unwrap_or(Value::Float(point.lat));
        object(vec![("lon", Value::Float(point.lon)), ("lat", lat)])
    })
}

/// Rings whose edges do not cross each other: boxes and triangles.
fn ring() -> impl Strategy<Value = Vec<GeoPoint>> {
    let corner = || (-8i32..=8, -8i32..=8);
    (corner(), corner(), corner(), any::<bool>()).prop_map(|(a, b, c, is_box)| {
        let corners = if is_box {
            vec![a, (b.0, a.1), b, (a.0, b.1), a]
        } else {
            vec![a, b, c, a]
        };
        let point = |(lon, lat)| GeoPoint {
            lon: f64::from(lon) / 2.0,
            lat: f64::from(lat) / 2.0,
        };
        corners.into_iter().map(point).collect()
    })
}

/// A value of few kinds, so that filters and payloads meet.
pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        4 => (-2i64..4).prop_map(Value::Int),
        1 => Just(Value::Int(i64::MIN)),
        1 => Just(Value::Int((1 << 53) + 1)),
        1 => Just(Value::Uint(u64::MAX)),
        3 => (-4i32..8).prop_map(|halves| Value::Float(f64::from(halves) / 2.0)),
        5 => any_text().prop_map(Value::Text),
        3 => geo_value(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        let member = (prop::sample::select(vec!["a", "b", "c"]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            prop::collection::vec(member, 0..3).prop_map(object),
        ]
    })
}

/// An object; of a repeated key the first counts.
fn object(members: Vec<(&'static str, Value)>) -> Value {
    let mut kept: Vec<(String, Value)> = Vec::new();
    for (key, value) in members {
        if kept.iter().all(|(name, _)| name != key) {
            kept.push((key.to_owned(), value));
        }
    }
    Value::Object(kept)
}

/// A random payload.
pub(crate) fn payload() -> impl Strategy<Value = Value> {
    let member = (prop::sample::select(vec!["a", "b", "c", "d.e"]), value());
    prop::collection::vec(member, 0..5).prop_map(object)
}

/// A random path out of [`PATHS`].
pub(crate) fn path() -> impl Strategy<Value = FieldPath> {
    prop::sample::select(PATHS.to_vec()).prop_map(|path| FieldPath::parse(path).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "x", "y", "z", "1", "red fox", "fox"]).prop_map(str::to_owned)
}

/// What texts are searched for.
fn query_text() -> impl Strategy<Value = String> {
    let words = vec![
        "", "  ", "fox", "Red", "red fox", "fox red", "the red", "ÉTÉ", "x", "1 x",
    ];
    prop::sample::select(words).prop_map(str::to_owned)
}

/// The beginning or the middle of a text.
fn part() -> impl Strategy<Value = String> {
    let parts = vec![
        "",
        "re",
        "red",
        "fox",
        "d f",
        "The",
        "the",
        "é",
        "2024-01-3",
        "x",
        "T0",
    ];
    prop::sample::select(parts).prop_map(str::to_owned)
}

fn date_bound() -> impl Strategy<Value = Option<i64>> {
    let dates: Vec<i64> = DATES.iter().map(|(_, micros)| *micros).collect();
    prop::option::of(prop::sample::select(dates))
}

fn count_bound() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(0u64..4)
}

/// Tests of what is not plain equality or a range of numbers.
fn special_test() -> impl Strategy<Value = FieldTest> {
    let dates = (date_bound(), date_bound(), date_bound(), date_bound());
    let counts = (count_bound(), count_bound(), count_bound(), count_bound());
    // No two points of the grid are so far from each other.
    let radius = prop::sample::select(vec![0.0, 60_000.0, 200_000.0, 5e6, 1.5e7, 3e7]);
    let polygon = (ring(), prop::collection::vec(ring(), 0..2));
    prop_oneof![
        dates.prop_map(|(gt, gte, lt, lte)| FieldTest::DatetimeRange { gt, gte, lt, lte }),
        query_text().prop_map(FieldTest::Text),
        query_text().prop_map(FieldTest::TextAny),
        query_text().prop_map(FieldTest::Phrase),
        part().prop_map(FieldTest::Prefix),
        part().prop_map(FieldTest::Substring),
        (geo_point(), radius).prop_map(|(center, radius)| FieldTest::GeoRadius { center, radius }),
        (geo_point(), geo_point()).prop_map(|(top_left, bottom_right)| FieldTest::GeoBox {
            top_left,
            bottom_right,
        }),
        polygon.prop_map(|(exterior, interiors)| FieldTest::GeoPolygon {
            exterior,
            interiors,
        }),
        counts.prop_map(|(gt, gte, lt, lte)| FieldTest::ValuesCount { gt, gte, lt, lte }),
    ]
}

fn list() -> impl Strategy<Value = AnyOf> {
    prop_oneof![
        prop::collection::vec(text(), 0..4).prop_map(AnyOf::Keywords),
        prop::collection::vec(-2i64..4, 0..4).prop_map(AnyOf::Integers),
    ]
}

fn bound() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        4 => (-4i32..8).prop_map(|halves| Some(f64::from(halves) / 2.0)),
        1 => prop::sample::select(vec![-1e19, 1e19, 9_007_199_254_740_992.0]).prop_map(Some),
    ]
}

/// A random test of one field.
pub(crate) fn test() -> impl Strategy<Value = FieldTest> {
    let plain = prop_oneof![
        text().prop_map(|text| FieldTest::Match(MatchValue::Keyword(text))),
        (-2i64..4).prop_map(|number| FieldTest::Match(MatchValue::Integer(number))),
        any::<bool>().prop_map(|value| FieldTest::Match(MatchValue::Bool(value))),
        list().prop_map(FieldTest::Any),
        list().prop_map(FieldTest::Except),
        (bound(), bound(), bound(), bound()).prop_map(|(gt, gte, lt, lte)| FieldTest::Range {
            gt,
            gte,
            lt,
            lte
        }),
        any::<bool>().prop_map(FieldTest::IsEmpty),
        any::<bool>().prop_map(FieldTest::IsNull),
    ];
    prop_oneof![plain, special_test()]
}

fn condition() -> impl Strategy<Value = Condition> {
    let ids = prop::collection::vec((0u64..40).prop_map(PointId::Number), 0..20);
    let vector = prop::sample::select(VECTORS.to_vec());
    let slice = (1u32..5, any::<u32>());
    let leaf = prop_oneof![
        8 => (path(), test()).prop_map(|(path, test)| Condition::Field { path, test }),
        1 => path().prop_map(Condition::IsEmpty),
        1 => path().prop_map(Condition::IsNull),
        2 => ids.prop_map(Condition::HasId),
        1 => vector.prop_map(|name| Condition::HasVector(name.to_owned())),
        1 => slice.prop_map(|(total, index)| Condition::Slice {
            total,
            index: index % total,
        }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let filter = filter_of(&inner.boxed()).boxed();
        prop_oneof![
            2 => filter.clone().prop_map(|filter| Condition::Filter(Box::new(filter))),
            1 => (path(), filter).prop_map(|(path, filter)| Condition::Nested {
                path,
                filter: Box::new(filter),
            }),
        ]
    })
}

fn filter_of(condition: &BoxedStrategy<Condition>) -> impl Strategy<Value = Filter> + use<> {
    let some = |most| prop::collection::vec(condition.clone(), 0..most);
    let min_should = (prop::collection::vec(condition.clone(), 0..4), 1usize..4).prop_map(
        |(conditions, min_count)| MinShould {
            conditions,
            min_count,
        },
    );
    (
        some(3),
        some(3),
        some(2),
        prop::option::weighted(0.2, min_should),
    )
        .prop_map(|(must, should, must_not, min_should)| Filter {
            must,
            should,
            must_not,
            min_should,
        })
}

/// A random filter.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    filter_of(&condition().boxed())
}
