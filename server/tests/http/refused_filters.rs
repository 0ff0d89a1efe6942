//! Filters and paths that are refused.

use serde_json::{Value, json};

use crate::harness::{Server, repeated};
use crate::refused::{Refusal, all_refused};

#[test]
fn filters_that_cannot_be() {
    const COUNT: &str = "/points/count";
    const DELETE: &str = "/points/delete";
    let absent = "ids or filter must be provided";
    let date = r#"{"filter":{"must":[{"key":"a","range":{"gt":"soon"}}]}}"#;
    let slice = r#"{"filter":{"must":[{"slice":{"total":2,"index":2}}]}}"#;
    all_refused(&[
        ("POST", COUNT, r#"{"filter":{"musst":[]}}"#, 400, "musst"),
        (
            "POST",
            COUNT,
            r#"{"filter":"x"}"#,
            400,
            "filter: invalid type: string \"x\", expected a filter: an object with `must`",
        ),
        (
            "POST",
            COUNT,
            r#"{"filter":{"must":[{"key":"a"}]}}"#,
            422,
            "filter.must[0]",
        ),
        (
            "POST",
            COUNT,
            r#"{"filter":{"must":[{"key":"a","match":{}}]}}"#,
            400,
            "must[0].match",
        ),
        (
            "POST",
            COUNT,
            r#"{"filter":{"must":[{"key":"a[","is_null":true}]}}"#,
            400,
            "must[0]",
        ),
        ("POST", COUNT, date, 400, "must[0].range.gt: 'soon'"),
        ("POST", DELETE, slice, 422, "must[0].slice.index: value 2"),
        (
            "POST",
            DELETE,
            r#"{"filter":{"must":[{"has_id":["x"]}]}}"#,
            400,
            "must[0].has_id[0]",
        ),
        ("POST", DELETE, "{}", 400, absent),
        (
            "POST",
            "/points/payload",
            r#"{"payload":{"a":1}}"#,
            400,
            absent,
        ),
        (
            "POST",
            "/points/payload",
            r#"{"payload":[],"points":[1]}"#,
            400,
            "payload",
        ),
        (
            "POST",
            "/points/payload/delete",
            r#"{"keys":["a["],"points":[1]}"#,
            400,
            "keys",
        ),
    ]);
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let lists = |depth: usize| {
        let open = repeated(r#"{"must":["#, depth);
        format!("{{\"filter\":{open}{}}}", repeated("]}", depth))
    };
    let objects = |depth: usize| {
        let open = repeated(r#"{"must":"#, depth);
        format!("{{\"filter\":{open}{{}}{}}}", repeated("}", depth))
    };
    let (shallow, deep, deeper) = (objects(65), lists(10_000), objects(10_000));
    let mut refusals = vec![(
        "POST",
        "/points/count",
        shallow.as_str(),
        400,
        "deeper than 64",
    )];
    for path in [
        "/points/count",
        "/points/query",
        "/points/scroll",
        "/points/delete",
    ] {
        for body in [&deep, &deeper] {
            refusals.push((
                "POST",
                path,
                body,
                400,
                "recursion limit exceeded at line 1",
            ));
        }
    }
    all_refused(&refusals);

    let server = Server::new();
    server.make();
    let deep = format!("{}{}", repeated("[", 100_000), repeated("]", 100_000));
    let body = format!(r#"{{"points":[{{"id":1,"vector":[1,1],"payload":{{"a":{deep}}}}}]}}"#);
    let error = server
        .request("PUT", "/collections/c/points", Some(&body))
        .error(400);
    assert!(error.contains("recursion limit"), "{error}");
    let ignored = format!(r#"{{"unknown":{deep},"points":[]}}"#);
    let answer = server.request("PUT", "/collections/c/points", Some(&ignored));
    assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
}

#[test]
fn paths_that_are_too_long() {
    let (fits, long) = (repeated("k", 512), repeated("k", 513));
    let bodies = |key: &str| {
        let point = json!({"key": key, "is_null": true});
        [
            (
                "PUT",
                "/index?wait=true",
                json!({"field_name": key, "field_schema": "keyword"}),
                "field_name",
            ),
            (
                "POST",
                "/points/count",
                json!({"filter": {"must": [point]}}),
                "filter.must[0].key",
            ),
            (
                "POST",
                "/points/count",
                json!({"filter": {"must": {"is_empty": {"key": key}}}}),
                "filter.must[0]",
            ),
            (
                "POST",
                "/points/count",
                json!({"filter": {"must": {"nested": {"key": key, "filter": {}}}}}),
                "key",
            ),
            (
                "POST",
                "/points/scroll",
                json!({"order_by": key}),
                "order_by.key",
            ),
            (
                "POST",
                "/points/query/groups",
                json!({"query": [1, 1], "group_by": key}),
                "group_by",
            ),
            ("POST", "/facet", json!({"key": key}), "key"),
        ]
    };
    let (server, refused) = (Server::new(), bodies(&long));
    let refused: Vec<_> = refused
        .iter()
        .map(|(method, path, body, field)| {
            let text = format!("{field}: the path has 513 bytes, and at most 512 are allowed");
            (*method, *path, body.to_string(), text)
        })
        .collect();
    let refusals: Vec<Refusal<'_>> = refused
        .iter()
        .map(|(method, path, body, text)| (*method, *path, &**body, 422, &**text))
        .collect();
    all_refused(&refusals);
    server.fill(2);
    for (method, path, body, field) in bodies(&fits) {
        if field != "order_by.key" {
            let answer = server.request(
                method,
                &format!("/collections/c{path}"),
                Some(&body.to_string()),
            );
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
    }
    // What is in a payload can be read and taken away all the same.
    let of_payload = json!({"keys": [long], "points": [1]}).to_string();
    let path = "/collections/c/points/payload/delete?wait=true";
    assert_eq!(server.request("POST", path, Some(&of_payload)).status, 200);
}

/// Patterns are texts like any other, and what nothing can match is no mistake: the same with an
/// index and without.
#[test]
fn what_looks_like_a_pattern_is_text_and_what_nothing_matches_is_empty() {
    let server = Server::new();
    server.put("/collections/c", &json!({})).result();
    let texts = ["a.*b", "[a-", "(", "axxb", "%a_", "\\d+"];
    let points: Vec<Value> = (1..)
        .zip(texts)
        .map(|(id, text)| json!({"id": id, "vector": {}, "payload": {"t": text, "n": id}}))
        .collect();
    let body = json!({ "points": points });
    server
        .put("/collections/c/points?wait=true", &body)
        .result();
    let cases = [
        (json!({"key": "t", "match": {"value": ".*"}}), 0),
        (json!({"key": "t", "match": {"value": "a.*b"}}), 1),
        (json!({"key": "t", "match": {"prefix": "a."}}), 1),
        (json!({"key": "t", "match": {"prefix": "a"}}), 2),
        (json!({"key": "t", "match": {"substring": ".*"}}), 1),
        (json!({"key": "t", "match": {"substring": "[a-"}}), 1),
        (json!({"key": "t", "match": {"substring": "("}}), 1),
        (json!({"key": "t", "match": {"substring": "\\d"}}), 1),
        (json!({"key": "t", "match": {"any": []}}), 0),
        (json!({"key": "t", "range": {"gte": 0}}), 0),
        (json!({"key": "n", "range": {"gt": 5, "lt": 1}}), 0),
        (json!({"key": "n", "match": {"value": "1"}}), 0),
        (json!({"key": "n", "match": {"any": []}}), 0),
    ];
    let count = |condition: &Value| {
        let body = json!({"filter": {"must": [condition]}, "exact": true});
        let counted = server.post("/collections/c/points/count", &body).result();
        counted["count"].as_u64().unwrap()
    };
    let all_counted = |how: &str| {
        for (condition, want) in &cases {
            assert_eq!(count(condition), *want, "{how}: {condition}");
        }
    };
    all_counted("without an index");
    for (field, schema) in [("t", "keyword"), ("n", "integer")] {
        let index = json!({"field_name": field, "field_schema": schema});
        let path = "/collections/c/index?wait=true";
        server.put(path, &index).result();
    }
    all_counted("with an index");
}
