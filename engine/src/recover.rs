//! Opening a shard: manifest, segments, WAL, orphans.
//!
//! ```text
//! highest manifest that may be trusted ── segments opened (lazily read) ── orphan parts removed
//!   ── WAL replayed above its flushed SeqNo, flushing as it goes ── new WAL file ── published
//! ```
//!
//! # Invariants
//! - A manifest below the highest is used only if all its parts exist and the WAL reaches back
//!   to its flushed SeqNo; the WAL's replay proves the latter.
//! - Nothing is appended to an old WAL file, and what an unclean end left in one is made durable
//!   again first: the page cache may show bytes the disk never got.
//! - Only files whose names we make, and no kept manifest lists, are removed.
//! - A segment that does not open is set aside; the rest serves.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use format_spec::path::wal_name;
use format_spec::wal_ops::OpsRef;
use format_spec::{Epoch, PartId, Schema, SegmentEntry, SeqNo, ShardManifest};
use parking_lot::{Condvar, Mutex};

use crate::attempt::attempt;
use crate::compaction::Jobs;
use crate::error::{Error, ErrorKind, Result};
use crate::field_index::IndexedPoints;
use crate::flush::write_flush;
use crate::foreign::warn_around;
use crate::numbered;
use crate::publish::Cell;
use crate::rate::urgently;
use crate::retire::RetiredFiles;
use crate::segment::{Segment, part_path};
use crate::shard::{AppendSide, ApplySide, Ground, Shard, ShardName, Surroundings, VersionSide};
use crate::storage::{Storage, sync_dirs_up};
use crate::version::{Damaged, SegmentState};
use crate::wal::{self, ReplayRecord, Wal, WalIdentity, WalSettings};

impl Shard {
    /// Makes a new, empty shard. Durable when this returns; the catalog does not name it yet.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn create(
        around: Surroundings,
        name: ShardName,
        schema: Arc<Schema>,
    ) -> Result<Arc<Self>> {
        let storage = Arc::clone(&around.storage);
        for dir in [name.parts_dir(), name.manifest_dir(), name.wal_dir()] {
            storage.create_dir(&dir)?;
            sync_dirs_up(&*storage, &dir)?;
        }
        let first = ShardManifest {
            number: 1,
            shard: name.shard,
            collection: name.collection,
            epoch: Epoch(0),
            flushed: SeqNo(0),
            hash_range: (0, u64::MAX),
            next_part: 1,
            next_segment: 1,
            first_wal: 1,
            segments: Vec::new(),
        };
        let file = format_spec::path::manifest_name(1);
        let settings = wal_settings(&around);
        let dir = name.wal_dir();
        let wal = Wal::create(
            Arc::clone(&storage),
            dir,
            identity(name),
            settings,
            1,
            SeqNo(0),
        )?;
        wal.close()?;
        numbered::create(&*storage, &name.manifest_dir(), &file, &first.encode())?;
        Self::open(around, name, schema)
    }

    /// Recovers a shard that exists.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset, when manifest or WAL cannot be trusted.
    pub(crate) fn open(
        around: Surroundings,
        name: ShardName,
        schema: Arc<Schema>,
    ) -> Result<Arc<Self>> {
        let storage = Arc::clone(&around.storage);
        let chosen = choose_manifest(&*storage, name)?;
        warn_around(&*storage, name)?;
        let leftover = leftover_parts(&*storage, name, &chosen)?;
        let next_part = chosen.current.next_part.max(leftover.highest + 1);
        let next_segment = chosen.current.next_segment;
        let base = Ground::new(name, around, (next_part, next_segment));
        base.rate.set(schema.compaction.rate_bytes_per_s);
        let (segments, damaged) = open_segments(&base, &chosen.current, &schema)?;
        let mut apply = ApplySide {
            seqno: chosen.current.flushed,
            memtables: Vec::new(),
            derived_room: Arc::clone(&base.around.derived_room),
            schema,
            segments,
            sealed: VecDeque::new(),
            damaged,
            sealed_patches: 0,
        };
        apply.add_memtable();
        let mut version = VersionSide {
            current: chosen.current,
            previous: chosen.previous,
            next_manifest: chosen.next_number,
            retired: RetiredFiles::default(),
        };
        // A manifest below the newest is proved by the replay; until then its parts are all we
        // have. Otherwise the orphans' space is there for what the replay flushes.
        let fell_back = chosen.fell_back;
        if !fell_back {
            leftover.remove(&*storage)?;
        }
        let end = replay(&base, &mut version, &mut apply)?;
        if fell_back {
            leftover.remove(&*storage)?;
        }
        let settings = wal_settings(&base.around);
        let wal = Wal::open(storage, name.wal_dir(), identity(name), settings, end)?;
        Ok(Arc::new(Self::assemble(base, wal, version, apply)))
    }

    fn assemble(base: Ground, wal: Wal, version: VersionSide, apply: ApplySide) -> Self {
        let next = SeqNo(apply.seqno.0 + 1);
        Self {
            base,
            wal,
            state: Cell::new(apply.state()),
            version: Mutex::new(version),
            placing: Mutex::default(),
            append: Mutex::new(AppendSide { next }),
            apply: Mutex::new(apply),
            pending: Mutex::new(VecDeque::new()),
            room: Condvar::new(),
            room_lock: Mutex::new(()),
            indexed: IndexedPoints::default(),
            jobs: Jobs::default(),
            last_write_ms: AtomicU64::new(0),
            last_full_ms: AtomicU64::new(0),
            flush_retry_at_ms: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        }
    }

    /// Whether a shard that no catalog names was in use: it has a manifest, and a segment or a
    /// record of the WAL. One that is half-made or half-removed has not.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn has_writes(around: &Surroundings, name: ShardName) -> Result<bool> {
        let storage = &*around.storage;
        for dir in [name.manifest_dir(), name.wal_dir()] {
            if !storage.exists(&dir)? {
                return Ok(false);
            }
        }
        let Ok(chosen) = choose_manifest(storage, name) else {
            return Ok(false);
        };
        let mut found = !chosen.current.segments.is_empty();
        let after = chosen.current.flushed;
        let replayed = wal::replay(
            storage,
            &name.wal_dir(),
            &identity(name),
            after,
            &mut |_: ReplayRecord<'_>| {
                found = true;
                Ok(())
            },
        );
        // A log that is damaged before its first record proves nothing.
        drop(replayed);
        Ok(found || chosen.current.flushed > SeqNo(0))
    }
}

