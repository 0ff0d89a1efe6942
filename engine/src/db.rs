//! Db: one data directory.
//!
//! # Invariants
//! - One process holds the directory's LOCK.
//! - The catalog on disk changes before the collections in memory do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use format_spec::{CollectionEntry, CollectionId, Schema, ShardId};
use parking_lot::{Mutex, RwLock};

use crate::catalog::{CatalogStore, remove_collection};
use crate::clock::Clock;
use crate::collection::Collection;
use crate::derived::DerivedRoom;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::warn_in_root;
use crate::payload_cache::{PayloadCache, PayloadCacheFigures};
use crate::pool::Pool;
use crate::segment::CodedRoom;
use crate::settings::Settings;
use crate::shard::{Shard, ShardName, Surroundings};
use crate::storage::{BatchedReads, Lock, Storage};
use crate::worker::{StepKind, Wakeup, start};

/// The one shard of a collection.
const SHARD: ShardId = ShardId(0);

/// What the background threads share with the handle.
#[derive(Debug)]
pub(crate) struct Inner {
    around: Surroundings,
    catalog: Mutex<CatalogStore>,
    collections: RwLock<BTreeMap<String, Arc<Collection>>>,
    /// Collections whose shard does not open, with the reason; the others serve.
    failed: RwLock<BTreeMap<String, Error>>,
    /// Collections this process has tried to make: a failed try leaves files, and never shares its
    /// id.
    tries: AtomicU64,
    _lock: Box<dyn Lock>,
}

/// An open data directory.
#[derive(Debug)]
pub struct Db {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Db {
    /// Opens the directory behind `storage`, making it if it is empty, and recovers every
    /// collection.
    ///
    /// # Errors
    /// `Busy` when another process has it; `Corrupt`, naming file and offset, when the catalog
    /// cannot be trusted. A collection that does not open is in [`Self::failure`]; the others
    /// serve.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Arc<Self>> {
        let lock = storage.lock(format_spec::path::LOCK)?;
        let catalog = CatalogStore::open(&*storage)?;
        warn_in_root(&*storage)?;
        let threads = settings.build_threads;
        let coded_room = Arc::new(CodedRoom::new(settings.coded_graph_bytes_max));
        let derived_room = Arc::new(DerivedRoom::new(settings.derived_bytes_max));
        let payload_cache = Arc::new(PayloadCache::new(settings.payload_cache_bytes_max));
        let around = Surroundings {
            storage,
            clock,
            coded_room,
            derived_room,
            payload_cache,
            settings: Arc::new(settings),
            wakeup: Arc::new(Wakeup::default()),
            build_pool: Arc::new(Pool::new("build", threads)),
            encode_pool: Arc::new(Pool::new("encode", threads)),
        };
        let (mut collections, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for entry in &catalog.current.collections {
            let name = ShardName {
                collection: entry.id,
                shard: SHARD,
            };
            match Shard::open(around.clone(), name, Arc::new(entry.schema.clone())) {
                Ok(shard) => {
                    let collection = Arc::new(Collection::new(entry, shard));
                    collections.insert(entry.name.clone(), collection);
                }
                Err(error) => {
                    let name = entry.name.clone();
                    tracing::error!(name, error = %error.chain(), "collection does not open");
                    failed.insert(name, error);
                }
            }
        }
        catalog.remove_orphans(&*around.storage, |id| {
            Shard::has_writes(
                &around,
                ShardName {
                    collection: id,
                    shard: SHARD,
                },
            )
        })?;
        let workers = around.settings.workers;
        let inner = Arc::new(Inner {
            around,
            catalog: Mutex::new(catalog),
            collections: RwLock::new(collections),
            failed: RwLock::new(failed),
            tries: AtomicU64::new(0),
            _lock: lock,
        });
        let threads = Mutex::new(start(&inner, workers)?);
        Ok(Arc::new(Self { inner, threads }))
    }

    /// How cold files are read, and how much was.
    pub fn batched_reads(&self) -> BatchedReads {
        self.inner.around.storage.batched_reads()
    }

    /// What the cache of payload blocks has, and how often it helped.
    pub fn payload_cache(&self) -> PayloadCacheFigures {
        self.inner.around.payload_cache.figures()
    }

