//! Reading points: retrieve, scroll, count, query, search.

use serde_json::{Value, json};

use crate::harness::{Server, ids};

fn query(server: &Server, body: &Value) -> Value {
    server.post("/collections/c/points/query", body).result()["points"].clone()
}

#[test]
fn retrieve_returns_what_is_there_and_what_was_asked_for() {
    let server = Server::new();
    server.fill(3);
    let get = |body: Value| server.post("/collections/c/points", &body).result();
    let points = get(json!({"ids": [3, 99, 1]}));
    assert_eq!(ids(&points), [3, 1]);
    assert_eq!(points[0]["payload"], json!({"n": 3, "tag": "odd"}));
    assert!(points[0].get("vector").is_none());
    let points = get(json!({"ids": [2], "with_payload": ["tag"], "with_vector": true}));
    assert_eq!(points[0]["payload"], json!({"tag": "even"}));
    assert_eq!(points[0]["vector"], json!([2.0, 1.0]));
    let points = get(json!({"ids": [2], "with_payload": {"exclude": ["tag"]}}));
    assert_eq!(points[0]["payload"], json!({"n": 2}));
    let points = get(json!({"ids": [2], "with_payload": false}));
    assert!(points[0].get("payload").is_none());
    let missing = server.get("/collections/c/points/99").error(404);
    assert_eq!(missing, "Not found: Point with id 99 does not exists!");
}

#[test]
fn scroll_goes_through_all_pages_in_id_order() {
    let server = Server::new();
    server.fill(25);
    let mut seen = Vec::new();
    let mut offset = Value::Null;
    loop {
        let body = json!({"limit": 10, "offset": offset, "with_payload": false});
        let page = server.post("/collections/c/points/scroll", &body).result();
        seen.extend(ids(&page["points"]));
        offset = page["next_page_offset"].clone();
        if offset.is_null() {
            break;
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<u64>>());
    let odd = json!({"filter": {"must": {"key": "tag", "match": {"value": "odd"}}}, "limit": 3});
    let page = server.post("/collections/c/points/scroll", &odd).result();
    assert_eq!(ids(&page["points"]), [1, 3, 5]);
}

#[test]
fn scores_of_the_largest_vectors_are_numbers() {
    for distance in ["Dot", "Euclid", "Manhattan", "Cosine"] {
        let server = Server::new();
        let body = json!({"vectors": {"size": 2, "distance": distance}});
        server.put("/collections/c", &body).result();
        let points = json!({"points": [
            {"id": 1, "vector": [3e38, 3e38]},
            {"id": 2, "vector": [-3e38, -3e38]},
            {"id": 3, "vector": [3e38, -3e38]},
            {"id": 4, "vector": [1, 1]},
        ]});
        let path = "/collections/c/points?wait=true";
        server.put(path, &points).result();
        let found = query(&server, &json!({"query": [3e38, 3e38]}));
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), 4, "{distance}: {found:?}");
        for hit in found {
            assert!(hit["score"].is_number(), "{distance}: {hit}");
        }
    }
}

#[test]
fn query_by_vector_by_id_and_without_either() {
    let server = Server::new();
    server.fill(20);
    let nearest = query(&server, &json!({"query": [1, 0], "limit": 3}));
    assert_eq!(ids(&nearest), [20, 19, 18]);
    assert_eq!(nearest[0]["score"], 20.0);
    assert!(nearest[0]["version"].as_u64().unwrap() > 0);
    assert!(nearest[0].get("payload").is_none());
    let filter = json!({"must_not": {"has_id": [20, 19]}});
    let body = json!({
        "query": {"nearest": [1, 0]}, "filter": filter, "limit": 2, "offset": 1,
        "with_payload": true, "params": {"exact": true, "hnsw_ef": 64},
    });
    let filtered = query(&server, &body);
    assert_eq!(ids(&filtered), [17, 16]);
    assert_eq!(filtered[0]["payload"]["n"], 17);
    let like = query(&server, &json!({"query": 5, "limit": 2}));
    assert_eq!(ids(&like), [20, 19]);
    let all = query(&server, &json!({"limit": 4}));
    assert_eq!(ids(&all), [1, 2, 3, 4]);
    assert_eq!(
        (&all[0]["score"], &all[0]["version"]),
        (&json!(1.0), &json!(0))
    );
    let good = query(&server, &json!({"query": [1, 0], "score_threshold": 19.5}));
    assert_eq!(ids(&good), [20]);
    let missing = server
        .post("/collections/c/points/query", &json!({"query": 99}))
        .error(404);
    assert_eq!(missing, "Not found: No point with id 99 found");
}

#[test]
fn queries_and_searches_come_in_batches() {
    let server = Server::new();
    server.fill(5);
    let body = json!({"searches": [
        {"query": [1, 0], "limit": 1}, {"query": [-1, 0], "limit": 1}
    ]});
    let results = server
        .post("/collections/c/points/query/batch", &body)
        .result();
    assert_eq!(ids(&results[0]["points"]), [5]);
    assert_eq!(ids(&results[1]["points"]), [1]);
    let search = json!({"vector": [1, 0], "limit": 2, "with_vector": true});
    let hits = server
        .post("/collections/c/points/search?consistency=majority", &search)
        .result();
    assert_eq!(ids(&hits), [5, 4]);
    assert_eq!(hits[0]["vector"], json!([5.0, 1.0]));
    let named = json!({"vector": {"name": "", "vector": [1, 0]}, "limit": 1});
    let body = json!({"searches": [search, named]});
    let results = server
        .post("/collections/c/points/search/batch", &body)
        .result();
    assert_eq!(ids(&results[1]), [5]);
}

#[test]
fn count_with_and_without_a_filter() {
    let server = Server::new();
    server.fill(9);
    let count = |body: Value| {
        server.post("/collections/c/points/count", &body).result()["count"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(count(json!({})), 9);
    let odd = json!({"must": {"key": "tag", "match": {"value": "odd"}}});
    assert_eq!(count(json!({"filter": odd, "exact": true})), 5);
    assert_eq!(
        count(json!({"filter": {"should": [odd, {"has_id": [2]}]}})),
        6
    );
}

#[test]
fn a_name_with_a_slash_is_one_name() {
    let server = Server::new();
    server.put("/collections/a%20b", &json!({})).result();
    assert_eq!(
        server.get("/collections/a%20b/exists").result()["exists"],
        true
    );
    let list = server.get("/collections/").result();
    assert_eq!(list["collections"][0]["name"], "a b");
    assert_eq!(
        server.get("/collections/a%2Fb/exists").result()["exists"],
        false
    );
}
