//! Filters in JSON, read and refused.

use query::filter::{AnyOf, FieldTest, GeoPoint, MatchValue};

use super::*;
use crate::wire::json;

fn read(text: &str) -> Result<Filter, ApiError> {
    json::read::<JsonFilter>(text.as_bytes())?.convert("filter")
}

fn field(key: &str, test: FieldTest) -> Condition {
    Condition::Field {
        path: FieldPath::parse(key).unwrap(),
        test,
    }
}

#[test]
fn one_condition_or_a_list_of_them() {
    let one = read(r#"{"must": {"key": "a.b", "match": {"value": "x"}}}"#).unwrap();
    let list = read(r#"{"must": [{"key": "a.b", "match": {"value": "x"}}]}"#).unwrap();
    assert_eq!(one, list);
    let value = MatchValue::Keyword("x".to_owned());
    assert_eq!(one.must, [field("a.b", FieldTest::Match(value))]);
    assert_eq!(read("{}").unwrap(), Filter::default());
    assert_eq!(
        read(r#"{"must": null, "should": []}"#).unwrap(),
        Filter::default()
    );
}

#[test]
fn every_condition_that_is_there_is_read() {
    let filter = read(
        r#"{"should": [
            {"key": "n", "range": {"gte": 1, "lt": 2.5, "gt": null}},
            {"key": "n", "match": {"any": [1, 2]}},
            {"key": "n", "match": {"except": ["a"]}},
            {"key": "n", "is_null": true},
            {"is_empty": {"key": "n"}}, {"is_null": {"key": "n"}},
            {"has_id": [1, "550e8400-e29b-41d4-a716-446655440000"]},
            {"must_not": [{"key": "b", "match": {"value": true}}]}
        ], "min_should": {"conditions": [{"has_id": [1]}], "min_count": 1}}"#,
    )
    .unwrap();
    let range = FieldTest::Range {
        gt: None,
        gte: Some(1.0),
        lt: Some(2.5),
        lte: None,
    };
    assert_eq!(filter.should[0], field("n", range));
    assert_eq!(
        filter.should[1],
        field("n", FieldTest::Any(AnyOf::Integers(vec![1, 2])))
    );
    let except = FieldTest::Except(AnyOf::Keywords(vec!["a".to_owned()]));
    assert_eq!(filter.should[2], field("n", except));
    assert_eq!(filter.should[3], field("n", FieldTest::IsNull(true)));
    assert!(matches!(filter.should[4], Condition::IsEmpty(_)));
    assert!(matches!(filter.should[5], Condition::IsNull(_)));
    assert!(matches!(&filter.should[6], Condition::HasId(ids) if ids.len() == 2));
    assert!(matches!(&filter.should[7], Condition::Filter(inner) if inner.must_not.len() == 1));
    assert_eq!(filter.min_should.unwrap().min_count, 1);
}

/// The one condition of a filter.
fn one(condition: &str) -> Condition {
    let mut filter = read(&format!(r#"{{"must": {condition}}}"#)).unwrap();
    assert_eq!(filter.must.len(), 1, "{condition}");
    filter.must.remove(0)
}

#[test]
fn every_test_of_a_text_is_read() {
    let text = "Red fox".to_owned();
    for (key, test) in [
        ("text", FieldTest::Text(text.clone())),
        ("text_any", FieldTest::TextAny(text.clone())),
        ("phrase", FieldTest::Phrase(text.clone())),
        ("prefix", FieldTest::Prefix(text.clone())),
        ("substring", FieldTest::Substring(text.clone())),
    ] {
        let condition = format!(r#"{{"key": "n", "match": {{"{key}": "Red fox"}}}}"#);
        assert_eq!(one(&condition), field("n", test), "{key}");
    }
    // The first in the order of the API counts.
    let both = one(r#"{"key": "n", "match": {"any": ["x"], "text": "Red fox"}}"#);
    assert_eq!(both, field("n", FieldTest::Text(text)));
}

#[test]
fn dates_in_a_range_make_it_one_of_dates() {
    let range = one(r#"{"key": "n", "range": {"gte": "2024-01-31", "lt": null,
        "lte": "2024-01-31T02:00:00.5+02:00"}}"#);
    let test = FieldTest::DatetimeRange {
        gt: None,
        gte: Some(1_706_659_200_000_000),
        lt: None,
        lte: Some(1_706_659_200_500_000),
    };
    assert_eq!(range, field("n", test));
}

#[test]
fn every_shape_is_read() {
    let at = |lon, lat| GeoPoint { lon, lat };
    let radius = one(
        r#"{"key": "n", "geo_radius": {"center": {"lon": 1, "lat": -2.5},
        "radius": 1000}}"#,
    );
    let test = FieldTest::GeoRadius {
        center: at(1.0, -2.5),
        radius: 1000.0,
    };
    assert_eq!(radius, field("n", test));
    let area = one(
        r#"{"key": "n", "geo_bounding_box": {"top_left": {"lon": 170, "lat": 1},
        "bottom_right": {"lon": -170, "lat": 0}}}"#,
    );
    let test = FieldTest::GeoBox {
        top_left: at(170.0, 1.0),
        bottom_right: at(-170.0, 0.0),
    };
    assert_eq!(area, field("n", test));
    let ring = r#"{"points": [{"lon": 0, "lat": 0}, {"lon": 1, "lat": 0}, {"lon": 0, "lat": 1},
        {"lon": 0, "lat": 0}]}"#;
    let points = vec![at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0), at(0.0, 0.0)];
    for (interiors, holes) in [
        (String::new(), Vec::new()),
        (r#", "interiors": null"#.to_owned(), Vec::new()),
        (format!(r#", "interiors": [{ring}]"#), vec![points.clone()]),
    ] {
        let polygon = one(&format!(
            r#"{{"key": "n", "geo_polygon": {{"exterior": {ring}{interiors}}}}}"#
        ));
        let test = FieldTest::GeoPolygon {
            exterior: points.clone(),
            interiors: holes,
        };
        assert_eq!(polygon, field("n", test));
    }
}

#[test]
fn conditions_beside_those_on_fields_are_read() {
    let count = FieldTest::ValuesCount {
        gt: Some(1),
        gte: None,
        lt: None,
        lte: Some(3),
    };
    let counted = one(r#"{"key": "n", "values_count": {"gt": 1, "lte": 3, "lt": null}}"#);
    assert_eq!(counted, field("n", count));
    assert_eq!(
        one(r#"{"has_vector": ""}"#),
        Condition::HasVector(String::new())
    );
    assert_eq!(
        one(r#"{"slice": {"total": 4294967295, "index": 3}}"#),
        Condition::Slice {
            total: u32::MAX,
            index: 3
        }
    );
    let nested = one(r#"{"nested": {"key": "a[].b", "filter": {"must": {"has_id": [1]}}}}"#);
    let inner = Filter {
        must: vec![Condition::HasId(vec![format_spec::PointId::Number(1)])],
        ..Filter::default()
    };
    assert_eq!(
        nested,
        Condition::Nested {
            path: FieldPath::parse("a[].b").unwrap(),
            filter: Box::new(inner)
        }
    );
}

#[test]
fn of_several_tests_of_a_field_one_must_hold() {
    let both = one(r#"{"key": "n", "match": {"value": 1}, "is_null": true}"#);
    let Condition::Filter(filter) = both else {
        panic!("a filter of two");
    };
    assert_eq!(filter.should.len(), 2);
    let counted = one(r#"{"key": "n", "match": {"value": 1}, "values_count": {"gt": 1}}"#);
    assert!(matches!(
        counted,
        Condition::Field {
            test: FieldTest::ValuesCount { .. },
            ..
        }
    ));
}

/// A condition, the status it is refused with, and a part of the text.
type Refused = (String, u16, &'static str);

fn all_refused(conditions: &[Refused]) {
    for (condition, status, part) in conditions {
        let error = read(&format!(r#"{{"must": [{condition}]}}"#)).unwrap_err();
        assert_eq!(error.status(), *status, "{condition}: {error}");
        assert!(error.message().contains(part), "{condition}: {error}");
        let start = match status {
            422 => "Validation error in JSON body: [",
            _ => "Format error in JSON body: ",
        };
        assert!(error.message().starts_with(start), "{error}");
    }
}

/// A condition on the field `n`.
fn of_n(key: &str, value: &str) -> String {
    format!(r#"{{"key": "n", "{key}": {value}}}"#)
}

#[test]
fn tests_of_a_field_that_make_no_sense_are_refused_by_name() {
    let range = |bounds| of_n("range", bounds);
    all_refused(&[
        (range(r#"{"gt": "soon"}"#), 400, "must[0].range.gt: 'soon'"),
        (
            range(r#"{"gt": "2024-01-01", "lt": 7}"#),
            400,
            "range.lt: 7",
        ),
        (range(r#"{"gt": true}"#), 400, "range.gt"),
        (range(r#"{"gt": [1]}"#), 400, "range.gt"),
        (
            of_n("values_count", r#"{"gt": -1}"#),
            400,
            "values_count.gt",
        ),
        (
            of_n("values_count", r#"{"gt": 1.5}"#),
            400,
            "values_count.gt",
        ),
        (
            of_n("match", "{}"),
            400,
            "filter.must[0].match: expected one of",
        ),
        (of_n("match", r#"{"text": 7}"#), 400, "match.text"),
        (of_n("is_null", r#"{"key": "a"}"#), 400, "boolean"),
    ]);
}

#[test]
fn shapes_that_there_are_not_are_refused_by_name() {
    let (point, beyond) = (r#"{"lon": 0, "lat": 0}"#, r#"{"lon": 0, "lat": 90.5}"#);
    let radius = |center: &str, radius: &str| {
        let value = format!(r#"{{"center": {center}, "radius": {radius}}}"#);
        of_n("geo_radius", &value)
    };
    let area = format!(r#"{{"top_left": {point}, "bottom_right": {{"lon": -181, "lat": 0}}}}"#);
    let triangle = format!(r#"{point}, {{"lon": 1, "lat": 0}}, {{"lon": 0, "lat": 1}}"#);
    let ring = |points: &str| {
        let value = format!(r#"{{"exterior": {{"points": [{points}]}}}}"#);
        of_n("geo_polygon", &value)
    };
    let hole = format!(
        r#"{{"exterior": {{"points": [{triangle}, {point}]}},
            "interiors": [{{"points": [{point}]}}]}}"#
    );
    all_refused(&[
        (radius(beyond, "1"), 400, "filter.must[0].geo_radius.center"),
        (
            radius(point, "-1"),
            422,
            "geo_radius.radius: value -1 invalid",
        ),
        (
            radius(r#"{"lon": "NaN", "lat": 0}"#, "1"),
            400,
            "geo_radius.center.lon",
        ),
        (of_n("geo_radius", "{}"), 400, "center"),
        (
            of_n("geo_bounding_box", &area),
            400,
            "geo_bounding_box.bottom_right",
        ),
        (
            ring(&triangle),
            400,
            "geo_polygon.exterior: polygon invalid, the size",
        ),
        (
            ring(&format!(r#"{triangle}, {{"lon": 1, "lat": 1}}"#)),
            400,
            "geo_polygon.exterior: polygon invalid, the first and the last",
        ),
        (of_n("geo_polygon", &hole), 400, "geo_polygon.interiors[0]"),
        (
            ring(&format!("{triangle}, {beyond}")),
            400,
            "geo_polygon.exterior.points[3]",
        ),
    ]);
}

#[test]
fn conditions_on_points_that_make_no_sense_are_refused_by_name() {
    let slice =
        |total: u32, index: u32| format!(r#"{{"slice": {{"total": {total}, "index": {index}}}}}"#);
    let nested = |key: &str, filter: &str| {
        format!(r#"{{"nested": {{"key": "{key}", "filter": {filter}}}}}"#)
    };
    let empty = r#"{"must": {"key": "b"}}"#;
    all_refused(&[
        (
            slice(0, 0),
            422,
            "slice.total: value 0 invalid, must be 1 or larger",
        ),
        (
            slice(2, 2),
            422,
            "filter.must[0].slice.index: value 2 invalid",
        ),
        (r#"{"slice": {"total": 2}}"#.to_owned(), 400, "index"),
        (
            r#"{"slice": {"total": -2, "index": 0}}"#.to_owned(),
            400,
            "total",
        ),
        (r#"{"has_vector": 7}"#.to_owned(), 400, "has_vector"),
        (r#"{"nested": {"key": "a"}}"#.to_owned(), 400, "filter"),
        (nested("a[", "{}"), 400, "filter.must[0].nested.key"),
        (nested("a", r#"{"most": []}"#), 400, "most"),
        (
            nested("a", empty),
            422,
            "filter.must[0].nested.filter.must[0]",
        ),
    ]);
}

#[test]
fn mistakes_name_their_place() {
    for (text, status, place) in [
        (r#"{"mast": []}"#, 400, "mast"),
        (r#"{"must": [{"must": [], "foo": 1}]}"#, 400, "foo"),
        (r#"{"must": [{"key": "a"}]}"#, 422, "filter.must[0]"),
        (r#"{"must": [{"match": {"value": 1}}]}"#, 400, "must[0]"),
        (
            r#"{"must": [{"key": "a", "match": {"value": 1.5}}]}"#,
            400,
            "filter.must[0].match",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"any": [1, "b"]}}]}"#,
            400,
            "match.any",
        ),
        (
            r#"{"must": [{"key": "a[", "match": {"value": 1}}]}"#,
            400,
            "filter.must[0]",
        ),
        (r#"{"must": 7}"#, 400, "must"),
        (
            r#"{"min_should": {"conditions": [], "min_count": 0}}"#,
            422,
            "min_count",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.status(), status, "{text}: {error}");
        assert!(error.message().contains(place), "{text}: {error}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let nested = |depth: usize| {
        format!(
            "{}{{}}{}",
            r#"{"must":"#.repeat(depth - 1),
            "}".repeat(depth - 1)
        )
    };
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    let error = read(&nested(DEPTH_MAX + 1)).unwrap_err();
    assert!(error.message().contains("deeper than 64"), "{error}");
    let error = read(&nested(10_000)).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.message().contains("recursion limit"), "{error}");
}

#[test]
fn a_filter_has_so_many_conditions_in_all() {
    let one = r#"{"has_id":[1]}"#;
    let list = |count: usize| vec![one; count].join(",");
    // Two lists, one of them a level down, whose filter is a condition as well.
    let filter = |extra: usize| {
        let (half, rest) = (CONDITIONS_MAX / 2, CONDITIONS_MAX / 2 - 1 + extra);
        let (half, rest) = (list(half), list(rest));
        format!(r#"{{"must":[{half}],"should":[{{"must_not":[{rest}]}}]}}"#)
    };
    let whole = read(&filter(0)).unwrap();
    assert_eq!(whole.must.len() + 1, CONDITIONS_MAX / 2 + 1);
    let refused = read(&filter(1)).unwrap_err();
    assert_eq!(refused.status(), 422);
    let said = refused.to_string();
    assert!(
        said.contains("filter: the filter has 32769 conditions"),
        "{said}"
    );
}
