//! WriteBatch: the atomic unit given to the WAL, made of resolved operations.
//!
//! # Invariants
//! - Within one operation an id occurs once: the last one given wins.
//! - A large operation is split into several, and a large batch into several records: it stays one
//!   unit all the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use format_spec::wal_builder::{OpsBuilder, OpsError, PayloadTable};
use format_spec::wal_ops::OpsBuf;
use format_spec::{PointId, Schema};

use crate::error::{Error, Result};
use crate::upsert::{OP_BYTES_MAX, POINT_OVERHEAD_BYTES, UpsertRows};

/// Bytes of one record body, well below the format's 64 MiB: a record is buffered whole.
const RECORD_BYTES_MAX: u32 = 32 << 20;

/// One resolved operation.
#[derive(Clone, Debug)]
enum Resolved {
    Upsert(UpsertRows),
    Delete(Vec<PointId>),
    Patch(Vec<(PointId, Arc<[u8]>)>),
}

/// Operations that become durable and visible together.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    ops: Vec<Resolved>,
    bytes: usize,
    grows: bool,
}

/// The body of one WAL record.
#[derive(Clone, Debug)]
pub(crate) struct RecordBody {
    /// SeqNos it takes.
    pub(crate) ops: u64,
    /// The operations.
    pub(crate) body: OpsBuf,
}

impl WriteBatch {
    /// Without any operation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds points as a whole.
    pub fn upsert(&mut self, rows: UpsertRows) {
        let rows = rows.without_repeats();
        self.grows = true;
        self.bytes += rows.bytes() + rows.len() * POINT_OVERHEAD_BYTES;
        let cuts = rows.cut().into_iter().filter(|cut| !cut.is_empty());
        self.ops.extend(cuts.map(Resolved::Upsert));
    }

    /// Adds the removal of points; ids that do not exist are fine.
    pub fn delete(&mut self, ids: Vec<PointId>) {
        self.bytes += ids.len() * POINT_OVERHEAD_BYTES;
        let most = OP_BYTES_MAX / POINT_OVERHEAD_BYTES;
        if ids.len() <= most {
            self.ops
                .extend((!ids.is_empty()).then_some(Resolved::Delete(ids)));
        } else {
            self.ops
                .extend(ids.chunks(most).map(|ids| Resolved::Delete(ids.to_vec())));
        }
    }

    /// Adds whole new payloads, encoded objects; of a repeated id the last one stands.
    pub fn patch(&mut self, patches: Vec<(PointId, Arc<[u8]>)>) {
        let mut last = HashMap::with_capacity(patches.len());
        for (at, (id, _)) in patches.iter().enumerate() {
            last.insert(*id, at);
        }
        self.grows = true;
        let (mut op, mut bytes) = (Vec::new(), 0);
        for (at, (id, payload)) in patches.into_iter().enumerate() {
            if last.get(&id) != Some(&at) {
                continue;
            }
            let more = payload.len() + POINT_OVERHEAD_BYTES;
            if bytes + more > OP_BYTES_MAX && !op.is_empty() {
                self.ops.push(Resolved::Patch(std::mem::take(&mut op)));
                bytes = 0;
            }
            bytes += more;
            self.bytes += more;
            op.push((id, payload));
        }
        self.ops
            .extend((!op.is_empty()).then_some(Resolved::Patch(op)));
    }

    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// SeqNos the batch takes.
    pub fn ops(&self) -> usize {
        self.ops.len()
    }

    /// About as many bytes as it takes in the WAL.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it may make the collection larger: such batches are refused on a full disk.
    pub(crate) fn grows(&self) -> bool {
        self.grows
    }

    /// Whether it replaces payloads alone.
    pub(crate) fn patches(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Resolved::Patch(_)))
    }

    /// Turns the patches of points for which `whole` has the vectors into upserts, unless the batch
    /// itself has written the point before.
    pub(crate) fn with_whole_points(
        self,
        schema: &Schema,
        whole: impl Fn(PointId, &mut UpsertRows) -> bool,
    ) -> Self {
        let mut batch = Self {
            ops: Vec::new(),
            ..self
        };
        let mut written = HashSet::new();
        for op in self.ops {
            match op {
                Resolved::Upsert(rows) => {
                    written.extend(rows.ids().iter().copied());
                    batch.ops.push(Resolved::Upsert(rows));
                }
                Resolved::Delete(ids) => {
                    written.extend(ids.iter().copied());
                    batch.ops.push(Resolved::Delete(ids));
                }
                Resolved::Patch(patches) => {
                    let mut rows = UpsertRows::new(schema);
                    let mut rest = Vec::with_capacity(patches.len());
                    for (id, payload) in patches {
                        if !written.contains(&id) && whole(id, &mut rows) {
                            rows.payload(&payload);
                            written.insert(id);
                        } else {
                            rest.push((id, payload));
                        }
                    }
                    let cuts = rows.cut().into_iter().filter(|cut| !cut.is_empty());
                    batch.ops.extend(cuts.map(Resolved::Upsert));
                    batch
                        .ops
                        .extend((!rest.is_empty()).then_some(Resolved::Patch(rest)));
                }
            }
        }
        batch
    }

    /// The bodies of its records, in order.
    ///
    /// # Errors
    /// `Invalid` when a single point does not fit a record.
    pub(crate) fn into_records(self) -> Result<Vec<RecordBody>> {
        let mut records = Vec::new();
        let mut builder = OpsBuilder::with_limit(RECORD_BYTES_MAX);
        for op in &self.ops {
            let mut encoded = op.encode(&mut builder);
            if matches!(encoded, Err(OpsError::Full { .. })) {
                close(&mut builder, &mut records);
                // A single point may be larger than a record usually is, up to the format's most.
                builder = OpsBuilder::new();
                encoded = op.encode(&mut builder);
            }
            encoded.map_err(|error| Error::invalid("append", error.to_string()))?;
        }
        close(&mut builder, &mut records);
        Ok(records)
    }
}

fn close(builder: &mut OpsBuilder, records: &mut Vec<RecordBody>) {
    let full = std::mem::replace(builder, OpsBuilder::with_limit(RECORD_BYTES_MAX));
    if !full.is_empty() {
        records.push(RecordBody {
            ops: full.len() as u64,
            body: full.finish(),
        });
    }
}

impl Resolved {
    fn encode(&self, builder: &mut OpsBuilder) -> Result<(), OpsError> {
        match self {
            Self::Upsert(rows) => rows.encode(builder),
            Self::Delete(ids) => builder.delete(ids),
            Self::Patch(patches) => {
                let mut table = PayloadTable::new();
                let mut known: HashMap<&[u8], u32> = HashMap::new();
                let (mut ids, mut entries) = (Vec::new(), Vec::new());
                for (id, payload) in patches {
                    let entry = match known.get(&**payload) {
                        Some(&entry) => entry,
                        None => {
                            let entry = table.push(payload)?;
                            known.insert(payload, entry);
                            entry
                        }
                    };
                    ids.push(*id);
                    entries.push(entry);
                }
                builder.patch(&ids, &entries, &table)
            }
        }
    }
}
