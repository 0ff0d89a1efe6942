//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Clock, Collection, Db};

use crate::body::BodyReader;
use crate::error::ApiError;
use crate::issues::Issues;
use crate::pool::{BlockingPool, SearchPool};
use crate::route::Routes;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::wire::config::Config;
use crate::wire::index;

/// One sync of a disk takes a millisecond or more; so many writers may share it.
const WRITE_THREADS: usize = 16;
/// Changes of collections take turns anyway.
const ADMIN_THREADS: usize = 2;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) routes: Routes,
    pub(crate) bodies: BodyReader,
    pub(crate) search: SearchPool,
    pub(crate) write: BlockingPool,
    pub(crate) admin: BlockingPool,
    pub(crate) telemetry: Telemetry,
    pub(crate) issues: Issues,
    stopping: AtomicBool,
}

impl State {
    pub(crate) fn new(
        db: Arc<Db>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> std::io::Result<Self> {
        let service = &settings.service;
        let writers = match service.write_threads {
            0 => WRITE_THREADS,
            threads => threads,
        };
        Ok(Self {
            routes: Routes::new().map_err(std::io::Error::other)?,
            bodies: BodyReader::new(service),
            search: SearchPool::new(service.search_threads, service.search_queue)?,
            write: BlockingPool::new("write", writers, service.write_queue)?,
            admin: BlockingPool::new("admin", ADMIN_THREADS, service.write_queue)?,
            telemetry: Telemetry::new(),
            issues: Issues::default(),
            stopping: AtomicBool::new(false),
            db,
            clock,
            settings,
        })
    }

    /// Holds the files of a collection as its configuration says.
    ///
    /// # Errors
    /// When the stored configuration cannot be read.
    pub(crate) fn place(&self, collection: &Collection) -> Result<(), ApiError> {
        collection.place_by_schema(|schema| {
            let mut placement = Config::of(schema)?.placement();
            for field in &schema.fields {
                let residency = index::residency(field)?;
                placement.fields.insert(field.path.clone(), residency);
            }
            Ok(placement)
        })
    }

    /// The collection, or the 404 that says so.
    pub(crate) fn collection(&self, name: &str) -> Result<Arc<Collection>, ApiError> {
        let found = self.db.collection(name);
        found.ok_or_else(|| match self.db.failure(name) {
            Some((_, why)) => {
                ApiError::internal(format!("collection {name:?} does not open: {why}"))
            }
            None => ApiError::no_collection(name),
        })
    }

    /// Whether there is such a collection, in whatever state.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.db.collection(name).is_some() || self.db.failure(name).is_some()
    }

    /// From now on the server says that it is not ready.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Finishes the writes that were taken and takes no more.
    pub(crate) fn close_threads(&self) {
        self.admin.close();
        self.write.close();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
