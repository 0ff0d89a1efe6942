//! A database under test and the oracle beside it, moved on together.
//!
//! # Invariants
//! - `Journal::now` is what the running process shows; `in_flight` holds what it may show once the
//!   changes under way are done, so that at any moment of them a crash may leave either.
//! - Changes nest: a request may come from inside a change of the catalog. They commute.
//! - A change that failed without a clear "nothing happened" goes to `maybe`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use engine::storage::Storage;
use engine::storage::sim::SimDisk;
use engine::{Collection, Db, ErrorKind, ManualClock, Settings, StepKind, UpsertRows};
use format_spec::{
    Codec, CompactionSettings, Element, FieldIndex, FieldType, HnswSettings, Metric, PointId,
    Schema, Value, VectorSchema,
};
use query::{
    AnyOf, Condition, Env, FieldPath, FieldTest, Filter, MatchValue, QueryError, Selector,
    UpdateMode, WriteOp,
};

use crate::model::{Point, Test, Who, World, Write};
use crate::readback;
use crate::workload::{Action, FLOATS};

static POOL: LazyLock<rayon::ThreadPool> = LazyLock::new(|| {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread can be started")
});

static CLOCK: LazyLock<ManualClock> = LazyLock::new(|| ManualClock::new(1_700_000_000_000));

/// What must be there, and what may be.
#[derive(Clone, Default, Debug)]
pub struct Journal {
    /// Everything acknowledged.
    pub now: World,
    /// `now` with any of the changes that are under way.
    pub in_flight: Vec<World>,
    /// What a restart may find instead of `now`, because an earlier change failed half-way.
    pub maybe: Vec<World>,
}

impl Journal {
    /// Every state that a restart may find at this moment.
    pub fn candidates(&self) -> Vec<World> {
        let mut all = vec![self.now.clone()];
        all.extend(self.in_flight.iter().chain(&self.maybe).cloned());
        all
    }
}

/// How an action ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Done, and acknowledged.
    Done,
    /// Refused for what it asked, as the oracle said it would be.
    Refused,
    /// Failed for what the disk did.
    Failed(ErrorKind, String),
}

/// A database and its oracle.
#[derive(Debug)]
pub struct Session {
    storage: Arc<dyn Storage>,
    db: Option<Arc<Db>>,
    journal: Arc<Mutex<Journal>>,
}

/// Settings under which little data makes many files.
pub fn settings() -> Settings {
    Settings {
        wal_file_bytes: 16 << 10,
        memtable_bytes_max: 1 << 20,
        sealed_memtables_max: 1_000,
        soft_free_bytes: 0,
        codes_bytes_min: 0,
        graph_rows_min: 0,
        coded_graph_bytes_max: 1 << 20,
        derived_bytes_max: 1 << 20,
        payload_cache_bytes_max: 256 << 10,
        build_threads: 1,
        workers: 0,
        seed: 7,
    }
}

/// Two vectors, graphs from the first kilobyte on, merges of two segments.
pub fn schema() -> Schema {
    let hnsw = HnswSettings {
        m: 4,
        ef_construct: 8,
        full_scan_threshold_kb: 0,
        seed: 3,
    };
    let vector = |name: &str, dim, metric, element| VectorSchema {
        name: name.to_owned(),
        dim,
        metric,
        element,
        hnsw,
        codec: Codec::Auto,
    };
    Schema {
        vectors: vec![
            vector("a", FLOATS as u32, Metric::Dot, Element::F32),
            vector("b", 3, Metric::Euclid, Element::U8),
        ],
        compaction: CompactionSettings {
            vacuum_min_rows: 4,
            segment_count_target: 2,
            indexing_threshold_kb: 1,
            fan_out: 2,
            ..CompactionSettings::default()
        },
        ..Schema::default()
    }
}

/// Opens a database as the suites do.
///
/// # Errors
/// As [`Db::open`].
pub fn open(storage: Arc<dyn Storage>) -> engine::Result<Arc<Db>> {
    let clock: Arc<dyn engine::Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    Db::open(storage, clock, settings())
}

/// The surroundings of a query.
pub fn env() -> Env<'static> {
    Env {
        pool: &POOL,
        clock: &*CLOCK,
        deadline: None,
        later: None,
    }
}

