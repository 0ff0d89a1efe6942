//! Search in process: recall and queries a second for each width of the beam, on one thread or N.
//!
//! `cargo run --release -p benches --bin search -- --data DIR [--at DIRECTORY] [--rows N]
//! [--ef 16,64,default] [--graph] [--coded [--coded-mb N]] [--codec NAME] [--clients N] [--json]
//! [--work]`
//!
//! Opens the collection in `--at`, or makes it there first, with the payload and field indexes that
//! `real` has; without `--at` the directory is temporary. With `--graph` there are no codes but one
//! segment with a graph, whatever the size, with `--coded` one with a graph and codes in its nodes;
//! and `--coded-mb N` with so much memory for these, so that a larger graph has its lists alone
//! there; otherwise what the engine makes of it. `--codec bits1`, or another one by its name, is
//! what vectors are compressed with. `--ef` has widths of the beam, or recalls to ask for as
//! `0.95`; `--ef -` reads one setting a line from standard input and answers each with a line, so
//! that another engine can take its turn in between. `--clients N` asks from so many threads at
//! once. With `--json` each line is an object, the first one what making the collection took. With
//! `--work` what a query does on average comes before each line.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use benches::collection::{NAME, indexed, make_coded, nearest, open, segments, with_graphs};
use benches::dataset::Dataset;
use benches::usage::{bytes_below, cpu_seconds, running_cpu_seconds, status_bytes};
use benches::{Failure, argument, flag, now, timed};
use engine::{Collection, Settings, Snapshot, SystemClock};
use format_spec::{Codec, PointId};
use query::{Env, Explain, QueryRequest, SearchParams};
use serde_json::json;

const K: usize = 10;
/// Queries of which `--work` tells.
const WORK_QUERIES: usize = 500;
/// What is measured without `--ef`.
const SETTINGS: &str = "16,24,32,48,64,96,128,192,256,384,512,768,1024,default";

fn main() -> Result<(), Failure> {
    let dir = argument("--data").ok_or("--data DIR is missing")?;
    let data = Dataset::read(Path::new(&dir))?;
    let rows = argument("--rows").map_or(Ok(data.base.rows), |rows| rows.parse())?;
    let rows = rows.min(data.base.rows);
    let clients = argument("--clients").map_or(Ok(1), |clients| clients.parse())?;
    let temporary = tempfile::tempdir()?;
    let at = argument("--at").map_or_else(|| temporary.path().to_owned(), Into::into);
    let (anonymous, cpu, start) = (status_bytes("RssAnon"), cpu_seconds(), now());
    let most = argument("--coded-mb").map(|mb| mb.parse()).transpose()?;
    let db = open(&at, |settings| adjust(settings, most))?;
    let collection = match db.collection(NAME) {
        Some(collection) => collection,
        None => make_coded(&db, &data, rows, codec()?)?,
    };
    while flag("--coded") && db.step() {}
    let built = json!({
        "cpu_s": cpu_seconds() - cpu,
        "wall_s": start.elapsed().as_secs_f64(),
        "index_bytes": bytes_below(&at)?,
    });
    let snapshot = collection.snapshot();
    check(&collection, &snapshot, rows)?;
    let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let bench = Bench {
        pools: (0..clients).map(pool).collect::<Result<_, _>>()?,
        data,
        rows,
        snapshot,
        json: flag("--json"),
    };
    // The first pass verifies the checksums of every block it touches.
    bench.measure(&SearchParams::default())?;
    bench.head(built, anonymous);
    let settings = argument("--ef").unwrap_or_else(|| SETTINGS.to_owned());
    if settings == "-" {
        for setting in std::io::stdin().lock().lines() {
            bench.line(&setting?)?;
        }
        return Ok(());
    }
    settings.split(',').try_for_each(|ef| bench.line(ef))
}

struct Bench {
    data: Dataset,
    rows: usize,
    snapshot: Snapshot,
    /// One a client, so that each has one thread.
    pools: Vec<rayon::ThreadPool>,
    json: bool,
}

/// What one setting reached.
struct Measured {
    recall: f64,
    rate: f64,
    /// Of each query, ascending.
    times: Vec<Duration>,
    /// Seconds of CPU a second.
    cores: f64,
}