fn identity(name: ShardName) -> WalIdentity {
    WalIdentity {
        collection: name.collection,
        shard: name.shard,
    }
}

fn wal_settings(around: &Surroundings) -> WalSettings {
    let settings = &around.settings;
    WalSettings {
        file_bytes: settings.wal_file_bytes,
        soft_free_bytes: settings.soft_free_bytes,
        hysteresis_bytes: settings.soft_free_bytes / 2,
        file_id_seed: settings.seed ^ around.clock.now_ms(),
    }
}

/// What the manifest folder says.
struct Chosen {
    current: ShardManifest,
    previous: Option<ShardManifest>,
    next_number: u64,
    /// Whether a newer one did not verify.
    fell_back: bool,
}

fn choose_manifest(storage: &dyn Storage, name: ShardName) -> Result<Chosen> {
    let dir = name.manifest_dir();
    let numbers = numbered::numbers(storage, &dir, format_spec::path::parse_manifest_name)?;
    let Some(&highest) = numbers.first() else {
        return Err(Error::damaged(dir, "there is no manifest"));
    };
    let mut read = numbers
        .iter()
        .map(|&number| read_manifest(storage, name, number));
    let newest = read
        .next()
        .unwrap_or_else(|| Err(Error::damaged(&*dir, "no manifest")));
    let next_number = highest + 1;
    match newest {
        Ok(current) => {
            // Older than the newest, it only protects files; one that does not verify protects
            // none.
            let previous = read.next().and_then(Result::ok);
            Ok(Chosen {
                current,
                previous,
                next_number,
                fell_back: false,
            })
        }
        Err(damage) => {
            // Every try that failed has left one; what lies below them is judged by its parts.
            let Some(current) = read.find_map(Result::ok) else {
                return Err(damage);
            };
            for part in current.segments.iter().flat_map(|segment| &segment.parts) {
                let path = part_path(&name.parts_dir(), part.id, part.kind);
                if !storage.exists(&path)? {
                    let message = format!("the manifest below needs {path}, which is missing");
                    return Err(
                        Error::new(ErrorKind::Corrupt, "open shard", message).with_source(damage)
                    );
                }
            }
            tracing::warn!(error = %damage.chain(), "newest manifest torn, the one below is used");
            Ok(Chosen {
                current,
                previous: None,
                next_number,
                fell_back: true,
            })
        }
    }
}

fn read_manifest(storage: &dyn Storage, name: ShardName, number: u64) -> Result<ShardManifest> {
    let dir = name.manifest_dir();
    let path = format!("{dir}/{}", format_spec::path::manifest_name(number));
    let bytes = numbered::read(storage, &path)?;
    ShardManifest::decode(&bytes, number, name.collection, name.shard)
        .map_err(|error| Error::corrupt(path, error))
}

/// Part files that no kept manifest lists.
struct Leftover {
    paths: Vec<String>,
    highest: u64,
}

impl Leftover {
    fn remove(&self, storage: &dyn Storage) -> Result<()> {
        for path in &self.paths {
            tracing::info!(path, "orphan part removed");
            storage.remove_file(path)?;
        }
        Ok(())
    }
}

