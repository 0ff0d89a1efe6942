//! A database on a simulated disk whose background work runs when a test says so.

use std::sync::Arc;

use engine::storage::sim::SimDisk;
use engine::{Clock, Collection, Db, ManualClock, Settings, Snapshot, UpsertRows};
use format_spec::{HnswSettings, Metric, PointId, Schema, VectorSchema};
use query::{Env, QueryError, UpdateMode, WriteOp, needs_turn, resolve};

/// One collection, and what requests run with.
pub(crate) struct World {
    db: Arc<Db>,
    pub(crate) collection: Arc<Collection>,
    pub(crate) pool: rayon::ThreadPool,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(schema: Schema) -> Self {
        Self::with_room(schema, Settings::default().derived_bytes_max)
    }

    /// The same with so many bytes for derived columns.
    pub(crate) fn with_room(schema: Schema, derived_bytes_max: u64) -> Self {
        Self::with(schema, |settings| {
            settings.derived_bytes_max = derived_bytes_max;
        })
    }

    /// The same with settings that are changed.
    pub(crate) fn with(schema: Schema, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let mut settings = Settings {
            wal_file_bytes: 1 << 16,
            memtable_bytes_max: 64 << 20,
            soft_free_bytes: 0,
            workers: 0,
            codes_bytes_min: 0,
            graph_rows_min: 0,
            build_threads: 1,
            ..Settings::default()
        };
        change(&mut settings);
        let for_db: Arc<dyn Clock> = clock.clone();
        let db = Db::open(Arc::new(SimDisk::default()), for_db, settings).unwrap();
        let collection = db.create_collection("c", schema).unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap();
        Self {
            db,
            collection,
            pool,
            clock,
        }
    }

    pub(crate) fn env(&self) -> Env<'_> {
        Env {
            pool: &self.pool,
            clock: &*self.clock,
            deadline: None,
            later: None,
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.collection.snapshot()
    }

    /// Writes as the server does.
    pub(crate) fn write(&self, ops: Vec<WriteOp>) -> Result<(), QueryError> {
        let schema = self.collection.schema();
        if needs_turn(&ops) {
            let turn = self.collection.turn(query::grows(&ops))?;
            let snapshot = turn.snapshot();
            let batch = resolve(Some(&snapshot), &schema, ops, &self.env())?;
            if !batch.is_empty() {
                let appended = turn.append(batch)?;
                self.collection.apply(&appended);
            }
        } else {
            let batch = resolve(None, &schema, ops, &self.env())?;
            self.collection.write(batch)?;
        }
        Ok(())
    }

    /// Writes whole points, without conditions.
    pub(crate) fn upsert(&self, rows: UpsertRows) {
        let (update_filter, mode) = (None, UpdateMode::Upsert);
        self.write(vec![WriteOp::Upsert {
            rows,
            update_filter,
            mode,
        }])
        .unwrap();
    }

    /// Changes the schema.
    pub(crate) fn alter(&self, change: impl Fn(&mut Schema)) {
        let mut altered = |before: &Schema| {
            let mut after = before.clone();
            change(&mut after);
            Ok(after)
        };
        self.db.alter_collection("c", &mut altered).unwrap();
    }

    /// Moves the memtable into a segment, and nothing else.
    pub(crate) fn flush(&self) {
        self.collection.run_now();
        while self.db.step_of(engine::StepKind::Flush) {}
    }

    /// Runs all background work there is.
    pub(crate) fn settle(&self) {
        self.collection.run_now();
        while self.db.step() {}
        let status = self.collection.status();
        assert!(
            status.optimizer_error.is_none(),
            "{:?}",
            status.optimizer_error
        );
    }
}

/// A vector of a schema.
pub(crate) fn vector(name: &str, dim: u32, metric: Metric) -> VectorSchema {
    let hnsw = HnswSettings {
        m: 8,
        ef_construct: 64,
        full_scan_threshold_kb: 1,
        seed: 7,
    };
    VectorSchema {
        name: name.to_owned(),
        hnsw,
        ..VectorSchema::unnamed(dim, metric)
    }
}

pub(crate) fn number(id: u64) -> PointId {
    PointId::Number(id)
}