impl Session {
    /// A new database with the first collection, on `storage`.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn start(storage: Arc<dyn Storage>) -> engine::Result<Self> {
        let db = open(Arc::clone(&storage))?;
        Ok(Self {
            storage,
            db: Some(db),
            journal: Arc::default(),
        })
    }

    /// Takes up what a restart found, which must be one of the journal's candidates.
    ///
    /// # Errors
    /// How what was found differs from every candidate.
    pub fn resume(storage: Arc<dyn Storage>, candidates: &[World]) -> Result<Self, String> {
        let db = open(Arc::clone(&storage)).map_err(|error| format!("open: {error:?}"))?;
        let now = recovered(&db, candidates)?;
        let journal = Journal {
            now,
            ..Journal::default()
        };
        Ok(Self {
            storage,
            db: Some(db),
            journal: Arc::new(Mutex::new(journal)),
        })
    }

    /// The open database.
    pub fn db(&self) -> &Arc<Db> {
        self.db
            .as_ref()
            .expect("only drop and the crashes take it away")
    }

    /// The journal, also for hooks.
    pub fn journal(&self) -> Arc<Mutex<Journal>> {
        Arc::clone(&self.journal)
    }

    /// A copy of what must be there and what may be.
    pub fn candidates(&self) -> Vec<World> {
        lock(&self.journal).candidates()
    }

    /// Does one action that is no crash, on both sides.
    ///
    /// # Errors
    /// When the database and the oracle disagree on whether it can be done.
    pub fn perform(&self, action: &Action) -> Result<Outcome, String> {
        match action {
            Action::Request(name, request) => match self.db().collection(name) {
                Some(collection) => perform_request(&collection, &self.journal, request),
                None => Ok(Outcome::Refused),
            },
            Action::RunNow(name) => {
                if let Some(collection) = self.db().collection(name) {
                    collection.run_now();
                }
                Ok(Outcome::Done)
            }
            Action::StepFlush => Ok(self.step(StepKind::Flush)),
            Action::StepCompact => Ok(self.step(StepKind::Compact)),
            Action::Create(name) => self.change(
                |world| {
                    world.collections.entry((*name).to_owned()).or_default();
                },
                || match self.db().create_collection(name, schema()) {
                    Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
                    other => other.map(drop),
                },
            ),
            Action::Drop(name) => self.change(
                |world| {
                    world.collections.remove(*name);
                },
                || self.db().drop_collection(name).map(drop),
            ),
            Action::Index(name, path) => self.reindex(name, path, true),
            Action::Unindex(name, path) => self.reindex(name, path, false),
            Action::Reopen | Action::PowerLoss(_) | Action::Kill => {
                panic!("{action:?} is done by the caller, who has the disk")
            }
        }
    }

    fn step(&self, kind: StepKind) -> Outcome {
        self.db().step_of(kind);
        Outcome::Done
    }

    /// A change of the catalog.
    fn change(
        &self,
        model: impl Fn(&mut World),
        real: impl FnOnce() -> engine::Result<()>,
    ) -> Result<Outcome, String> {
        let apply = |world: &mut World| {
            model(world);
            true
        };
        let (outer, _) = begin(&mut lock(&self.journal), apply);
        let outcome = real();
        Ok(settle(&mut lock(&self.journal), outer, outcome, apply))
    }

    fn reindex(&self, name: &str, path: &str, indexed: bool) -> Result<Outcome, String> {
        if self.db().collection(name).is_none() {
            return Ok(Outcome::Refused);
        }
        let model = |world: &mut World| {
            let contents = world.collections.get_mut(name).expect("checked above");
            if indexed {
                contents.fields.insert(path.to_owned());
            } else {
                contents.fields.remove(path);
            }
        };
        let mut change = |schema: &Schema| {
            let mut schema = schema.clone();
            schema.fields.retain(|field| field.path != path);
            if indexed {
                let field_type = if path == "count" {
                    FieldType::Integer
                } else {
                    FieldType::Keyword
                };
                // These two say in what order the rows of segments lie.
                let leads = match path {
                    "color" => Some("is_tenant"),
                    "count" => Some("is_principal"),
                    _ => None,
                };
                let flag = |name: &str| (name.to_owned(), Value::Bool(true));
                let settings = Value::Object(leads.map(flag).into_iter().collect()).to_bytes();
                schema.fields.push(FieldIndex {
                    path: path.to_owned(),
                    field_type,
                    settings,
                });
            }
            Ok(schema)
        };
        self.change(model, || self.db().alter_collection(name, &mut change))
    }

    /// Closes cleanly.
    ///
    /// # Errors
    /// As [`Db::close`].
    pub fn close(mut self) -> engine::Result<()> {
        let db = self.db.take().expect("it is open");
        db.close()
    }

    /// Compares everything the database shows with `now`.
    ///
    /// # Errors
    /// The differences.
    pub fn check(&self) -> Result<(), String> {
        let shown = readback::world(self.db())?;
        let now = lock(&self.journal).now.clone();
        if shown == now {
            Ok(())
        } else {
            Err(now.difference(&shown))
        }
    }

    /// The storage it runs on.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
}

