//! The corners of what filters mean, and the oracle's word on the rest.

use super::*;
use crate::filter::{AnyOf, Condition, FieldPath, FieldTest, Filter, MatchValue, bind, oracle};
use format_spec::schema::Schema;
use format_spec::value::Value;
use proptest::prelude::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn array(items: &[Value]) -> Value {
    Value::Array(items.to_vec())
}

fn object(members: &[(&str, Value)]) -> Value {
    let member = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
    Value::Object(members.iter().map(member).collect())
}

fn check(path: &str, test: FieldTest, payload: &Value) -> bool {
    let path = FieldPath::parse(path).unwrap();
    let filter = Filter {
        must: vec![Condition::Field { path, test }],
        ..Filter::default()
    };
    evaluate(&filter, PointId::Number(0), payload)
}

fn evaluate(filter: &Filter, id: PointId, payload: &Value) -> bool {
    let bound = bind(filter, &Schema::default()).unwrap();
    let bytes = payload.to_bytes();
    let known = Known {
        id: Some(id),
        vectors: &[],
    };
    matches(&bound, known, ValueRef::new(&bytes).unwrap()).unwrap()
}

fn keyword(text: &str) -> FieldTest {
    FieldTest::Match(MatchValue::Keyword(text.to_owned()))
}

fn integer(number: i64) -> FieldTest {
    FieldTest::Match(MatchValue::Integer(number))
}

fn except(list: &[&str]) -> FieldTest {
    FieldTest::Except(AnyOf::Keywords(
        list.iter().map(|text| (*text).to_owned()).collect(),
    ))
}

fn range(gte: f64, lt: f64) -> FieldTest {
    FieldTest::Range {
        gt: None,
        gte: Some(gte),
        lt: Some(lt),
        lte: None,
    }
}

#[test]
fn equality_knows_types_and_looks_into_arrays_one_level() {
    let one = object(&[("a", Value::Int(1))]);
    assert!(check("a", integer(1), &one));
    assert!(!check(
        "a",
        integer(1),
        &object(&[("a", Value::Float(1.0))])
    ));
    assert!(!check(
        "a",
        integer(1),
        &object(&[("a", Value::Bool(true))])
    ));
    assert!(!check("a", integer(1), &object(&[("a", text("1"))])));
    assert!(!check("a", FieldTest::Match(MatchValue::Bool(true)), &one));
    let list = object(&[("a", array(&[text("x"), text("y")]))]);
    assert!(check("a", keyword("y"), &list));
    assert!(check("a[]", keyword("y"), &list));
    assert!(check("a[1]", keyword("y"), &list));
    assert!(!check("a[0]", keyword("y"), &list));
    assert!(!check("a[2]", keyword("y"), &list));
    let nested = object(&[("a", array(&[array(&[text("x")])]))]);
    assert!(!check("a", keyword("x"), &nested));
    assert!(check("a[]", keyword("x"), &nested));
}

#[test]
fn keys_do_not_look_through_arrays_unless_told_to() {
    let inner = object(&[("b", text("x"))]);
    let list = object(&[("a", array(std::slice::from_ref(&inner)))]);
    assert!(!check("a.b", keyword("x"), &list));
    assert!(check("a[].b", keyword("x"), &list));
    let plain = object(&[("a", inner)]);
    assert!(check("a.b", keyword("x"), &plain));
    assert!(!check("a[].b", keyword("x"), &plain));
    let dotted = object(&[("a.b", text("x"))]);
    assert!(!check("a.b", keyword("x"), &dotted));
    assert!(check("\"a.b\"", keyword("x"), &dotted));
}

#[test]
fn except_needs_a_value_that_is_not_null() {
    let holds = |value: Option<Value>| {
        let members: Vec<_> = value.into_iter().map(|value| ("a", value)).collect();
        check("a", except(&["x"]), &object(&members))
    };
    assert!(holds(Some(text("y"))));
    assert!(!holds(Some(text("x"))));
    assert!(holds(Some(array(&[text("x"), text("y")]))));
    assert!(holds(Some(Value::Int(3))));
    assert!(holds(Some(object(&[]))));
    assert!(!holds(Some(Value::Null)));
    assert!(!holds(Some(array(&[Value::Null]))));
    assert!(!holds(Some(array(&[]))));
    assert!(!holds(None));
}

#[test]
fn ranges_take_numbers_only() {
    let holds = |value: Value| check("a", range(1.0, 3.0), &object(&[("a", value)]));
    assert!(holds(Value::Int(1)));
    assert!(holds(Value::Float(2.9)));
    assert!(!holds(Value::Int(3)));
    assert!(!holds(Value::Bool(true)));
    assert!(!holds(text("2")));
    assert!(holds(array(&[text("2"), Value::Int(2)])));
    assert!(!holds(Value::Uint(u64::MAX)));
}

