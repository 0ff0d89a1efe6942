//! Explain over HTTP and on the command line, and the issues of a server.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::Server;

const QUERY: &str = "/collections/c/points/query";

/// A collection with a field that has an index and one that has none.
fn filled() -> Server {
    let server = Server::new();
    let vectors = json!({"vectors": {"size": 4, "distance": "Cosine"}});
    server.put("/collections/c", &vectors).result();
    let index = json!({"field_name": "color", "field_schema": "integer"});
    server
        .put("/collections/c/index?wait=true", &index)
        .result();
    let points: Vec<Value> = (0..500)
        .map(|id| {
            let angle = f64::from(id) / 80.0;
            let vector = [angle.cos(), angle.sin(), 0.3, angle.sin() * angle.cos()];
            json!({"id": id, "vector": vector, "payload": {"color": id % 50, "bare": id % 50}})
        })
        .collect();
    let body = json!({ "points": points });
    server
        .put("/collections/c/points?wait=true", &body)
        .result();
    server
}

fn below(field: &str) -> Value {
    json!({
        "query": [1.0, 0.2, 0.1, 0.0],
        "limit": 7,
        "filter": {"must": [{"key": field, "range": {"lt": 10}}]},
    })
}

#[test]
fn a_plan_is_explained_and_tried() {
    let server = filled();
    let explain = format!("{QUERY}/explain");
    let plan = server.post(&explain, &below("color")).result();
    assert_eq!(plan["wanted"], 7);
    assert_eq!(plan["unindexed"], json!([]));
    assert!(plan.get("actual").is_none(), "{plan}");
    let sources = plan["sources"].as_array().unwrap();
    let live: u64 = sources.iter().map(|s| s["live"].as_u64().unwrap()).sum();
    assert_eq!(live, 500);
    for source in sources.iter().filter(|source| source.get("plan").is_some()) {
        let chosen = source["plan"]["path"].as_str().unwrap();
        let costs = source["plan"]["costs_us"].as_object().unwrap();
        let least = costs.values().map(|cost| cost.as_f64().unwrap());
        let least = least.fold(f64::INFINITY, f64::min);
        assert_eq!(costs[chosen], least, "{source}");
        assert!(source.get("actual").is_none());
    }

    let mut asked = below("color");
    asked["analyze"] = json!(true);
    let tried = server.post(&explain, &asked).result();
    assert_eq!(tried["actual"]["hits"], 7);
    // Not every row need be tested for seven of them, unless every one is to be compared.
    asked["params"] = json!({"exact": true});
    let tried = server.post(&explain, &asked).result();
    assert_eq!(tried["actual"]["hits"], 7);
    let of = |name: &str| -> u64 {
        let sources = tried["sources"].as_array().unwrap().iter();
        sources.map(|s| s["actual"][name].as_u64().unwrap()).sum()
    };
    assert_eq!(of("matching"), 100);
    assert!(of("found") >= 7 && of("distances") >= 7, "{tried}");
    assert_eq!(of("cold_reads"), 0);
}

#[test]
fn a_field_without_an_index_is_pointed_out_until_it_has_one() {
    let server = filled();
    let issues = || server.get("/issues").result()["issues"].clone();
    server.post(QUERY, &below("color")).result();
    assert_eq!(issues(), json!([]));
    let plan = server.post(&format!("{QUERY}/explain"), &below("bare"));
    let pointed = &plan.result()["unindexed"];
    assert_eq!(pointed[0]["field"], "bare");
    assert_eq!(pointed[0]["suggested_type"], "float");

    let body = json!({"filter": {"must": [{"key": "bare", "match": {"value": 3}}]}});
    for path in ["points/scroll", "points/count", "points/query"] {
        server.delete("/issues").result();
        assert_eq!(issues(), json!([]));
        server
            .post(&format!("/collections/c/{path}"), &body)
            .result();
        let listed = issues();
        let issue = &listed[0];
        assert_eq!(listed.as_array().unwrap().len(), 1, "{path}: {listed}");
        assert_eq!(issue["id"], "UNINDEXED_FIELD/c/bare");
        assert!(issue["description"].as_str().unwrap().contains("'bare'"));
        assert!(issue["timestamp"].as_str().unwrap().ends_with('Z'));
        let action = &issue["solution"]["immediate"]["action"];
        assert_eq!(action["method"], "PUT");
        assert_eq!(action["uri"], "/collections/c/index");
        assert_eq!(action["body"]["field_name"], "bare");
    }
    // A write by filter reads payloads likewise.
    for (path, with) in [
        ("points/delete", json!({})),
        ("points/payload", json!({"payload": {"seen": true}})),
        ("points/payload/clear", json!({})),
        ("points/vectors/delete", json!({"vector": [""]})),
    ] {
        server.delete("/issues").result();
        let mut write = with;
        write["filter"] = json!({"must": [{"key": "bare", "match": {"value": 70}}]});
        let path = format!("/collections/c/{path}?wait=true");
        server.post(&path, &write).result();
        assert_eq!(issues()[0]["id"], "UNINDEXED_FIELD/c/bare", "{path}");
    }
    // What the issue proposes mends it.
    let listed = issues();
    let action = &listed[0]["solution"]["immediate"]["action"];
    let uri = action["uri"].as_str().unwrap();
    server
        .put(&format!("{uri}?wait=true"), &action["body"])
        .result();
    assert_eq!(issues(), json!([]));
}

#[test]
fn the_parameters_of_other_filters_change_nothing() {
    let server = filled();
    let plain = server.post(QUERY, &below("color")).result();
    for params in [
        json!({"acorn": {"enable": true}}),
        json!({"acorn": {"enable": true, "max_selectivity": 0.4}}),
        json!({"indexed_only": true}),
    ] {
        let mut asked = below("color");
        asked["params"] = params;
        assert_eq!(server.post(QUERY, &asked).result(), plain);
    }
}

#[test]
fn what_cannot_be_explained_says_why() {
    let server = filled();
    let explain = format!("{QUERY}/explain");
    let listing = server.post(&explain, &json!({"limit": 3}));
    assert!(listing.error(400).contains("query"));
    let odd = json!({"query": [1.0, 0.2, 0.1, 0.0], "analyze": "yes"});
    server.post(&explain, &odd).error(400);
    let nowhere = "/collections/none/points/query/explain";
    server.post(nowhere, &below("color")).error(404);
}

#[test]
fn the_command_prints_the_tree() {
    let server = filled();
    let url = format!("http://{}", server.addr());
    let query = below("bare").to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["explain", "--url", &url, "--collection", "c"]);
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let (worked, tree, said) = run(&["--analyze", &query]);
    assert!(worked, "{said}");
    for part in [
        "c: 7 wanted",
        "7 hits in",
        "! bare has no index",
        "plan: ",
        "actual: ",
    ] {
        assert!(tree.contains(part), "{part} is missing in\n{tree}");
    }
    let file = server.directory.path().join("query.json");
    std::fs::write(&file, &query).unwrap();
    let (worked, plan, said) = run(&["--json", "--file", file.to_str().unwrap()]);
    assert!(worked, "{said}");
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["unindexed"][0]["field"], "bare");
    let (worked, _, said) = run(&["[1, 2]"]);
    assert!(!worked && said.contains("not a JSON object"), "{said}");
}
