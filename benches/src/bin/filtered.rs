//! Search under filters in process, on one thread: a request a line, answered with its ids and how
//! long it took.
//!
//! `cargo run --release -p benches --bin filtered -- --data DIR --filters FILE [--at DIRECTORY]
//! [--graph] [--plain] [--unindexed] [--by-cluster]`
//!
//! `FILE` has, a JSON object a line, first `{"payloads": [...]}`, a payload with integers for each
//! row of the base, and then a filter each: `{"name", "conditions"}` with the condition of each
//! query, as `peers/filters.py` makes them. The collection has an index of each integer unless
//! `--unindexed`; one segment, with codes as the engine comes, with `--graph` a graph with codes in
//! its nodes, with `--plain` a graph and no codes; with `--by-cluster` its rows lie in the order of
//! their clusters. Once it is made, each line of standard input is
//! asked: `{"filter": name or null, "exact": bool, "ef": number or null}`, and with
//! `"explain": true`
//! answered with the paths taken and the medians of what they did, along `"path"` if one is named.

#![expect(clippy::print_stdout, reason = "it answers on standard output")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads files of its own"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use benches::collection::{fill, nearest, open, with_graphs};
use benches::dataset::Dataset;
use benches::usage::cpu_seconds;
use benches::{Failure, argument, flag, timed};
use engine::{Collection, Db, Settings, Snapshot, SystemClock};
use format_spec::{FieldIndex, FieldType, Metric, PointId, Schema, Value, VectorSchema};
use query::{
    AccessPath, AnyOf, Condition, Env, Explain, FieldPath, FieldTest, Filter, QueryRequest,
    SearchParams,
};
use serde_json::{Value as Json, json};

const K: usize = 10;

fn main() -> Result<(), Failure> {
    let data = Dataset::read(Path::new(
        &argument("--data").ok_or("--data DIR is missing")?,
    ))?;
    let (payloads, filters) = read(&argument("--filters").ok_or("--filters FILE is missing")?)?;
    let temporary = tempfile::tempdir()?;
    let at = argument("--at").map_or_else(|| temporary.path().to_owned(), Into::into);
    let db = open(&at, adjust)?;
    let cpu = cpu_seconds();
    let collection = match db.collection("filtered") {
        Some(collection) => collection,
        None => make(&db, &data, &payloads)?,
    };
    while db.step() {}
    let bench = Bench {
        snapshot: collection.snapshot(),
        pool: rayon::ThreadPoolBuilder::new().num_threads(1).build()?,
        clock: SystemClock::new(),
        data,
        filters,
    };
    let segments = bench.snapshot.sources().len();
    println!(
        "{}",
        json!({"segments": segments, "cpu_s": cpu_seconds() - cpu})
    );
    for line in std::io::stdin().lock().lines() {
        println!("{}", bench.answer(&serde_json::from_str(&line?)?)?);
    }
    Ok(())
}

struct Bench {
    snapshot: Snapshot,
    pool: rayon::ThreadPool,
    clock: SystemClock,
    data: Dataset,
    filters: Vec<Asked>,
}

/// A filter for each query.
struct Asked {
    name: String,
    filters: Vec<Filter>,
}

impl Bench {
    fn answer(&self, ask: &Json) -> Result<Json, Failure> {
        let asked = match ask["filter"].as_str() {
            None => None,
            Some(name) => {
                let found = self.filters.iter().find(|asked| asked.name == name);
                Some(found.ok_or_else(|| format!("no filter {name}"))?)
            }
        };
        let params = SearchParams {
            exact: ask["exact"] == true,
            hnsw_ef: ask["ef"].as_u64().map(|ef| ef as usize),
            ..SearchParams::default()
        };
        let count = self.filters.first().map_or(0, |asked| asked.filters.len());
        let requests: Vec<QueryRequest> = (0..count)
            .map(|at| QueryRequest {
                filter: asked.map(|asked| asked.filters[at].clone()),
                ..nearest(self.data.queries.row(at), K, params.clone())
            })
            .collect();
        if ask["explain"] == true {
            let name = ask["path"].as_str();
            let path = AccessPath::ALL
                .into_iter()
                .find(|path| Some(path.name()) == name);
            return self.explain(&requests, path);
        }
        let env = self.env();
        let (mut times, mut answers) = (Vec::new(), Vec::new());
        let (done, elapsed) = timed(|| -> Result<(), Failure> {
            for request in &requests {
                let (hits, time) = timed(|| query::search(&self.snapshot, request, &env));
                times.push(time.as_secs_f64() * 1e6);
                answers.push(hits?.iter().map(id).collect::<Vec<_>>());
            }
            Ok(())
        });
        done?;
        times.sort_unstable_by(f64::total_cmp);
        Ok(json!({
            "qps": count as f64 / elapsed.as_secs_f64(),
            "p50_us": times[count / 2],
            "p99_us": times[(count * 99 / 100).min(count - 1)],
            "answers": answers,
        }))
    }

