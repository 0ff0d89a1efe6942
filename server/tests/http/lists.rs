//! Listings by a field, facets, groups with lookup, distance matrices, selectors.

use serde_json::{Value, json};

use crate::harness::{Server, ids};

const SCROLL: &str = "/collections/c/points/scroll";

fn index(server: &Server, field: &str, schema: &Value) {
    let body = json!({"field_name": field, "field_schema": schema});
    let result = server.put("/collections/c/index?wait=true", &body).result();
    assert_eq!(result["status"], "completed");
}

/// Points 1 to `count`, in twos with equal `f`, and every third with two values of `m`.
fn listed(count: u64) -> Server {
    let server = Server::new();
    server.make();
    let point = |n: u64| {
        let m = if n.is_multiple_of(3) {
            json!([n, -1])
        } else {
            json!(n)
        };
        let payload =
            json!({"n": n, "f": (n / 2) as f64 / 4.0, "m": m, "k": format!("k{}", n % 4)});
        json!({"id": n, "vector": [n, 1], "payload": payload})
    };
    let points: Vec<Value> = (1..=count).map(point).collect();
    let path = "/collections/c/points?wait=true";
    server.put(path, &json!({"points": points})).result();
    for (field, schema) in [
        ("n", "integer"),
        ("f", "float"),
        ("m", "integer"),
        ("k", "keyword"),
    ] {
        index(&server, field, &json!(schema));
    }
    server
}

#[test]
fn a_scroll_by_a_field_goes_on_where_its_answer_says() {
    let server = listed(21);
    let page = server
        .post(SCROLL, &json!({"order_by": "f", "limit": 4}))
        .result();
    assert_eq!(ids(&page["points"]), [1, 2, 3, 4]);
    assert_eq!(page["points"][1]["order_value"], json!(0.25));
    assert_eq!(page["next_page_offset"], Value::Null);
    for direction in ["asc", "desc"] {
        let mut seen = Vec::new();
        let mut order_by = json!({"key": "f", "direction": direction});
        while !order_by.is_null() {
            let body = json!({"order_by": order_by, "limit": 3, "with_payload": ["n"]});
            let page = server.post(SCROLL, &body).result();
            seen.extend(ids(&page["points"]));
            order_by = page["cairn"]["next_order_by"].clone();
        }
        let by_value = |id: &u64| id / 2;
        assert_eq!(seen.len(), 21);
        if direction == "asc" {
            assert!(seen.is_sorted());
        } else {
            assert!(seen.is_sorted_by_key(|id| std::cmp::Reverse(by_value(id))));
            assert_eq!(seen[..3], [20, 21, 18]);
        }
    }
    let body = json!({"order_by": {"key": "m"}, "limit": 9});
    let page = server.post(SCROLL, &body).result();
    assert_eq!(ids(&page["points"]), [3, 6, 9, 12, 15, 18, 21, 1, 2]);
    assert_eq!(page["points"][0]["order_value"], -1);
    let order_by = json!({"key": "m", "direction": "desc", "start_from": 3.5});
    let body = json!({"order_by": order_by, "limit": 100});
    let page = server.post(SCROLL, &body).result();
    assert_eq!(ids(&page["points"]), [3, 2, 1, 3, 6, 9, 12, 15, 18, 21]);
    assert!(page.get("cairn").is_none());

    let query = json!({"query": {"order_by": {"key": "n", "direction": "desc"}}, "limit": 2,
        "offset": 1});
    let hits = server.post("/collections/c/points/query", &query).result()["points"].clone();
    assert_eq!(ids(&hits), [20, 19]);
    assert_eq!(hits[0]["order_value"], 20);
    assert_eq!(
        (&hits[0]["score"], &hits[0]["version"]),
        (&json!(1.0), &json!(0))
    );
}

