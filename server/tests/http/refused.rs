//! Bad input: clear errors that name the field, before anything is logged, and never a 5xx.

use serde_json::{Value, json};

use crate::harness::{Server, repeated};

/// Method, path below `/collections/c`, body, status, a part of the text.
pub(crate) type Refusal<'a> = (&'a str, &'a str, &'a str, u16, &'a str);

/// Sends all of them; afterwards the collection is what it was, and its log has not grown.
pub(crate) fn all_refused(refusals: &[Refusal<'_>]) {
    let server = Server::new();
    server.fill(2);
    let ingested = server.metric("cairn_ingested_bytes");
    for (method, path, body, status, text) in refusals {
        let path = format!("/collections/c{path}");
        let answer = server.request(method, &path, Some(body));
        let short: String = body.chars().take(200).collect();
        assert_eq!(
            answer.status, *status,
            "{method} {path} {short}: {}",
            answer.text
        );
        let error = answer.error(*status);
        assert!(error.contains(text), "{method} {path} {short}: {error}");
    }
    assert_eq!(server.points_count(), 2);
    let logged = server.metric("cairn_ingested_bytes") - ingested;
    assert!(logged.abs() < 0.5, "{logged} bytes were logged");
}

const QUERY: &str = "/points/query";

#[test]
fn ids_that_are_none() {
    let text = "is not a valid point ID, valid values are either an unsigned integer or a UUID";
    all_refused(&[
        (
            "PUT",
            "/points",
            r#"{"points":[{"id":-1,"vector":[1,1]}]}"#,
            400,
            text,
        ),
        (
            "PUT",
            "/points",
            r#"{"points":[{"id":"seven","vector":[1,1]}]}"#,
            400,
            "points[0].id",
        ),
        (
            "PUT",
            "/points",
            r#"{"points":[{"id":1.5,"vector":[1,1]}]}"#,
            400,
            text,
        ),
        (
            "PUT",
            "/points",
            r#"{"points":[{"id":null,"vector":[1,1]}]}"#,
            400,
            "points[0].id",
        ),
        (
            "PUT",
            "/points",
            r#"{"points":[{"vector":[1,1]}]}"#,
            400,
            "missing field `id`",
        ),
        (
            "POST",
            "/points/delete",
            r#"{"points":["x"]}"#,
            400,
            "points[0]",
        ),
        ("POST", "/points", r#"{"ids":[-5]}"#, 400, "ids[0]"),
        (
            "POST",
            "/points/query",
            r#"{"query":"not an id"}"#,
            400,
            "query",
        ),
        ("POST", "/points/scroll", r#"{"offset":-1}"#, 400, "offset"),
    ]);
    let server = Server::new();
    server.make();
    let error = server.get("/collections/c/points/seven").error(400);
    assert_eq!(
        error,
        "Wrong input: Can not recognize \"seven\" as point id"
    );
}

#[test]
fn ids_and_bodies_are_told_as_they_were_written() {
    all_refused(&[
        (
            "PUT",
            "/points",
            r#"{"points":[{"id":18446744073709551616,"vector":[1,1]}]}"#,
            400,
            "points[0].id: value 18446744073709551616 is not a valid point ID",
        ),
        (
            "POST",
            QUERY,
            r#"{"query":18446744073709551617}"#,
            400,
            "query: value 18446744073709551617 is not",
        ),
        (
            "PUT",
            "/points",
            "[]",
            400,
            "invalid type: sequence, expected an object with `points` or `batch` \
             at line 1 column 1",
        ),
    ]);
}

#[test]
fn bodies_that_are_not_json() {
    all_refused(&[
        (
            "PUT",
            "/points",
            "{\"points\": [\n{\"id\": 1,}]}",
            400,
            "trailing comma at line 2 column",
        ),
        (
            "PUT",
            "/points",
            "",
            400,
            "Format error in JSON body: EOF while parsing",
        ),
        (
            "PUT",
            "/points",
            "{\"points\": []",
            400,
            "EOF while parsing",
        ),
        ("PUT", "/points", "{}", 400, "missing field `points`"),
        (
            "PUT",
            "/points",
            "{\"points\": []} {}",
            400,
            "trailing characters at line 1",
        ),
        (
            "POST",
            "/points/query",
            "{\"limit\": }",
            400,
            "line 1 column 11",
        ),
        (
            "POST",
            "/points/query",
            "{\"limit\": \"ten\"}",
            400,
            "limit: invalid type",
        ),
        (
            "POST",
            "/points/count",
            "{\"exact\": 1}",
            400,
            "exact: invalid type",
        ),
        (
            "POST",
            "/points/batch",
            "{\"operations\": [{\"delete\": 7}]}",
            400,
            "operations[0]",
        ),
        (
            "PATCH",
            "",
            "{\"optimizers_config\": []}",
            400,
            "optimizers_config",
        ),
        ("PUT", "/index", "{\"field_name\": 1}", 400, "field_name"),
    ]);
}

#[test]
fn a_body_of_the_wrong_kind_is_told_in_words_of_the_api() {
    let server = Server::new();
    server.make();
    for (method, path) in [
        ("PUT", "/collections/d"),
        ("PATCH", "/collections/c"),
        ("PUT", "/collections/c/index"),
        ("PUT", "/collections/c/points"),
        ("POST", "/collections/c/points"),
        ("POST", "/collections/c/points/delete"),
        ("PUT", "/collections/c/points/vectors"),
        ("POST", "/collections/c/points/vectors/delete"),
        ("POST", "/collections/c/points/payload"),
        ("POST", "/collections/c/points/payload/delete"),
        ("POST", "/collections/c/points/batch"),
        ("POST", "/collections/c/points/scroll"),
        ("POST", "/collections/c/points/count"),
        ("POST", "/collections/c/points/query"),
        ("POST", "/collections/c/points/query/batch"),
        ("POST", "/collections/c/points/search"),
    ] {
        for body in ["7", "\"x\"", "[]", "null", "true"] {
            let answer = server.request(method, path, Some(body));
            if answer.status == 200 {
                continue;
            }
            let error = answer.error(400);
            assert!(
                !error.contains("struct "),
                "{method} {path} {body}: {error}"
            );
            assert!(
                !error.contains("column 0"),
                "{method} {path} {body}: {error}"
            );
        }
    }
}

#[test]
fn limits_and_timeouts_out_of_bounds() {
    let zero = "limit: value 0 invalid, must be 1 or larger";
    let whole = "Validation error in JSON body: \
                 [internal.limit: value 0 invalid, must be 1 or larger]";
    let most = "limit: value 9223372036854775808 invalid, must be from 1 to";
    let far = r#"{"vector":[1,1],"limit":9223372036854775808}"#;
    let none = r#"{"vector":[1,1],"limit":0}"#;
    let second = r#"{"searches":[{"limit":1},{"limit":0}]}"#;
    let soon = "Validation error in query parameters: \
                [timeout: value 0 invalid, must be 1 or larger]";
    all_refused(&[
        ("POST", QUERY, none, 422, whole),
        ("POST", QUERY, far, 422, most),
        ("POST", QUERY, r#"{"limit":1e30}"#, 400, "limit"),
        ("POST", QUERY, r#"{"limit":-1}"#, 400, "limit"),
        (
            "POST",
            QUERY,
            r#"{"offset":9223372036854775808}"#,
            422,
            "internal.offset",
        ),
        (
            "POST",
            QUERY,
            r#"{"params":{"hnsw_ef":0}}"#,
            422,
            "hnsw_ef: value 0",
        ),
        (
            "POST",
            "/points/query/batch",
            second,
            422,
            "searches[1].internal.limit",
        ),
        ("POST", "/points/search", none, 422, zero),
        ("POST", "/points/search", far, 422, most),
        ("POST", "/points/scroll", none, 422, zero),
        ("POST", "/points/scroll", far, 422, most),
        ("POST", "/points/count?timeout=0", "{}", 422, soon),
        ("POST", "/points/count?timeout=soon", "{}", 400, "timeout"),
        (
            "POST",
            "/points/count?consistency=some",
            "{}",
            400,
            "consistency",
        ),
        (
            "PUT",
            "/points?wait=perhaps",
            r#"{"points":[]}"#,
            400,
            "wait",
        ),
        (
            "PUT",
            "/points?ordering=any",
            r#"{"points":[]}"#,
            400,
            "ordering",
        ),
    ]);
}

#[test]
fn collections_that_are_not_there() {
    let server = Server::new();
    for (method, path, body) in [
        ("GET", "", None),
        ("PATCH", "", Some("{}")),
        ("GET", "/optimizations", None),
        ("PUT", "/points", Some(r#"{"points":[]}"#)),
        ("POST", "/points", Some(r#"{"ids":[]}"#)),
        ("GET", "/points/1", None),
        ("POST", "/points/delete", Some(r#"{"points":[1]}"#)),
        ("POST", "/points/scroll", Some("{}")),
        ("POST", "/points/count", Some("{}")),
        ("POST", "/points/query", Some("{}")),
        ("POST", "/points/query/batch", Some(r#"{"searches":[]}"#)),
        (
            "POST",
            "/points/search",
            Some(r#"{"vector":[1],"limit":1}"#),
        ),
        ("POST", "/points/batch", Some(r#"{"operations":[]}"#)),
        (
            "PUT",
            "/index",
            Some(r#"{"field_name":"a","field_schema":"bool"}"#),
        ),
        ("DELETE", "/index/a", None),
        ("POST", "/optimizations/run", Some("{}")),
    ] {
        let answer = server.request(method, &format!("/collections/nope{path}"), body);
        let error = answer.error(404);
        assert_eq!(
            error, "Not found: Collection `nope` doesn't exist!",
            "{method} {path}"
        );
    }
}

#[test]
fn collections_that_cannot_be() {
    let server = Server::new();
    let size = "[vectors.size: value 0 invalid, must be from 1 to 65536]";
    let multi =
        json!({"size": 4, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}});
    for (body, status, text) in [
        (
            json!({"vectors": {"size": 0, "distance": "Dot"}}),
            422,
            size,
        ),
        (
            json!({"vectors": {"size": 4, "distance": "Hamming"}}),
            400,
            "vectors",
        ),
        (json!({"vectors": {"size": 4}}), 400, "distance"),
        (json!({"vectors": multi}), 501, "multivector_config"),
        (json!({"sparse_vectors": {"s": {}}}), 501, "sparse_vectors"),
        (
            json!({"strict_mode_config": {"enabled": true}}),
            501,
            "strict_mode_config",
        ),
        (
            json!({"hnsw_config": {"ef_construct": 1}}),
            422,
            "hnsw_config.ef_construct",
        ),
        (Value::Null, 400, "invalid type: null"),
    ] {
        let error = server.put("/collections/c", &body).error(status);
        assert!(error.contains(text), "{error}");
    }
    for name in ["a:b", "%2e%2e", "a%00b", "a%2Fb", &repeated("n", 256)] {
        let error = server
            .put(&format!("/collections/{name}"), &json!({}))
            .error(422);
        assert!(
            error.starts_with("Validation error in path parameters: [name"),
            "{error}"
        );
    }
    assert_eq!(
        server.get("/collections").result()["collections"],
        json!([])
    );
}