    /// The collection of this name.
    pub fn collection(&self, name: &str) -> Option<Arc<Collection>> {
        self.inner.collections.read().get(name).map(Arc::clone)
    }

    /// Why a collection that the catalog names cannot be served.
    pub fn failure(&self, name: &str) -> Option<(ErrorKind, String)> {
        self.inner
            .failed
            .read()
            .get(name)
            .map(|error| (error.kind(), error.chain()))
    }

    /// Names of the collections that do not open, sorted.
    pub fn failed(&self) -> Vec<String> {
        self.inner.failed.read().keys().cloned().collect()
    }

    /// All collections, sorted by name.
    pub fn collections(&self) -> Vec<Arc<Collection>> {
        self.inner.all()
    }

    /// Makes a collection. It is durable when this returns.
    ///
    /// # Errors
    /// `Conflict` when there is one of this name; what the disk says.
    pub fn create_collection(&self, name: &str, mut schema: Schema) -> Result<Arc<Collection>> {
        let around = &self.inner.around;
        let mut catalog = self.inner.catalog.lock();
        if catalog
            .current
            .collections
            .iter()
            .any(|entry| entry.name == name)
        {
            let message = format!("collection {name:?} already exists");
            return Err(Error::conflict("create collection", message));
        }
        schema.version = 1;
        let created_at_ms = around.clock.now_ms();
        let tried = self.inner.tries.fetch_add(1, Ordering::Relaxed);
        let salt = around.settings.seed ^ tried.rotate_left(32);
        let id = new_id(salt, catalog.next_number(), created_at_ms);
        let shard_name = ShardName {
            collection: id,
            shard: SHARD,
        };
        let entry = CollectionEntry {
            id,
            name: name.to_owned(),
            schema,
            shards: vec![SHARD],
            created_at_ms,
        };
        let made = Shard::create(around.clone(), shard_name, Arc::new(entry.schema.clone()));
        let shard = made.inspect_err(|_| {
            // What could not be made is no collection; what stays of it is an orphan at the next
            // start.
            drop(remove_collection(&*around.storage, id));
        })?;
        let mut next = catalog.current.clone();
        next.collections.push(entry.clone());
        if let Err(error) = catalog.install(&*around.storage, next) {
            // While the catalog may name it at the next start, the shard stays: it is then either
            // named or an orphan.
            drop(shard.close());
            if !catalog.in_doubt() {
                drop(remove_collection(&*around.storage, id));
            }
            return Err(error);
        }
        let collection = Arc::new(Collection::new(&entry, shard));
        self.inner
            .collections
            .write()
            .insert(name.to_owned(), Arc::clone(&collection));
        Ok(collection)
    }

    /// Removes a collection; false when there is none. Gone for good when this returns.
    ///
    /// # Errors
    /// What the disk says. After the catalog has forgotten the collection, files that could not
    /// be removed go at the next start.
    pub fn drop_collection(&self, name: &str) -> Result<bool> {
        let around = &self.inner.around;
        let mut catalog = self.inner.catalog.lock();
        let entries = &catalog.current.collections;
        let Some(id) = entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.id)
        else {
            return Ok(false);
        };
        let mut next = catalog.current.clone();
        next.collections.retain(|entry| entry.id != id);
        next.aliases.retain(|(_, target)| target != name);
        let doubt = |doubt: bool| {
            if let Some(collection) = self.collection(name) {
                collection.shard().in_doubt.store(doubt, Ordering::Release);
            }
        };
        // Were it to fail and come true at a restart, that would take later writes away.
        doubt(true);
        if let Err(error) = catalog.install(&*around.storage, next) {
            doubt(catalog.in_doubt());
            return Err(error);
        }
        self.inner.failed.write().remove(name);
        let collection = self.inner.collections.write().remove(name);
        drop(catalog);
        if let Some(collection) = collection {
            collection.shard().abandon();
        }
        if let Err(error) = remove_collection(&*around.storage, id) {
            tracing::warn!(name, error = %error.chain(), "dropped, but files remain");
        }
        Ok(true)
    }

