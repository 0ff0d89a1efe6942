//! Vectors that are refused: of another length, of the wrong kind, or beyond what is there.

use serde_json::json;

use crate::harness::Server;
use crate::refused::{Refusal, all_refused};

const DIMENSION: &str =
    "Wrong input: Vector dimension error: expected dim: 2, got 1 in points[1].vector";
const UNKNOWN: &str = "Wrong input: Not existing vector name error: foo";

/// What stands in the place of the second point's vector.
const VECTORS: &[(&str, u16, &str)] = &[
    ("[1]", 400, DIMENSION),
    ("[]", 422, "points[1].vector: all vectors must be non-empty"),
    ("{\"foo\": [1, 1]}", 400, UNKNOWN),
    ("[1, \"a\"]", 400, "points[1].vector[1]: invalid type"),
    ("[1, null]", 400, "points[1].vector[1]: invalid type"),
    ("null", 400, "points[1].vector: invalid type"),
    (
        "[[1, 1]]",
        501,
        "multivectors, asked for in points[1].vector",
    ),
    (
        "{\"\": {\"indices\": [1], \"values\": [1]}}",
        501,
        "sparse vectors, asked for in",
    ),
    ("{\"text\": \"x\", \"model\": \"y\"}", 501, "inference"),
    ("[NaN, 1]", 400, "line 1 column"),
    ("[Infinity, 1]", 400, "line 1 column"),
    ("[-Infinity, 1]", 400, "line 1 column"),
    ("[1e400, 1]", 400, "line 1 column"),
    (
        "[1, 1e39]",
        400,
        "points[1].vector[1]: number 1e39 is out of the range",
    ),
];

#[test]
fn vectors_that_do_not_fit() {
    let body = |vector: &str| {
        format!(r#"{{"points":[{{"id":8,"vector":[1,1]}},{{"id":9,"vector":{vector}}}]}}"#)
    };
    let bodies: Vec<String> = VECTORS.iter().map(|(vector, ..)| body(vector)).collect();
    let refusals = VECTORS.iter().zip(&bodies);
    let refusals: Vec<Refusal<'_>> = refusals
        .map(|((_, status, text), body)| ("PUT", "/points", body.as_str(), *status, *text))
        .collect();
    all_refused(&refusals);
}

const QUERY: &str = "/points/query";

const QUERIES_AND_UPDATES: &[Refusal<'_>] = &[
    (
        "PUT",
        "/points/vectors",
        r#"{"points":[{"id":1,"vector":[1,2,3]}]}"#,
        400,
        "got 3",
    ),
    (
        "PUT",
        "/points/vectors",
        r#"{"points":[{"id":1,"vector":{}}]}"#,
        422,
        "points[0].vector",
    ),
    (
        "PUT",
        "/points",
        r#"{"batch":{"ids":[1],"vectors":[[1]]}}"#,
        400,
        "batch.vectors[0]",
    ),
    (
        "PUT",
        "/points",
        r#"{"batch":{"ids":[1],"vectors":[]}}"#,
        422,
        "must be equal (1 != 0)",
    ),
    (
        "POST",
        QUERY,
        r#"{"query":[1,2,3]}"#,
        400,
        "expected dim: 2, got 3",
    ),
    (
        "POST",
        QUERY,
        r#"{"query":[1,2],"using":"foo"}"#,
        400,
        UNKNOWN,
    ),
    ("POST", QUERY, r#"{"query":[NaN,1]}"#, 400, "line 1 column"),
    ("POST", QUERY, r#"{"query":[1e39,1]}"#, 400, "query[0]"),
    ("POST", QUERY, r#"{"query":[]}"#, 400, "got 0"),
    (
        "POST",
        "/points/search",
        r#"{"vector":[1],"limit":1}"#,
        400,
        "got 1",
    ),
    (
        "POST",
        "/points/search",
        r#"{"limit":1}"#,
        400,
        "missing field `vector`",
    ),
    (
        "POST",
        "/points/vectors/delete",
        r#"{"points":[1],"vector":["foo"]}"#,
        400,
        UNKNOWN,
    ),
    (
        "POST",
        "/points/vectors/delete",
        r#"{"points":[1],"vector":[]}"#,
        422,
        "vector",
    ),
];

#[test]
fn vectors_of_queries_and_updates_that_do_not_fit() {
    all_refused(QUERIES_AND_UPDATES);
}

#[test]
fn numbers_that_a_datatype_cannot_hold() {
    let server = Server::new();
    let body = json!({"vectors": {
        "u": {"size": 1, "distance": "Dot", "datatype": "uint8"},
        "h": {"size": 1, "distance": "Dot", "datatype": "float16"},
    }});
    server.put("/collections/c", &body).result();
    for (name, value) in [("u", 256), ("u", -1), ("h", 70000)] {
        let body = json!({"points": [{"id": 1, "vector": {name: [value]}}]});
        let error = server.put("/collections/c/points", &body).error(400);
        let place = format!("points[0].vector.{name}[0] is {value}");
        assert!(error.contains(&place), "{error}");
        let body = json!({"batch": {"ids": [1], "vectors": {name: [[value]]}}});
        let error = server.put("/collections/c/points", &body).error(400);
        let place = format!("batch.vectors.{name}[0][0] is {value}");
        assert!(error.contains(&place), "{error}");
    }
}