fn leftover_parts(storage: &dyn Storage, name: ShardName, chosen: &Chosen) -> Result<Leftover> {
    let manifests = [Some(&chosen.current), chosen.previous.as_ref()];
    let segments = manifests
        .into_iter()
        .flatten()
        .flat_map(|manifest| &manifest.segments);
    let listed: BTreeSet<PartId> = segments
        .flat_map(|segment| segment.parts.iter().map(|part| part.id))
        .collect();
    let dir = name.parts_dir();
    let mut leftover = Leftover {
        paths: Vec::new(),
        highest: 0,
    };
    for entry in storage.list(&dir)? {
        let path = format!("{dir}/{}", entry.name);
        let Some((id, _)) = format_spec::path::parse_part_name(&entry.name) else {
            tracing::warn!(path, "unknown file left alone");
            continue;
        };
        leftover.highest = leftover.highest.max(id.0);
        if !listed.contains(&id) {
            leftover.paths.push(path);
        }
    }
    Ok(leftover)
}

type Opened = (Vec<Arc<SegmentState>>, Vec<Damaged>);

fn open_segments(base: &Ground, manifest: &ShardManifest, schema: &Schema) -> Result<Opened> {
    let (mut segments, mut damaged) = (Vec::new(), Vec::new());
    for entry in &manifest.segments {
        match open_segment(base, entry, schema) {
            Ok(state) => segments.push(Arc::new(state)),
            Err(error) => {
                let why = error.chain();
                tracing::error!(segment = entry.id.0, error = why, "segment set aside");
                let state = open_aside(base, entry, schema);
                damaged.push(Damaged {
                    segment: entry.id,
                    state,
                    why,
                });
            }
        }
    }
    Ok((segments, damaged))
}

fn open_segment(base: &Ground, entry: &SegmentEntry, schema: &Schema) -> Result<SegmentState> {
    let dir = base.name.parts_dir();
    let owner = base.name.owner();
    let segment = Segment::open(base.storage(), &dir, owner, entry.clone(), schema, &[])?;
    segment.serve(&base.around, None);
    SegmentState::open(Arc::new(segment))
}

/// What can be opened of a segment that cannot be served.
fn open_aside(base: &Ground, entry: &SegmentEntry, schema: &Schema) -> Option<Arc<SegmentState>> {
    let dir = base.name.parts_dir();
    let owner = base.name.owner();
    let segment = Segment::open_rows(base.storage(), &dir, owner, entry, schema).ok()?;
    SegmentState::open(Arc::new(segment)).ok().map(Arc::new)
}

/// Applies what the WAL has above the manifest, and flushes it unless the WAL ended cleanly.
fn replay(
    base: &Ground,
    version: &mut VersionSide,
    apply: &mut ApplySide,
) -> Result<wal::ReplayEnd> {
    let most = base.around.settings.memtable_bytes_max;
    let after = version.current.flushed;
    let dir = base.name.wal_dir();
    let mut sink = |record: ReplayRecord<'_>| {
        let corrupt = |error| Error::corrupt(format!("{dir}/{}", wal_name(record.file)), error);
        let ops = OpsRef::parse(record.body).map_err(corrupt)?;
        let next = apply.apply_ops(ops, record.seq_first);
        apply.seqno = SeqNo(next.0 - 1);
        let whole = !record.in_run || record.commits;
        if whole && apply.is_full(most) {
            flush_or_keep(base, version, apply)
        } else {
            Ok(())
        }
    };
    let end = wal::replay(base.storage(), &dir, &identity(base.name), after, &mut sink)?;
    Ok(end)
}

/// Flushes; on a full disk the rows stay in memory, bounded by the WAL, and reads go on.
fn flush_or_keep(base: &Ground, version: &mut VersionSide, apply: &mut ApplySide) -> Result<()> {
    match flush_all(base, version, apply) {
        Err(error) if error.kind() == ErrorKind::DiskFull => {
            tracing::warn!(error = %error.chain(), "no room to flush what was replayed");
            Ok(())
        }
        flushed => flushed,
    }
}

/// Seals the memtable, unless one waits already, and flushes what is sealed, oldest first: what a
/// full disk has kept back goes before what came after it.
fn flush_all(base: &Ground, version: &mut VersionSide, apply: &mut ApplySide) -> Result<()> {
    apply.seal_in_place();
    while let Some(oldest) = apply.sealed.front().map(Arc::clone) {
        let current = apply.state();
        let first_wal = version.current.first_wal;
        let flushed = attempt(base.storage(), || {
            urgently(|| write_flush(base, version, &current, &oldest, first_wal))
        })?;
        match flushed {
            Some(flushed) => apply.install_flush(flushed),
            None => drop(apply.sealed.pop_front()),
        }
    }
    Ok(())
}