    /// Changes a schema: durable in the catalog first, then for readers and writers.
    ///
    /// # Errors
    /// `NotFound`, what `change` returns, `Invalid` when the vectors differ in more than their
    /// graph settings and codec, what the disk says.
    pub fn alter_collection(
        &self,
        name: &str,
        change: &mut dyn FnMut(&Schema) -> Result<Schema>,
    ) -> Result<()> {
        let mut catalog = self.inner.catalog.lock();
        let Some(collection) = self.collection(name) else {
            let message = format!("collection {name:?} does not exist");
            return Err(Error::not_found("alter collection", message));
        };
        let before = collection.schema();
        let mut after = change(&before)?;
        if after == *before {
            return Ok(());
        }
        let shape = |schema: &Schema| -> Vec<_> {
            let vectors = schema.vectors.iter();
            vectors
                .map(|v| (v.name.clone(), v.dim, v.metric, v.element))
                .collect()
        };
        if shape(&before) != shape(&after) {
            let message = "name, size, distance and datatype of a vector do not change";
            return Err(Error::invalid("alter collection", message));
        }
        after.version = before.version + 1;
        let mut next = catalog.current.clone();
        if let Some(entry) = next
            .collections
            .iter_mut()
            .find(|e| e.id == collection.id())
        {
            entry.schema = after.clone();
        }
        catalog.install(&*self.inner.around.storage, next)?;
        collection.shard().set_schema(Arc::new(after));
        Ok(())
    }

    /// Runs one background step on this thread; false when there was nothing to do. For use with
    /// [`Settings::workers`] 0.
    pub fn step(&self) -> bool {
        self.step_of(StepKind::Flush) || self.step_of(StepKind::Compact)
    }

    /// As [`Self::step`], of one kind.
    pub fn step_of(&self, kind: StepKind) -> bool {
        self.inner.step(kind)
    }

    /// Ends background work and syncs the WALs. What was acknowledged is safe without this.
    ///
    /// # Errors
    /// The first shard that could not be closed cleanly.
    pub fn close(&self) -> Result<()> {
        self.inner.around.wakeup.stop();
        // A job that waits for its rate would be waited for.
        self.inner
            .all()
            .iter()
            .for_each(|c| c.shard().base.rate.set(0));
        for thread in self.threads.lock().drain(..) {
            // A worker that panicked has said so; closing goes on.
            drop(thread.join());
        }
        let closed: Vec<_> = self.inner.all().iter().map(|c| c.shard().close()).collect();
        closed.into_iter().collect()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(error = %error.chain(), "not closed cleanly");
        }
    }
}

impl Inner {
    fn all(&self) -> Vec<Arc<Collection>> {
        self.collections.read().values().map(Arc::clone).collect()
    }

    pub(crate) fn wakeup(&self) -> &Wakeup {
        &self.around.wakeup
    }

    /// Tries again to overrule a change of the catalog that failed and that the disk may have
    /// kept; collections that wait for it then take writes again.
    fn settle_catalog(&self) {
        let Some(mut catalog) = self.catalog.try_lock() else {
            return;
        };
        if catalog.in_doubt() && catalog.settle(&*self.around.storage).is_err() {
            return;
        }
        let all = self.collections.read();
        let doubts = all.values().map(|collection| &collection.shard().in_doubt);
        doubts.for_each(|doubt| doubt.store(false, Ordering::Release));
    }

    /// One step of `kind` in any collection.
    pub(crate) fn step(&self, kind: StepKind) -> bool {
        if kind == StepKind::Flush {
            self.settle_catalog();
        }
        self.all().iter().fold(false, |busy, collection| {
            let stepped = match kind {
                StepKind::Flush => collection.shard().step_flush(),
                StepKind::Compact => collection.shard().step_compact(),
            };
            busy || stepped
        })
    }
}

/// A collection id that this directory has never used: catalog numbers never repeat.
fn new_id(seed: u64, catalog_number: u64, now_ms: u64) -> CollectionId {
    let half = |salt: u64| {
        format_spec::placement_hash(format_spec::PointId::Uuid(
            u128::from(seed ^ salt) << 64 | u128::from(now_ms),
        )) ^ format_spec::placement_hash(format_spec::PointId::Number(catalog_number ^ salt))
    };
    let bits = u128::from(half(1)) << 64 | u128::from(half(2));
    // RFC 9562, 5.8: version 8 leaves all other bits to the application.
    let version = bits & !(0xF000 << 64) | 0x8000 << 64;
    CollectionId(version & !(0b11 << 62) | 0b10 << 62)
}