    fn env(&self) -> Env<'_> {
        Env {
            pool: &self.pool,
            clock: &self.clock,
            deadline: None,
            later: None,
        }
    }

    /// What the requests did: the paths they took, and the median of each figure.
    fn explain(
        &self,
        requests: &[QueryRequest],
        path: Option<AccessPath>,
    ) -> Result<Json, Failure> {
        let options = Explain {
            analyze: true,
            path,
        };
        let mut told = Vec::new();
        for request in requests {
            let explained = query::explain(&self.snapshot, request, &self.env(), options)?;
            told.extend(explained.sources);
        }
        let of = |figure: &dyn Fn(&query::SourcePlan, &query::Actual) -> f64| {
            let pairs = told.iter().filter_map(|s| Some((s, s.actual.as_ref()?)));
            let mut values: Vec<f64> = pairs.map(|(plan, done)| figure(plan, done)).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let mut paths = std::collections::BTreeMap::new();
        for done in told.iter().filter_map(|source| source.actual.as_ref()) {
            let path = done.path.map_or("-", AccessPath::name);
            let switched = done.switched.map_or("", query::Switch::name);
            *paths.entry(format!("{path} {switched}")).or_insert(0_u32) += 1;
        }
        Ok(json!({
            "paths": paths,
            "predicted_us": of(&|plan, _| plan.choice.as_ref().map_or(0.0, |c| c.cost_ns / 1e3)),
            "filter_us": of(&|_, done| done.filter.as_secs_f64() * 1e6),
            "search_us": of(&|_, done| done.search.as_secs_f64() * 1e6),
            "matching": of(&|_, done| f64::from(done.matching.unwrap_or_default())),
            "blocks": of(&|_, done| done.blocks as f64),
            "nodes": of(&|_, done| done.nodes as f64),
            "refined": of(&|_, done| done.refined as f64),
            "distances": of(&|_, done| done.distances as f64),
            "payloads": of(&|_, done| done.payloads as f64),
        }))
    }
}

fn id(hit: &query::Hit) -> u64 {
    match hit.record.id {
        PointId::Number(id) => id,
        PointId::Uuid(_) => u64::MAX,
    }
}

/// Payloads of the rows, and the filters.
fn read(path: &str) -> Result<(Vec<Json>, Vec<Asked>), Failure> {
    let mut lines = BufReader::new(std::fs::File::open(path)?).lines();
    let first: Json = serde_json::from_str(&lines.next().ok_or("no payloads")??)?;
    let payloads = first["payloads"].as_array().ok_or("no payloads")?.clone();
    let mut filters = Vec::new();
    for line in lines {
        let stated: Json = serde_json::from_str(&line?)?;
        let conditions = stated["conditions"].as_array().ok_or("no conditions")?;
        filters.push(Asked {
            name: stated["name"].as_str().ok_or("no name")?.to_owned(),
            filters: conditions.iter().map(filter).collect::<Result<_, _>>()?,
        });
    }
    Ok((payloads, filters))
}

/// The one condition of a filter: a range with an upper end, or a list of integers.
fn filter(stated: &Json) -> Result<Filter, Failure> {
    let stated = &stated["must"][0];
    let test = match stated["match"]["any"].as_array() {
        Some(list) => FieldTest::Any(AnyOf::Integers(
            list.iter().filter_map(Json::as_i64).collect(),
        )),
        None => FieldTest::Range {
            gt: None,
            gte: None,
            lt: Some(stated["range"]["lt"].as_f64().ok_or("no condition")?),
            lte: None,
        },
    };
    let path = FieldPath::parse(stated["key"].as_str().ok_or("no key")?)?;
    Ok(Filter {
        must: vec![Condition::Field { path, test }],
        ..Filter::default()
    })
}

fn adjust(settings: &mut Settings) {
    if flag("--graph") || flag("--plain") {
        with_graphs(settings);
    }
    if flag("--plain") {
        settings.codes_bytes_min = u64::MAX;
    }
}

fn make(db: &Db, data: &Dataset, payloads: &[Json]) -> Result<Arc<Collection>, Failure> {
    let vector = VectorSchema::unnamed(data.base.columns as u32, Metric::Cosine);
    let field = |path: &str| {
        let leads = path == "cluster" && flag("--by-cluster");
        let settings = leads.then(|| ("is_principal".to_owned(), Value::Bool(true)));
        FieldIndex {
            path: path.to_owned(),
            field_type: FieldType::Integer,
            settings: Value::Object(settings.into_iter().collect()).to_bytes(),
        }
    };
    let fields = if flag("--unindexed") {
        Vec::new()
    } else {
        vec![field("number"), field("cluster")]
    };
    let schema = Schema {
        vectors: vec![vector],
        fields,
        ..Schema::default()
    };
    let collection = db.create_collection("filtered", schema)?;
    let payload = |at: usize| value(&payloads[at]).to_bytes();
    fill(db, &collection, data, payloads.len(), payload)?;
    Ok(collection)
}

fn value(payload: &Json) -> Value {
    let members = payload.as_object().into_iter().flatten();
    let integer = |(key, value): (&String, &Json)| {
        let number = || Value::Int(value.as_i64().unwrap_or_default());
        let text = value.as_str().map(|text| Value::Text(text.to_owned()));
        (key.clone(), text.unwrap_or_else(number))
    };
    Value::Object(members.map(integer).collect())
}
