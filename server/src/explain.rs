//! `cairn explain`: the plan of a query as a tree.

use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::Value;

use crate::client::Client;
use crate::run::Failure;

/// What `cairn explain` is asked.
#[derive(Debug)]
pub struct ExplainOptions {
    /// The server.
    pub url: String,
    /// Its collection.
    pub collection: String,
    /// The query, as `points/query` takes it: JSON, or a file, or `-` for standard input.
    pub query: QuerySource,
    /// Also runs the query.
    pub analyze: bool,
    /// Prints the answer as it came.
    pub json: bool,
}

/// Where a query is.
#[derive(Debug)]
pub enum QuerySource {
    /// It is here.
    Text(String),
    /// In a file; `-` is standard input.
    File(std::path::PathBuf),
}

impl QuerySource {
    fn read(&self) -> Result<Value, Failure> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) if path == Path::new("-") => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                text
            }
            Self::File(path) => crate::inspect::read_text(path)?,
        };
        serde_json::from_str(&text).map_err(|error| format!("the query: {error}").into())
    }
}

/// Asks a server for the plan of a query and prints it.
///
/// # Errors
/// A query that is no JSON object, or what the server says against it.
pub fn explain(options: &ExplainOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let mut query = options.query.read()?;
    let Some(members) = query.as_object_mut() else {
        return Err("the query is not a JSON object".into());
    };
    if options.analyze {
        members.insert("analyze".to_owned(), Value::Bool(true));
    }
    let path = format!("/collections/{}/points/query/explain", options.collection);
    let plan = Client::new(&options.url).post(&path, &query)?;
    if options.json {
        return Ok(writeln!(out, "{plan:#}")?);
    }
    tree(&options.collection, &plan, out)?;
    Ok(())
}

/// Prints the plan of a query on a collection.
fn tree(collection: &str, plan: &Value, out: &mut dyn Write) -> io::Result<()> {
    let none = Vec::new();
    let sources = plan["sources"].as_array().unwrap_or(&none);
    let order = if plan["parallel"] == true {
        "side by side"
    } else {
        "one after the other"
    };
    let (wanted, count) = (&plan["wanted"], sources.len());
    writeln!(
        out,
        "{collection}: {wanted} wanted of each of {count} sources, {order}"
    )?;
    if let Some(actual) = plan["actual"].as_object() {
        let (hits, time) = (&actual["hits"], &actual["time_us"]);
        writeln!(out, "{hits} hits in {time} us")?;
    }
    for field in plan["unindexed"].as_array().unwrap_or(&none) {
        let (name, kind) = (text(&field["field"]), text(&field["suggested_type"]));
        writeln!(
            out,
            "! {name} has no index: payloads are read; an index of type {kind} would answer"
        )?;
    }
    for (at, source) in sources.iter().enumerate() {
        let last = at + 1 == sources.len();
        let (branch, stem) = if last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        writeln!(out, "{branch} {}", title(source))?;
        let lines = lines(source);
        for (at, line) in lines.iter().enumerate() {
            let branch = if at + 1 == lines.len() {
                "└─"
            } else {
                "├─"
            };
            writeln!(out, "{stem}{branch} {line}")?;
        }
    }
    Ok(())
}

fn title(source: &Value) -> String {
    let name = match source["segment"].as_u64() {
        Some(id) => format!("segment {id}"),
        None => "memtable".to_owned(),
    };
    format!("{name}: {} rows, {} live", source["rows"], source["live"])
}

fn lines(source: &Value) -> Vec<String> {
    let matching = &source["matching"];
    let fields = source["fields"].as_array();
    let mut lines: Vec<String> = fields.into_iter().flatten().map(field).collect();
    lines.push(format!(
        "matching: {} ({} to {}, by {}; by statistics {} to {}) in {} of {} blocks",
        matching["expected"],
        matching["min"],
        matching["max"],
        text(&matching["how"]),
        matching["statistics"]["min"],
        matching["statistics"]["max"],
        matching["blocks"],
        matching["blocks_of"],
    ));
    match source["plan"].as_object() {
        None => lines.push("nothing to search".to_owned()),
        Some(plan) => {
            lines.push(format!(
                "plan: {}, {}, {} us",
                text(&plan["path"]),
                text(&plan["why"]),
                plan["predicted_us"]
            ));
            lines.push(format!("paths: {}", pairs(&plan["costs_us"], " us")));
            if let (Some(visits), Some(otherwise)) = (plan.get("visits_max"), plan.get("otherwise"))
            {
                let otherwise = text(otherwise);
                lines.push(format!("after {visits} visits: {otherwise}"));
            }
        }
    }
    if source["recall"]
        .as_object()
        .is_some_and(|known| !known.is_empty())
    {
        lines.push(format!("recall: {}", known_recall(&source["recall"])));
    }
    if let Some(actual) = source["actual"].as_object() {
        lines.extend(done(actual));
    }
    lines
}

fn field(field: &Value) -> String {
    let (name, by) = (text(&field["field"]), text(&field["by"]));
    match field["zones"].as_object() {
        None => format!("{name} by {by}"),
        Some(zones) => format!(
            "{name} by {by}: {} zones without a match, {} matching, {} open",
            zones["none"], zones["all"], zones["open"]
        ),
    }
}