#[test]
fn empty_and_null_are_about_what_is_there() {
    let empty = |path: &str, payload: &Value| check(path, FieldTest::IsEmpty(true), payload);
    let null = |path: &str, payload: &Value| check(path, FieldTest::IsNull(true), payload);
    let payload = object(&[
        ("nothing", Value::Null),
        ("none", array(&[])),
        ("nulls", array(&[Value::Null])),
        ("deep", array(&[array(&[Value::Null])])),
        ("zero", Value::Int(0)),
        ("blank", text("")),
    ]);
    for (path, is_empty, is_null) in [
        ("missing", true, false),
        ("nothing", true, true),
        ("none", true, false),
        ("nulls", false, true),
        ("nulls[]", true, true),
        ("deep", false, false),
        ("deep[]", false, true),
        ("zero", false, false),
        ("blank", false, false),
    ] {
        assert_eq!(empty(path, &payload), is_empty, "{path}");
        assert_eq!(null(path, &payload), is_null, "{path}");
        assert_eq!(
            check(path, FieldTest::IsEmpty(false), &payload),
            !is_empty,
            "{path}"
        );
        assert_eq!(
            check(path, FieldTest::IsNull(false), &payload),
            !is_null,
            "{path}"
        );
    }
}

#[test]
fn an_empty_filter_matches_everything() {
    assert!(evaluate(
        &Filter::default(),
        PointId::Number(7),
        &object(&[])
    ));
    let ids = vec![PointId::Number(7), PointId::Uuid(1)];
    let by_id = Filter {
        must: vec![Condition::HasId(ids)],
        ..Filter::default()
    };
    assert!(evaluate(&by_id, PointId::Number(7), &object(&[])));
    assert!(!evaluate(&by_id, PointId::Number(8), &object(&[])));
}

fn text_of(value: &str) -> Value {
    object(&[("a", text(value))])
}

#[test]
fn texts_are_asked_by_token() {
    let all = |query: &str| FieldTest::Text(query.to_owned());
    let any = |query: &str| FieldTest::TextAny(query.to_owned());
    let phrase = |query: &str| FieldTest::Phrase(query.to_owned());
    let document = "The quick, brown-fox: a QUICK one";
    for (test, value, holds) in [
        (all("Fox quick"), document, true),
        (all("fox quic"), document, false),
        (all("  ,"), document, false),
        (any("dog FOX"), document, true),
        (any("dog"), document, false),
        (any(""), document, false),
        (phrase("quick brown"), document, true),
        (phrase("quick one"), document, true),
        (phrase("quick fox"), document, false),
        (phrase("one the"), document, false),
        (phrase(""), document, false),
        (phrase("x x"), "x", false),
        (phrase("x x y"), "x x x y", true),
    ] {
        let what = format!("{test:?} of {value:?}");
        assert_eq!(check("a", test, &text_of(value)), holds, "{what}");
    }
    assert!(!check("a", all("1"), &object(&[("a", Value::Int(1))])));
    // Each text of an array for itself.
    let list = object(&[("a", array(&[text("quick"), text("fox")]))]);
    assert!(!check("a", all("quick fox"), &list));
    assert!(check("a", any("quick fox"), &list));
}

#[test]
fn parts_of_texts_are_asked_by_byte() {
    let prefix = |part: &str| FieldTest::Prefix(part.to_owned());
    let substring = |part: &str| FieldTest::Substring(part.to_owned());
    let document = text_of("The quick fox");
    assert!(check("a", prefix("The q"), &document));
    assert!(!check("a", prefix("the"), &document));
    assert!(check("a", prefix(""), &text_of("")));
    assert!(check("a", substring("k f"), &document));
    assert!(!check("a", substring("K"), &document));
    let number = object(&[("a", Value::Int(1))]);
    assert!(!check("a", prefix(""), &number));
    assert!(!check("a", substring(""), &number));
}

#[test]
fn dates_are_texts_and_compared_as_moments() {
    let from = |gte: &str, lt: &str| FieldTest::DatetimeRange {
        gt: None,
        gte: index::datetime::parse(gte),
        lt: index::datetime::parse(lt),
        lte: None,
    };
    let holds = |value: Value| {
        check(
            "a",
            from("2024-01-31", "2024-02-01"),
            &object(&[("a", value)]),
        )
    };
    assert!(holds(text("2024-01-31")));
    assert!(holds(text("2024-02-01T00:30:00+01:00")));
    assert!(!holds(text("2024-02-01")));
    assert!(!holds(text("2024-01-32")));
    assert!(!holds(Value::Int(1_706_659_200_000_000)));
    assert!(holds(array(&[text("soon"), text("2024-01-31 12:00")])));
    let none = from("2024-02-01", "2024-01-01");
    assert!(!check("a", none, &text_of("2024-01-15")));
}

