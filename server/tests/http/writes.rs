//! Writing points, in every way, and finding them after a restart.

use serde_json::{Value, json};

use crate::harness::{Server, ids};

fn payload(server: &Server, id: u64) -> Value {
    server.get(&format!("/collections/c/points/{id}")).result()["payload"].clone()
}

#[test]
fn a_write_is_acknowledged_or_completed_and_operations_count_up() {
    let server = Server::new();
    server.make();
    let put = |id: u64, query: &str| {
        let body = json!({"points": [{"id": id, "vector": [1, 2]}]});
        server
            .put(&format!("/collections/c/points{query}"), &body)
            .result()
    };
    let first = put(1, "");
    assert_eq!(first["status"], "acknowledged");
    let second = put(2, "?wait=true&timeout=30&ordering=strong");
    assert_eq!(second["status"], "completed");
    assert!(second["operation_id"].as_u64() > first["operation_id"].as_u64());
    assert_eq!(server.points_count(), 2);
}

#[test]
fn points_come_back_as_they_were_written() {
    let server = Server::new();
    let body = json!({"vectors": {
        "": {"size": 2, "distance": "Dot"},
        "h": {"size": 2, "distance": "Euclid", "datatype": "float16"},
        "u": {"size": 2, "distance": "Manhattan", "datatype": "uint8"},
    }});
    server.put("/collections/c", &body).result();
    let payload = json!({
        "z": 1, "a": [1.5, null, true, {"deep": [[]]}], "big": 18_446_744_073_709_551_615_u64,
        "text": "ünï\u{1F980}", "empty": {}
    });
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let points = json!({"points": [
        {"id": 7, "vector": {"": [0.25, -3], "h": [0.5, 2], "u": [0, 255]}, "payload": payload},
        {"id": uuid.replace('-', ""), "vector": [1, 2]},
        {"id": 8, "vector": {}, "payload": null},
    ]});
    server
        .put("/collections/c/points?wait=true", &points)
        .result();
    let server = server.restart();
    let seven = server.get("/collections/c/points/7").result();
    assert_eq!(
        seven["payload"].to_string(),
        payload.to_string(),
        "order of keys included"
    );
    let vectors = json!({"": [0.25, -3.0], "h": [0.5, 2.0], "u": [0.0, 255.0]});
    assert_eq!(seven["vector"], vectors);
    let by_uuid = server
        .get(&format!("/collections/c/points/{uuid}"))
        .result();
    assert_eq!(
        (&by_uuid["id"], &by_uuid["vector"]),
        (&json!(uuid), &json!([1.0, 2.0]))
    );
    let eight = server.get("/collections/c/points/8").result();
    assert_eq!(
        (&eight["payload"], &eight["vector"]),
        (&json!({}), &json!({}))
    );
}

#[test]
fn columns_are_another_way_to_write_points() {
    let server = Server::new();
    server.make();
    let body = json!({"batch": {
        "ids": [1, 2, 3], "vectors": [[1, 1], [2, 1], [3, 1]], "payloads": [{"a": 1}, null, {}]
    }});
    server
        .put("/collections/c/points?wait=true", &body)
        .result();
    let page = server
        .post("/collections/c/points/scroll", &json!({}))
        .result();
    assert_eq!(ids(&page["points"]), [1, 2, 3]);
    assert_eq!(payload(&server, 1), json!({"a": 1}));
    assert_eq!(payload(&server, 2), json!({}));
}

#[test]
fn upserts_can_depend_on_what_is_there() {
    let server = Server::new();
    server.fill(2);
    let put = |id: u64, extra: &Value| {
        let mut body = json!({"points": [{"id": id, "vector": [9, 9], "payload": {"new": true}}]});
        body.as_object_mut()
            .unwrap()
            .append(&mut extra.as_object().unwrap().clone());
        server
            .put("/collections/c/points?wait=true", &body)
            .result();
    };
    put(1, &json!({"update_mode": "insert_only"}));
    assert_eq!(payload(&server, 1)["n"], 1);
    put(3, &json!({"update_mode": "update_only"}));
    assert_eq!(server.points_count(), 2);
    let odd = json!({"must": {"key": "tag", "match": {"value": "odd"}}});
    put(1, &json!({"update_filter": odd}));
    put(2, &json!({"update_filter": odd}));
    assert_eq!(payload(&server, 1), json!({"new": true}));
    assert_eq!(payload(&server, 2)["n"], 2);
}