/// What `db` shows, if it is one of the candidates.
///
/// # Errors
/// How it differs from each.
pub fn recovered(db: &Db, candidates: &[World]) -> Result<World, String> {
    readback::check_healthy(db)?;
    let shown = readback::world(db)?;
    if candidates.contains(&shown) {
        return Ok(shown);
    }
    let mut said = String::from("what was found is none of the states that may be\n");
    for (number, candidate) in candidates.iter().enumerate() {
        said += &format!(" candidate {number}:\n{}", candidate.difference(&shown));
    }
    Err(said)
}

/// Lets the process die: nothing it does from here on reaches the disk.
pub fn abandon(session: Session, disk: &SimDisk) {
    disk.stop_after(0);
    drop(session);
}

/// Locks, whatever happened to another holder: a failed suite shows its own message.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does a request on both sides; also from a hook, in the middle of background work.
///
/// # Errors
/// When the database and the oracle disagree on whether it can be done.
pub fn perform_request(
    collection: &Collection,
    journal: &Mutex<Journal>,
    request: &[Write],
) -> Result<Outcome, String> {
    let apply = |world: &mut World| {
        let contents = world.collections.get_mut(collection.name());
        contents.is_some_and(|contents| contents.apply(request).is_ok())
    };
    let (outer, allowed) = begin(&mut lock(journal), apply);
    match submit(collection, request) {
        Err(QueryError::PointNotFound { .. }) if !allowed => Ok(Outcome::Refused),
        Ok(()) if !allowed => Err(format!("{request:?} was done, but names an absent point")),
        Ok(()) => Ok(settle(&mut lock(journal), outer, Ok(()), apply)),
        Err(QueryError::Engine(error)) => Ok(settle(&mut lock(journal), outer, Err(error), apply)),
        Err(error) => Err(format!("{request:?} was refused: {error}")),
    }
}

/// Books the beginning of a change: how many worlds the changes around it have in flight, and
/// whether it can be done.
fn begin(journal: &mut Journal, apply: impl Fn(&mut World) -> bool) -> (usize, bool) {
    let outer = journal.in_flight.len();
    let mut next = journal.now.clone();
    let allowed = apply(&mut next);
    if allowed {
        for at in 0..outer {
            let mut world = journal.in_flight[at].clone();
            if apply(&mut world) {
                journal.in_flight.push(world);
            }
        }
        journal.in_flight.push(next);
    }
    (outer, allowed)
}

/// Books the end of a change.
fn settle(
    journal: &mut Journal,
    outer: usize,
    outcome: engine::Result<()>,
    apply: impl Fn(&mut World) -> bool,
) -> Outcome {
    let with_it = journal.in_flight.split_off(outer);
    let Err(error) = outcome else {
        apply(&mut journal.now);
        journal.in_flight.retain_mut(&apply);
        journal.maybe.retain_mut(apply);
        return Outcome::Done;
    };
    // These say that nothing was changed. All others leave it open whether a restart finds it.
    let nothing = [
        ErrorKind::Invalid,
        ErrorKind::DiskFull,
        ErrorKind::Busy,
        ErrorKind::Closed,
    ];
    if !nothing.contains(&error.kind()) {
        let alternatives: Vec<World> = journal.maybe.clone();
        for mut world in alternatives {
            if apply(&mut world) {
                journal.maybe.push(world);
            }
        }
        journal.maybe.extend(with_it);
        journal.maybe.dedup();
    }
    Outcome::Failed(error.kind(), error.chain())
}