#[test]
fn order_by_is_refused_where_it_makes_no_sense() {
    let server = listed(3);
    index(
        &server,
        "n",
        &json!({"type": "integer", "lookup": true, "range": false}),
    );
    for (body, status, text) in [
        (
            json!({"order_by": "k"}),
            400,
            "Wrong input: No range index for `order_by` key: `k`. Please create one to use \
             `order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index \
             to see which payload schemas support Range conditions",
        ),
        (
            json!({"order_by": "n"}),
            400,
            "No range index for `order_by` key: `n`",
        ),
        (json!({"order_by": "absent"}), 400, "No range index"),
        (
            json!({"order_by": "f", "offset": 1}),
            400,
            "Wrong input: Cannot use an `offset` when using `order_by`.",
        ),
        (
            json!({"order_by": {"key": "f", "direction": "up"}}),
            400,
            "direction",
        ),
        (
            json!({"order_by": {"key": "f", "after_id": 1}}),
            400,
            "start_from",
        ),
        (
            json!({"order_by": "f", "limit": 0}),
            422,
            "limit: value 0 invalid",
        ),
    ] {
        let error = server.post(SCROLL, &body).error(status);
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn facets_count_the_values_of_an_indexed_field() {
    let server = listed(21);
    let facet = |body: Value| server.post("/collections/c/facet", &body);
    let hits = facet(json!({"key": "k"})).result()["hits"].clone();
    let expected = json!([
        {"value": "k1", "count": 6}, {"value": "k0", "count": 5},
        {"value": "k2", "count": 5}, {"value": "k3", "count": 5},
    ]);
    assert_eq!(hits, expected);
    let filter = json!({"must": {"key": "n", "range": {"lte": 6}}});
    let body = json!({"key": "m", "filter": filter, "limit": 2, "exact": true});
    let hits = facet(body).result()["hits"].clone();
    assert_eq!(
        hits,
        json!([{"value": -1, "count": 2}, {"value": 1, "count": 1}])
    );
    let error = facet(json!({"key": "f"})).error(400);
    let text = "Wrong input: No appropriate index for faceting: `f`. Please create one to facet \
        on this field. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index \
        to see which payload schemas support Match conditions";
    assert_eq!(error, text);
    let error = facet(json!({"key": "k", "limit": 0})).error(422);
    assert!(
        error.contains("limit: value 0 invalid, must be 1 or larger"),
        "{error}"
    );
}

#[test]
fn groups_carry_their_best_points_and_what_they_are_named_after() {
    let server = listed(21);
    let body = json!({"vectors": {"size": 2, "distance": "Dot"}});
    server.put("/collections/other", &body).result();
    let other = json!({"points": [
        {"id": 5, "vector": [1, 2], "payload": {"a": 1, "b": 2}},
        {"id": 21, "vector": [3, 4]},
    ]});
    server
        .put("/collections/other/points?wait=true", &other)
        .result();

    let groups = |path: &str, body: &Value| {
        server
            .post(&format!("/collections/c/points/{path}"), body)
            .result()["groups"]
            .clone()
    };
    let body = json!({"query": [1, 0], "group_by": "k", "limit": 2, "group_size": 2,
        "with_payload": ["k"]});
    let found = groups("query/groups", &body);
    assert_eq!(found[0]["id"], "k1");
    assert_eq!(ids(&found[0]["hits"]), [21, 17]);
    assert_eq!(found[0]["hits"][0]["payload"], json!({"k": "k1"}));
    assert_eq!(found[0]["hits"][0]["score"], 21.0);
    assert!(found[0].get("lookup").is_none());
    assert_eq!(
        (found[1]["id"].as_str(), found.as_array().unwrap().len()),
        (Some("k0"), 2)
    );

    let lookup = json!({"collection": "other", "with_payload": ["a"], "with_vectors": true});
    let body = json!({"group_by": "m", "limit": 6, "group_size": 1, "with_lookup": lookup});
    let found = groups("query/groups", &body);
    // In id order: 1, 2, then 3 with two values, the lesser first.
    let keys: Vec<i64> = (0..6).map(|at| found[at]["id"].as_i64().unwrap()).collect();
    assert_eq!(keys, [1, 2, -1, 3, 4, 5]);
    assert_eq!(found[5]["lookup"]["payload"], json!({"a": 1}));
    assert_eq!(found[5]["lookup"]["vector"], json!([1.0, 2.0]));
    assert!(found[0].get("lookup").is_none());

    let body = json!({"vector": [1, 0], "group_by": "m", "limit": 2, "group_size": 3,
        "with_lookup": "other", "score_threshold": 15.5});
    let found = groups("search/groups", &body);
    assert_eq!(found[0]["id"], -1);
    assert_eq!(ids(&found[0]["hits"]), [21, 18]);
    assert_eq!(found[1]["lookup"], json!({"id": 21, "payload": {}}));

    let path = "/collections/c/points/query/groups";
    let body = json!({"group_by": "k", "with_lookup": "nowhere"});
    let error = server.post(path, &body).error(404);
    assert_eq!(error, "Not found: Collection nowhere not found");
    let error = server
        .post(path, &json!({"group_by": "k", "group_size": 0}))
        .error(422);
    assert!(error.contains("group_size: value 0 invalid"), "{error}");
}

#[test]
fn the_largest_limits_are_only_limits() {
    let server = listed(9);
    let most = u32::MAX;
    let groups = json!({"query": [1, 0], "group_by": "k", "limit": most, "group_size": most});
    let groups = server
        .post("/collections/c/points/query/groups", &groups)
        .result();
    assert_eq!(groups["groups"].as_array().unwrap().len(), 4);
    let facet = json!({"key": "k", "limit": most});
    let facet = server.post("/collections/c/facet", &facet).result();
    assert_eq!(facet["hits"].as_array().unwrap().len(), 4);
    let page = server
        .post(SCROLL, &json!({"order_by": "n", "limit": most}))
        .result();
    assert_eq!(ids(&page["points"]).len(), 9);
    let sample = json!({"query": {"sample": "random"}, "limit": most});
    let sample = server.post("/collections/c/points/query", &sample).result();
    assert_eq!(ids(&sample["points"]).len(), 9);
    let matrix = json!({"sample": most, "limit": most});
    let matrix = server
        .post("/collections/c/points/search/matrix/pairs", &matrix)
        .result();
    assert_eq!(matrix["pairs"].as_array().unwrap().len(), 72);
}

#[test]
fn samples_are_drawn_and_compared() {
    let server = listed(21);
    let query = json!({"query": {"sample": "random"}, "limit": 5});
    let drawn = server.post("/collections/c/points/query", &query).result()["points"].clone();
    let mut drawn = ids(&drawn);
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 5);

    let body = json!({"sample": 21, "limit": 2});
    let path = "/collections/c/points/search/matrix";
    let pairs = server.post(&format!("{path}/pairs"), &body).result()["pairs"].clone();
    assert_eq!(pairs.as_array().unwrap().len(), 42);
    assert_eq!(pairs[0], json!({"a": 1, "b": 21, "score": 22.0}));
    let offsets = server.post(&format!("{path}/offsets"), &body).result();
    assert_eq!(ids(&json!([{"id": offsets["ids"][20]}])), [21]);
    assert_eq!(offsets["offsets_row"].as_array().unwrap().len(), 42);
    assert_eq!(
        (&offsets["offsets_col"][0], &offsets["scores"][0]),
        (&json!(20), &json!(22.0))
    );
    let none = json!({"filter": {"must": {"has_id": [1]}}});
    let offsets = server.post(&format!("{path}/offsets"), &none).result();
    assert_eq!(offsets["ids"], json!([]));
    let error = server
        .post(&format!("{path}/pairs"), &json!({"sample": 1}))
        .error(422);
    assert!(
        error.contains("sample: value 1 invalid, must be 2 or larger"),
        "{error}"
    );
    let error = server
        .post(&format!("{path}/pairs"), &json!({"using": "x"}))
        .error(400);
    assert!(
        error.contains("Not existing vector name error: x"),
        "{error}"
    );
}

/// Every route that returns payloads, with a request whose first result is point 1, and where in
/// the answer that is.
fn routes() -> Vec<(&'static str, Value, &'static str)> {
    let groups = json!({"vector": [-1, 0], "group_by": "n", "limit": 1, "group_size": 1});
    vec![
        ("points", json!({"ids": [1]}), "/0"),
        ("points/scroll", json!({"limit": 1}), "/points/0"),
        (
            "points/scroll",
            json!({"limit": 1, "order_by": "n"}),
            "/points/0",
        ),
        ("points/query", json!({"limit": 1}), "/points/0"),
        (
            "points/query",
            json!({"query": [-1, 0], "limit": 1}),
            "/points/0",
        ),
        (
            "points/query",
            json!({"query": {"order_by": "n"}, "limit": 1}),
            "/points/0",
        ),
        ("points/query/batch", json!({"limit": 1}), "/0/points/0"),
        (
            "points/query/groups",
            json!({"group_by": "n", "limit": 1}),
            "/groups/0/hits/0",
        ),
        (
            "points/search",
            json!({"vector": [-1, 0], "limit": 1}),
            "/0",
        ),
        ("points/search/groups", groups, "/groups/0/hits/0"),
    ]
}

#[test]
fn selectors_mean_the_same_on_every_route() {
    let server = listed(4);
    for (path, body, at) in routes() {
        let with = |selector: &Value| {
            let mut body = body.clone();
            body["with_payload"] = selector.clone();
            if path.ends_with("batch") {
                body = json!({"searches": [body]});
            }
            server.post(&format!("/collections/c/{path}"), &body)
        };
        for (selector, payload) in [
            (json!(false), None),
            (json!(["n", "k"]), Some(json!({"n": 1, "k": "k1"}))),
            (json!({"include": ["n"]}), Some(json!({"n": 1}))),
            (json!({"exclude": ["f", "m", "k"]}), Some(json!({"n": 1}))),
        ] {
            let result = with(&selector).result();
            let found = result
                .pointer(at)
                .unwrap_or_else(|| panic!("{path}: {result}"));
            assert_eq!(found.get("payload"), payload.as_ref(), "{path}");
            assert_eq!(found["id"], 1);
        }
        for selector in [
            json!({"includes": ["n"]}),
            json!({}),
            json!("n"),
            json!([1]),
        ] {
            let error = with(&selector).error(400);
            assert!(error.contains("with_payload"), "{path}: {error}");
        }
    }
}