impl Measured {
    /// Microseconds that this share of the queries does not exceed.
    fn percentile(&self, share: f64) -> f64 {
        let at = (self.times.len() as f64 * share) as usize;
        let time = self.times.get(at.min(self.times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

impl Bench {
    /// With the memory beyond what was in use before, the data set among it.
    fn head(&self, mut built: serde_json::Value, before: u64) {
        if self.json {
            built["segments"] = json!(segments(&self.snapshot));
            built["anon_bytes"] = json!(status_bytes("RssAnon").saturating_sub(before));
            built["file_bytes"] = json!(status_bytes("RssFile"));
            println!("{built}");
        } else {
            println!("| segments | hnsw_ef | recall@{K} | queries a second |\n|--:|--:|--:|--:|");
        }
    }

    fn line(&self, setting: &str) -> Result<(), Failure> {
        let setting = setting.trim();
        let params = params(setting)?;
        let measured = self.measure(&params)?;
        if flag("--work") {
            self.work(&params)?;
        }
        let (recall, rate) = (measured.recall, measured.rate);
        if self.json {
            let line = json!({
                "setting": setting,
                "recall": recall,
                "qps": rate,
                "p50_us": measured.percentile(0.5),
                "p99_us": measured.percentile(0.99),
                "cores": measured.cores,
            });
            println!("{line}");
        } else {
            let segments = segments(&self.snapshot);
            println!("| {segments} | {setting} | {recall:.4} | {rate:.0} |");
        }
        Ok(())
    }

    /// What a query does, on average of some.
    fn work(&self, params: &SearchParams) -> Result<(), Failure> {
        let clock = SystemClock::new();
        let env = Env {
            pool: &self.pools[0],
            clock: &clock,
            deadline: None,
            later: None,
        };
        let asked = self.data.queries.rows.min(WORK_QUERIES);
        let mut sums = [0; 4];
        for at in 0..asked {
            let options = Explain {
                analyze: true,
                path: None,
            };
            let explained =
                query::explain(&self.snapshot, &self.request(at, params), &env, options)?;
            let done = explained
                .sources
                .iter()
                .filter_map(|plan| plan.actual.as_ref());
            for actual in done {
                let work = [
                    actual.nodes,
                    actual.estimates,
                    actual.refined,
                    actual.distances,
                ];
                sums.iter_mut().zip(work).for_each(|(sum, of)| *sum += of);
            }
        }
        let [nodes, estimates, refined, distances] = sums.map(|sum| sum / asked as u64);
        println!("{nodes} nodes, {estimates} estimates, {refined} refined, {distances} distances");
        Ok(())
    }

    fn request(&self, at: usize, params: &SearchParams) -> QueryRequest {
        nearest(self.data.queries.row(at), K, params.clone())
    }

    /// Every query once, each a call of its own; the clients share them out.
    fn measure(&self, params: &SearchParams) -> Result<Measured, Failure> {
        let requests: Vec<QueryRequest> = (0..self.data.queries.rows)
            .map(|at| self.request(at, params))
            .collect();
        // The threads of several clients have ended by then.
        let alone = self.pools.len() == 1;
        let spent = if alone {
            running_cpu_seconds
        } else {
            cpu_seconds
        };
        let cpu = spent();
        let (answers, elapsed) = timed(|| self.ask(&requests));
        let answers = answers?;
        let cores = (spent() - cpu) / elapsed.as_secs_f64();
        let mut ids = vec![Vec::new(); requests.len()];
        let mut times = Vec::with_capacity(requests.len());
        for (at, hits, time) in answers {
            let number = |hit: &query::Hit| match hit.record.id {
                PointId::Number(id) => Some(id),
                PointId::Uuid(_) => None,
            };
            ids[at] = hits.iter().filter_map(number).collect();
            times.push(time);
        }
        times.sort_unstable();
        Ok(Measured {
            recall: self.data.recall(&ids, self.rows, K),
            rate: requests.len() as f64 / elapsed.as_secs_f64(),
            times,
            cores,
        })
    }

    /// Number, hits and time of each request.
    fn ask(&self, requests: &[QueryRequest]) -> Result<Vec<Answer>, Failure> {
        let client = |first: usize, pool: &rayon::ThreadPool| {
            let clock = SystemClock::new();
            let env = Env {
                pool,
                clock: &clock,
                deadline: None,
                later: None,
            };
            let own = (first..requests.len()).step_by(self.pools.len());
            own.map(|at| {
                let (hits, time) = timed(|| query::search(&self.snapshot, &requests[at], &env));
                Ok((at, hits?, time))
            })
            .collect::<Result<Vec<Answer>, Failure>>()
        };
        if let [pool] = &self.pools[..] {
            return client(0, pool);
        }
        let each = std::thread::scope(|scope| {
            let start = |(first, pool)| scope.spawn(move || client(first, pool));
            let running: Vec<_> = self.pools.iter().enumerate().map(start).collect();
            let ended = running.into_iter().map(|client| client.join());
            ended.collect::<Vec<_>>()
        });
        let mut answers = Vec::with_capacity(requests.len());
        for client in each {
            answers.extend(client.map_err(|_| "a client panicked")??);
        }
        Ok(answers)
    }
}

/// What a setting stands for: a width of the beam, or a recall below 1.
fn params(setting: &str) -> Result<SearchParams, Failure> {
    let mut params = SearchParams::default();
    match setting {
        "default" => {}
        recall if recall.starts_with("0.") => params.recall = Some(recall.parse()?),
        width => params.hnsw_ef = Some(width.parse()?),
    }
    Ok(params)
}

type Answer = (usize, Vec<query::Hit>, Duration);

/// What vectors are compressed with.
fn codec() -> Result<Codec, Failure> {
    let name = argument("--codec").unwrap_or_else(|| "auto".to_owned());
    let mut all = Codec::ALL.iter();
    let found = all.find(|codec| format!("{codec:?}").eq_ignore_ascii_case(&name));
    let unknown = || format!("--codec is {name:?}, not one of {:?}", Codec::ALL).into();
    found.copied().ok_or_else(unknown)
}

/// `most` is how many MiB the graphs in memory may have.
fn adjust(settings: &mut Settings, most: Option<u64>) {
    if flag("--graph") || flag("--coded") {
        with_graphs(settings);
        settings.coded_graph_bytes_max = most.map_or(u64::MAX, |mb| mb << 20);
    }
    if flag("--graph") {
        settings.codes_bytes_min = u64::MAX;
    }
}

/// A measurement of scans, or of another data set, would say nothing.
fn check(collection: &Collection, snapshot: &Snapshot, rows: usize) -> Result<(), Failure> {
    let status = collection.status();
    if snapshot.live_count() != rows as u64 || !indexed(collection) {
        let points = status.points;
        let indexed = status.indexed_vectors;
        return Err(format!("{points} points, {indexed} indexed; expected {rows}").into());
    }
    Ok(())
}