/// What was done: first how, then the counts that are not 0.
fn done(actual: &serde_json::Map<String, Value>) -> Vec<String> {
    let matching = match actual["matching"].as_u64() {
        Some(rows) => format!("{rows} rows match"),
        None => "not every row was tested".to_owned(),
    };
    let ratio = match actual["predicted_to_actual"].as_f64() {
        Some(ratio) => format!(", predicted / actual {ratio}"),
        None => String::new(),
    };
    let mut lines = vec![format!(
        "actual: {}, {} us (filter {}, search {}){ratio}; {matching}, {} found",
        text(&actual["path"]),
        actual["time_us"],
        actual["filter_us"],
        actual["search_us"],
        actual["found"],
    )];
    if let Some(why) = actual["switched"].as_str() {
        lines.push(format!("the plan was changed on the way: {why}"));
    }
    let counts = [
        "distances",
        "rescored",
        "estimates",
        "refined",
        "payloads_read",
        "bitmap_checks",
        "nodes_expanded",
        "blocks_scanned",
        "blocks_skipped",
        "cold_reads",
        "cold_bytes",
    ];
    let counts = counts.iter().filter(|name| actual[**name] != 0);
    let counts: Vec<_> = counts
        .map(|name| format!("{name} {}", actual[*name]))
        .collect();
    lines.push(format!("counts: {}", counts.join(", ")));
    lines
}

fn known_recall(known: &Value) -> String {
    let mut parts = Vec::new();
    for (name, value) in known.as_object().into_iter().flatten() {
        let value = match value.as_array() {
            // Pairs of a setting and the recall measured with it.
            Some(points) => points
                .iter()
                .map(|point| format!("{} at {}", point[1], point[0]))
                .collect::<Vec<_>>()
                .join(" "),
            None => value.to_string(),
        };
        parts.push(format!("{} {value}", name.replace('_', " ")));
    }
    parts.join(", ")
}

fn pairs(object: &Value, unit: &str) -> String {
    let members = object.as_object().into_iter().flatten();
    let each: Vec<_> = members
        .map(|(name, value)| format!("{name} {value}{unit}"))
        .collect();
    each.join(", ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_is_a_tree() {
        let plan = json!({
            "vector": "", "wanted": 10, "parallel": false,
            "unindexed": [{"field": "color", "suggested_type": "keyword", "hint": ""}],
            "sources": [
                {
                    "segment": 7, "rows": 100, "live": 90,
                    "fields": [
                        {"field": "color", "by": "statistics",
                         "zones": {"none": 4, "all": 1, "open": 3}},
                        {"field": "size", "by": "memory"},
                    ],
                    "matching": {
                        "min": 5, "expected": 6.5, "max": 8, "how": "a sample of the payloads",
                        "open": 90, "statistics": {"min": 0, "expected": 45.0, "max": 90},
                        "blocks": 3, "blocks_of": 4,
                    },
                    "plan": {
                        "path": "graph", "why": "cheapest", "predicted_us": 12.5,
                        "costs_us": {"exact_scan": 20.0, "graph": 12.5},
                        "otherwise": "exact_scan", "visits_max": 256,
                    },
                    "recall": {"deviations": 1.9, "known_of_codes": [[1.9, 0.99]]},
                    "actual": {
                        "path": "exact_scan", "matching": 7, "found": 7,
                        "switched": "correlation", "time_us": 25.0, "filter_us": 5.0,
                        "search_us": 20.0, "predicted_to_actual": 0.5, "distances": 7,
                        "rescored": 0, "estimates": 0, "refined": 0, "payloads_read": 90,
                        "bitmap_checks": 64, "nodes_expanded": 64, "blocks_scanned": 0,
                        "blocks_skipped": 0, "cold_reads": 0, "cold_bytes": 0,
                    },
                },
                {
                    "segment": null, "rows": 0, "live": 0,
                    "matching": {
                        "min": 0, "expected": 0.0, "max": 0, "how": "indexes", "open": 0,
                        "statistics": {"min": 0, "expected": 0.0, "max": 0},
                        "blocks": 0, "blocks_of": 0,
                    },
                    "recall": {},
                },
            ],
            "actual": {"hits": 7, "time_us": 30.1},
        });
        let mut out = Vec::new();
        tree("docs", &plan, &mut out).unwrap();
        let printed = String::from_utf8(out).unwrap();
        let wanted = "\
docs: 10 wanted of each of 2 sources, one after the other
7 hits in 30.1 us
! color has no index: payloads are read; an index of type keyword would answer
├─ segment 7: 100 rows, 90 live
│  ├─ color by statistics: 4 zones without a match, 1 matching, 3 open
│  ├─ size by memory
│  ├─ matching: 6.5 (5 to 8, by a sample of the payloads; by statistics 0 to 90) in 3 of 4 blocks
│  ├─ plan: graph, cheapest, 12.5 us
│  ├─ paths: exact_scan 20.0 us, graph 12.5 us
│  ├─ after 256 visits: exact_scan
│  ├─ recall: deviations 1.9, known of codes 0.99 at 1.9
│  ├─ actual: exact_scan, 25.0 us (filter 5.0, search 20.0), predicted / actual 0.5; 7 rows match, 7 found
│  ├─ the plan was changed on the way: correlation
│  └─ counts: distances 7, payloads_read 90, bitmap_checks 64, nodes_expanded 64
└─ memtable: 0 rows, 0 live
   ├─ matching: 0.0 (0 to 0, by indexes; by statistics 0 to 0) in 0 of 0 blocks
   └─ nothing to search
";
        assert_eq!(printed, wanted);
    }
}