/// A request through the same doors as the server's: resolved in the turn if it depends on the
/// state, logged, applied.
fn submit(collection: &Collection, request: &[Write]) -> Result<(), QueryError> {
    let schema = collection.schema();
    let operations: Vec<WriteOp> = request
        .iter()
        .map(|write| operation(&schema, write))
        .collect();
    let appended = if query::needs_turn(&operations) {
        let turn = collection
            .turn(query::grows(&operations))
            .map_err(QueryError::Engine)?;
        let snapshot = turn.snapshot();
        let batch = query::resolve(Some(&snapshot), &schema, operations, &env())?;
        turn.append(batch).map_err(QueryError::Engine)?
    } else {
        let batch = query::resolve(None, &schema, operations, &env())?;
        collection.append(batch).map_err(QueryError::Engine)?
    };
    collection.apply(&appended);
    Ok(())
}

fn operation(schema: &Schema, write: &Write) -> WriteOp {
    let plain = |points, test: Option<&Test>, mode| WriteOp::Upsert {
        rows: rows(schema, points),
        update_filter: test.map(filter),
        mode,
    };
    match write {
        Write::Upsert(points, test) => plain(points, test.as_ref(), UpdateMode::Upsert),
        Write::Insert(points) => plain(points, None, UpdateMode::InsertOnly),
        Write::Delete(who) => WriteOp::Delete(selector(who)),
        Write::Set(who, payload) => WriteOp::SetPayload {
            payload: object(payload),
            select: selector(who),
            key: None,
        },
        Write::SetMeta(who, payload) => WriteOp::SetPayload {
            payload: object(payload),
            select: selector(who),
            key: Some(path("meta")),
        },
        Write::Overwrite(who, payload) => WriteOp::OverwritePayload {
            payload: object(payload),
            select: selector(who),
        },
        Write::Unset(who, key) => WriteOp::DeletePayload {
            keys: vec![path(key)],
            select: selector(who),
        },
        Write::Clear(who) => WriteOp::ClearPayload(selector(who)),
        Write::SetVector(ids, vector, bytes) => {
            let mut rows = UpsertRows::new(schema);
            for &id in ids {
                rows.begin(id);
                rows.raw_vector(*vector, bytes);
            }
            WriteOp::UpdateVectors {
                rows,
                update_filter: None,
            }
        }
        Write::UnsetVector(who, vector) => {
            let names = vec![schema.vectors[*vector].name.clone()];
            WriteOp::DeleteVectors {
                names,
                select: selector(who),
            }
        }
    }
}

fn rows(schema: &Schema, points: &[(PointId, Point)]) -> UpsertRows {
    let mut rows = UpsertRows::new(schema);
    for (id, point) in points {
        rows.begin(*id);
        for (index, vector) in point.vectors.iter().enumerate() {
            if let Some(bytes) = vector {
                rows.raw_vector(index, bytes);
            }
        }
        rows.payload(&object(&point.payload).to_bytes());
    }
    rows
}

fn object(payload: &BTreeMap<String, Value>) -> Value {
    Value::Object(
        payload
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).expect("the suites' paths are plain keys")
}

fn selector(who: &Who) -> Selector {
    match who {
        Who::Ids(ids) => Selector::Ids(ids.clone()),
        Who::Where(test) => Selector::Filter(filter(test)),
    }
}

/// A test as the query layer's filter.
pub fn filter(test: &Test) -> Filter {
    let field = |key: &str, test| Condition::Field {
        path: path(key),
        test,
    };
    let keyword = |text: &String| FieldTest::Match(MatchValue::Keyword(text.clone()));
    let condition = match test {
        Test::ColorIs(color) => field("color", keyword(color)),
        Test::ColorIsNot(color) => field(
            "color",
            FieldTest::Except(AnyOf::Keywords(vec![color.clone()])),
        ),
        Test::CountFrom(least) => field(
            "count",
            FieldTest::Range {
                gte: Some(*least as f64),
                gt: None,
                lt: None,
                lte: None,
            },
        ),
        Test::Tagged(tag) => field("tags", keyword(tag)),
        Test::NoCount => Condition::IsEmpty(path("count")),
        Test::Is(ids) => Condition::HasId(ids.clone()),
    };
    Filter {
        must: vec![condition],
        ..Filter::default()
    }
}
