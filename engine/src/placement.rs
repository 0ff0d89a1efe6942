//! Placement: where the bytes of a collection are to be while it is searched.
//!
//! It is how this process holds the files and no property of them: whoever opens a collection says
//! it ([`Collection::place`](crate::Collection::place)), and it can change at any time.
//!
//! - **Cold**: read in batches when needed, through the page cache and never through a map. A job
//!   that has read or written a cold file whole drops it from the page cache.
//! - **Cached**: mapped; the kernel keeps in memory what is used, as long as there is room.
//! - **Pinned**: mapped, read in at once and locked; as cached where the process may lock no more
//!   (`RLIMIT_MEMLOCK`).
//!
//! Codes, graphs and columns that are cold stay mapped: a search reads them from place to place,
//! each read waiting for the one before. The kernel is told not to read ahead, and no copy of the
//! graph with codes in its nodes is made in memory.

use std::collections::BTreeMap;

use format_spec::PartKind;

/// How the bytes of a file are held.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum Residency {
    /// On disk.
    Cold,
    /// In memory as far as there is room.
    #[default]
    Cached,
    /// In memory.
    Pinned,
}

impl Residency {
    /// As the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Cached => "cached",
            Self::Pinned => "pinned",
        }
    }
}

/// Where what there is of one named vector is to be.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct VectorPlacement {
    /// The vectors themselves.
    pub originals: Residency,
    /// Their codes.
    pub codes: Residency,
    /// Their graph.
    pub graph: Residency,
}

/// Where everything of a collection is to be; a vector or index that is not named is
/// cached.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Placement {
    /// By the name of the vector.
    pub vectors: BTreeMap<String, VectorPlacement>,
    /// Payloads.
    pub payload: Residency,
    /// Columns, by the path of their index.
    pub fields: BTreeMap<String, Residency>,
}

impl Placement {
    /// How a part is to be held.
    pub(crate) fn of(&self, kind: PartKind, name: &str) -> Residency {
        let vector = self.vectors.get(name).copied().unwrap_or_default();
        match kind {
            PartKind::Vectors => vector.originals,
            PartKind::Codes | PartKind::Product => vector.codes,
            PartKind::Graph => vector.graph,
            PartKind::Payload => self.payload,
            PartKind::Column => self.fields.get(name).copied().unwrap_or_default(),
            PartKind::Rows
            | PartKind::Sparse
            | PartKind::Statistics
            | PartKind::Tombstones
            | PartKind::Patch => Residency::Cached,
        }
    }
}

/// Where bytes are, in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Held in memory of the process, made from files.
    pub resident: u64,
    /// Of files that are mapped and locked in memory.
    pub locked: u64,
    /// Of files that are mapped, and in memory as far as the kernel keeps them there.
    pub mapped: u64,
    /// Of files that are read when needed.
    pub cold: u64,
}

impl Held {
    /// Adds other bytes.
    pub(crate) fn add(&mut self, other: Self) {
        self.resident += other.resident;
        self.locked += other.locked;
        self.mapped += other.mapped;
        self.cold += other.cold;
    }
}

/// Where what there is of one named vector is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VectorHeld {
    /// The name.
    pub name: String,
    /// The vectors themselves, those of segments.
    pub originals: Held,
    /// Their codes.
    pub codes: Held,
    /// Their graphs; resident are those with codes in their nodes.
    pub graph: Held,
}

impl VectorHeld {
    /// Where parts of a kind count, if they are of a vector.
    pub(crate) fn of(&mut self, kind: PartKind) -> Option<&mut Held> {
        match kind {
            PartKind::Vectors => Some(&mut self.originals),
            PartKind::Codes | PartKind::Product => Some(&mut self.codes),
            PartKind::Graph => Some(&mut self.graph),
            PartKind::Rows
            | PartKind::Payload
            | PartKind::Sparse
            | PartKind::Column
            | PartKind::Statistics
            | PartKind::Tombstones
            | PartKind::Patch => None,
        }
    }
}

/// Where everything of a collection is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PlacementReport {
    /// In schema order.
    pub vectors: Vec<VectorHeld>,
    /// Payloads, those of segments.
    pub payload: Held,
}