#[test]
fn deletes_by_ids_and_by_filter() {
    let server = Server::new();
    server.fill(10);
    let by_id = json!({"points": [1, 2, 999]});
    server
        .post("/collections/c/points/delete?wait=true", &by_id)
        .result();
    assert_eq!(server.points_count(), 8);
    let by_filter = json!({"filter": {"must": {"key": "n", "range": {"gte": 9}}}});
    server
        .post("/collections/c/points/delete?wait=true", &by_filter)
        .result();
    let page = server
        .post("/collections/c/points/scroll", &json!({}))
        .result();
    assert_eq!(ids(&page["points"]), [3, 4, 5, 6, 7, 8]);
}

#[test]
fn payload_is_set_overwritten_deleted_and_cleared() {
    let server = Server::new();
    server.fill(4);
    let post = |path: &str, body: Value| {
        let path = format!("/collections/c/points/payload{path}?wait=true");
        assert_eq!(server.post(&path, &body).result()["status"], "completed");
    };
    post("", json!({"payload": {"x": {"y": 1}}, "points": [1]}));
    post("", json!({"payload": {"z": 2}, "points": [1], "key": "x"}));
    assert_eq!(
        payload(&server, 1),
        json!({"n": 1, "tag": "odd", "x": {"y": 1, "z": 2}})
    );
    let even = json!({"must": {"key": "tag", "match": {"value": "even"}}});
    post("", json!({"payload": {"marked": true}, "filter": even}));
    assert_eq!(payload(&server, 2)["marked"], true);
    assert_eq!(payload(&server, 3).get("marked"), None);
    post("/delete", json!({"keys": ["marked", "n"], "filter": even}));
    assert_eq!(payload(&server, 4), json!({"tag": "even"}));
    let body = json!({"payload": {"only": 1}, "points": [3]});
    server
        .put("/collections/c/points/payload?wait=true", &body)
        .result();
    assert_eq!(payload(&server, 3), json!({"only": 1}));
    post("/clear", json!({"points": [3]}));
    assert_eq!(payload(&server, 3), json!({}));
    let error = server
        .post(
            "/collections/c/points/payload?wait=true",
            &json!({"payload": {}, "points": [99]}),
        )
        .error(404);
    assert_eq!(error, "Not found: No point with id 99 found");
}

#[test]
fn vectors_are_updated_and_deleted() {
    let server = Server::new();
    let body = json!({"vectors": {
        "a": {"size": 1, "distance": "Dot"}, "b": {"size": 1, "distance": "Dot"}
    }});
    server.put("/collections/c", &body).result();
    let points =
        json!({"points": [{"id": 1, "vector": {"a": [1], "b": [2]}, "payload": {"k": 1}}]});
    server
        .put("/collections/c/points?wait=true", &points)
        .result();
    let update = json!({"points": [{"id": 1, "vector": {"a": [5]}}]});
    server
        .put("/collections/c/points/vectors?wait=true", &update)
        .result();
    let one = server.get("/collections/c/points/1").result();
    assert_eq!(one["vector"], json!({"a": [5.0], "b": [2.0]}));
    assert_eq!(one["payload"], json!({"k": 1}));
    let delete = json!({"points": [1], "vector": ["b"]});
    server
        .post("/collections/c/points/vectors/delete?wait=true", &delete)
        .result();
    let one = server.get("/collections/c/points/1").result();
    assert_eq!(one["vector"], json!({"a": [5.0]}));
}

#[test]
fn a_batch_is_all_or_nothing_and_its_operations_see_each_other() {
    let server = Server::new();
    server.fill(2);
    let body = json!({"operations": [
        {"upsert": {"points": [{"id": 3, "vector": [3, 1], "payload": {"a": 1}}]}},
        {"set_payload": {"payload": {"b": 2}, "points": [3]}},
        {"delete": {"filter": {"must": {"key": "n", "match": {"value": 1}}}}},
        {"overwrite_payload": {"payload": {"c": 3}, "points": [2]}},
        {"update_vectors": {"points": [{"id": 2, "vector": [7, 7]}]}},
        {"delete_payload": {"keys": ["a"], "points": [3]}},
    ]});
    let result = server
        .post("/collections/c/points/batch?wait=true", &body)
        .result();
    let results = result.as_array().unwrap();
    assert_eq!(results.len(), 6);
    assert!(results.iter().all(|result| result["status"] == "completed"));
    assert_eq!(payload(&server, 3), json!({"b": 2}));
    assert_eq!(payload(&server, 2), json!({"c": 3}));
    assert_eq!(
        server.get("/collections/c/points/2").result()["vector"],
        json!([7.0, 7.0])
    );
    assert_eq!(server.points_count(), 2);
    let body = json!({"operations": [
        {"delete": {"points": [2, 3]}},
        {"clear_payload": {"points": [99]}},
    ]});
    server
        .post("/collections/c/points/batch?wait=true", &body)
        .error(404);
    assert_eq!(
        server.points_count(),
        2,
        "nothing of a refused batch happens"
    );
}