#[test]
fn values_are_counted_where_they_are() {
    let counts = |gte: u64, lte: u64| FieldTest::ValuesCount {
        gt: None,
        gte: Some(gte),
        lt: None,
        lte: Some(lte),
    };
    let payload = object(&[
        ("none", array(&[])),
        ("null", Value::Null),
        ("nulls", array(&[Value::Null, Value::Null])),
        ("one", object(&[("b", Value::Int(1))])),
        (
            "lists",
            array(&[array(&[]), array(&[Value::Int(1), Value::Int(2)])]),
        ),
    ]);
    for (path, found) in [
        ("absent", vec![0]),
        ("none", vec![0]),
        ("none[]", vec![0]),
        ("null", vec![0]),
        ("nulls", vec![2]),
        ("nulls[]", vec![0]),
        ("one", vec![1]),
        ("lists", vec![2]),
        ("lists[]", vec![0, 2]),
        ("lists[1]", vec![2]),
    ] {
        for count in 0..4 {
            let holds = check(path, counts(count, count), &payload);
            assert_eq!(holds, found.contains(&count), "{path} {count}");
        }
    }
    // One value must be within both bounds.
    assert!(!check("lists[]", counts(1, 1), &payload));
}

#[test]
fn nested_filters_ask_one_object_at_a_time() {
    let element = |a: i64, b: i64| object(&[("a", Value::Int(a)), ("b", Value::Int(b))]);
    let list = array(&[element(1, 2), element(2, 1), Value::Int(1), Value::Null]);
    let payload = object(&[
        ("list", list.clone()),
        ("lists", array(&[object(&[("list", list)])])),
        ("plain", element(1, 1)),
    ]);
    let equals = |key: &str, number: i64| Condition::Field {
        path: FieldPath::parse(key).unwrap(),
        test: integer(number),
    };
    let holds = |key: &str, filter: Filter| {
        let nested = Condition::Nested {
            path: FieldPath::parse(key).unwrap(),
            filter: Box::new(filter),
        };
        let filter = Filter {
            must: vec![nested],
            ..Filter::default()
        };
        evaluate(&filter, PointId::Number(7), &payload)
    };
    let both = |a, b| Filter {
        must: vec![equals("a", a), equals("b", b)],
        ..Filter::default()
    };
    for path in ["list", "list[]", "lists[].list", "lists[0].list[]"] {
        assert!(holds(path, both(1, 2)), "{path}");
        assert!(!holds(path, both(1, 1)), "{path}");
    }
    for path in ["plain", "absent", "list[0]", "lists[]"] {
        assert!(!holds(path, both(1, 1)), "{path}");
    }
    assert!(holds("list", Filter::default()));
    assert!(!holds("plain", Filter::default()));
    // Numbers and null in the list are passed over, and no object is without an `a`.
    let empty = Filter {
        must: vec![Condition::IsEmpty(FieldPath::parse("a").unwrap())],
        ..Filter::default()
    };
    assert!(!holds("list", empty));
    // An object has no id, no vectors, and is in no slice.
    let slice = Condition::Slice { total: 1, index: 0 };
    let of_points = [
        Condition::HasId(vec![PointId::Number(7)]),
        Condition::HasVector(String::new()),
        slice,
    ];
    for condition in of_points {
        let filter = |must, must_not| Filter {
            must,
            must_not,
            ..Filter::default()
        };
        assert!(!holds("list", filter(vec![condition.clone()], Vec::new())));
        assert!(holds("list", filter(Vec::new(), vec![condition])));
    }
}

#[test]
fn slices_are_disjoint_and_leave_out_no_one() {
    let ids = (0..50)
        .map(PointId::Number)
        .chain((0..50).map(PointId::Uuid));
    for id in ids {
        let within = |index: &u32| {
            let filter = Filter {
                must: vec![Condition::Slice {
                    total: 4,
                    index: *index,
                }],
                ..Filter::default()
            };
            evaluate(&filter, id, &object(&[]))
        };
        assert_eq!((0..4).filter(within).count(), 1, "{id}");
    }
    let beyond = Filter {
        must: vec![Condition::Slice { total: 4, index: 4 }],
        ..Filter::default()
    };
    assert!(bind(&beyond, &Schema::default()).is_err());
}

#[test]
fn nested_filters_count_as_levels() {
    let mut deep = Filter::default();
    for _ in 0..64 {
        deep = Filter {
            must: vec![Condition::Nested {
                path: FieldPath::parse("a").unwrap(),
                filter: Box::new(deep),
            }],
            ..Filter::default()
        };
    }
    assert!(bind(&deep, &Schema::default()).is_err());
}

#[test]
fn filters_that_cannot_be_evaluated_are_refused() {
    let mut deep = Filter::default();
    for _ in 0..64 {
        deep = Filter {
            must: vec![Condition::Filter(Box::new(deep))],
            ..Filter::default()
        };
    }
    assert!(bind(&deep, &Schema::default()).is_err());
    let min_should = crate::filter::MinShould {
        conditions: Vec::new(),
        min_count: 0,
    };
    let none = Filter {
        min_should: Some(min_should),
        ..Filter::default()
    };
    assert!(bind(&none, &Schema::default()).is_err());
}

proptest! {
    #[test]
    fn the_walk_agrees_with_the_oracle(
        filter in oracle::filter(),
        payload in oracle::payload(),
        id in 0u64..40,
    ) {
        let id = PointId::Number(id);
        prop_assert_eq!(
            evaluate(&filter, id, &payload),
            oracle::matches(&filter, id, &[], &payload)
        );
    }
}
