//! UpsertRows: points to upsert, by column, checked and encoded.
//!
//! Everything a client can get wrong about vectors is refused here, while the rows are gathered
//! and before anything is logged: unknown names, dimensions, values that are not numbers.
//!
//! # Invariants
//! - Vectors are in element encoding, normalised where the metric wants it.
//! - A point has at most one row of each vector name.

use std::collections::HashMap;
use std::fmt;

use format_spec::wal_builder::{OpsBuilder, OpsError, PayloadTable, UpsertColumns, VectorColumn};
use format_spec::{PointId, Schema, VectorSchema};
use quant::EncodeError;

/// Bytes of one operation; a larger one is split into several, which stay one atomic batch.
pub(crate) const OP_BYTES_MAX: usize = 8 << 20;
/// What a point takes in a body besides vectors and payload, at most.
pub(crate) const POINT_OVERHEAD_BYTES: usize = 64;

/// A vector that cannot be stored.
#[derive(Clone, PartialEq, Debug)]
pub enum VectorError {
    /// The schema has no vector of this name.
    Unknown {
        /// The name.
        name: String,
    },
    /// Too few or too many numbers.
    Dimension {
        /// The vector's name.
        name: String,
        /// What the schema says.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// No numbers at all.
    Empty {
        /// The vector's name.
        name: String,
    },
    /// NaN or an infinity.
    NotFinite {
        /// The vector's name.
        name: String,
        /// Place in the vector.
        index: usize,
    },
    /// A number that the element type cannot hold.
    OutOfRange {
        /// The vector's name.
        name: String,
        /// Place in the vector.
        index: usize,
        /// The number.
        value: f32,
    },
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "no vector named {name:?}"),
            Self::Dimension {
                name,
                expected,
                got,
            } => {
                write!(f, "vector {name:?}: expected dim {expected}, got {got}")
            }
            Self::Empty { name } => write!(f, "vector {name:?}: is empty"),
            Self::NotFinite { name, index } => {
                write!(f, "vector {name:?}: number {index} is not finite")
            }
            Self::OutOfRange { name, index, value } => {
                write!(
                    f,
                    "vector {name:?}: number {index} is {value}, out of range of its type"
                )
            }
        }
    }
}

impl std::error::Error for VectorError {}

/// Checks and encodes one vector into `out`.
///
/// # Errors
/// What is wrong with `values`, naming the vector.
pub fn encode_vector(
    schema: &VectorSchema,
    values: &[f32],
    out: &mut Vec<u8>,
) -> Result<(), VectorError> {
    let name = || schema.name.clone();
    if values.is_empty() {
        return Err(VectorError::Empty { name: name() });
    }
    if values.len() != schema.dim as usize {
        let expected = schema.dim as usize;
        return Err(VectorError::Dimension {
            name: name(),
            expected,
            got: values.len(),
        });
    }
    quant::encode_row(schema.metric, schema.element, values, out).map_err(|error| match error {
        EncodeError::NotFinite { index } => VectorError::NotFinite {
            name: name(),
            index,
        },
        EncodeError::OutOfRange { index, value } | EncodeError::Overflow { index, value } => {
            VectorError::OutOfRange {
                name: name(),
                index,
                value,
            }
        }
        EncodeError::Dimension { expected, found } => VectorError::Dimension {
            name: name(),
            expected,
            got: found,
        },
        EncodeError::Unsupported { dim } => VectorError::Dimension {
            name: name(),
            expected: schema.dim as usize,
            got: dim,
        },
    })
}

/// The rows of one vector name.
#[derive(Clone, Debug)]
struct Column {
    schema: VectorSchema,
    present: Vec<bool>,
    /// Dense: only the present rows, `dim * element size` bytes each.
    data: Vec<u8>,
    /// Where the row of point i starts in `data`, if present.
    starts: Vec<usize>,
}

/// Points to upsert, by column, in element encoding.
#[derive(Clone, Debug)]
pub struct UpsertRows {
    ids: Vec<PointId>,
    columns: Vec<Column>,
    payload_ends: Vec<usize>,
    payloads: Vec<u8>,
}

impl UpsertRows {
    /// No points, for vectors of `schema`.
    pub fn new(schema: &Schema) -> Self {
        let column = |schema: &VectorSchema| Column {
            schema: schema.clone(),
            present: Vec::new(),
            data: Vec::new(),
            starts: Vec::new(),
        };
        Self {
            ids: Vec::new(),
            columns: schema.vectors.iter().map(column).collect(),
            payload_ends: Vec::new(),
            payloads: Vec::new(),
        }
    }

    /// Begins a point, without vectors and with an empty payload.
    pub fn begin(&mut self, id: PointId) {
        self.ids.push(id);
        self.payload_ends.push(self.payloads.len());
        for column in &mut self.columns {
            column.present.push(false);
            column.starts.push(column.data.len());
        }
    }

    /// Sets a vector of the point begun last; `vector_index` counts in schema order.
    ///
    /// # Errors
    /// What is wrong with `values`; the point then has no such vector.
    pub fn vector(&mut self, vector_index: usize, values: &[f32]) -> Result<(), VectorError> {
        let Some(column) = self.columns.get_mut(vector_index) else {
            return Err(VectorError::Unknown {
                name: vector_index.to_string(),
            });
        };
        column.clear_last();
        encode_vector(&column.schema, values, &mut column.data)?;
        column.mark_last();
        Ok(())
    }

    /// Sets a vector of the point begun last from bytes that were encoded for the same schema.
    pub fn raw_vector(&mut self, vector_index: usize, row: &[u8]) {
        if let Some(column) = self.columns.get_mut(vector_index) {
            column.clear_last();
            column.data.extend_from_slice(row);
            column.mark_last();
        }
    }

    /// Sets the payload of the point begun last: an encoded object.
    pub fn payload(&mut self, encoded: &[u8]) {
        let points = self.payload_ends.len();
        let start = if points < 2 {
            0
        } else {
            self.payload_ends[points - 2]
        };
        self.payloads.truncate(start);
        self.payloads.extend_from_slice(encoded);
        if let Some(end) = self.payload_ends.last_mut() {
            *end = self.payloads.len();
        }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of point `at`.
    pub fn id(&self, at: usize) -> PointId {
        self.ids[at]
    }

    /// The ids.
    pub fn ids(&self) -> &[PointId] {
        &self.ids
    }

    /// A vector of point `at`, in element encoding.
    pub fn get_vector(&self, at: usize, vector_index: usize) -> Option<&[u8]> {
        let column = self.columns.get(vector_index)?;
        if !*column.present.get(at)? {
            return None;
        }
        column
            .data
            .get(column.starts[at]..column.starts[at] + column.stride())
    }

    /// The payload of point `at`, encoded.
    pub fn get_payload(&self, at: usize) -> &[u8] {
        let start = if at == 0 {
            0
        } else {
            self.payload_ends[at - 1]
        };
        let bytes = &self.payloads[start..self.payload_ends[at]];
        if bytes.is_empty() {
            format_spec::EMPTY_PAYLOAD
        } else {
            bytes
        }
    }

    /// Appends point `at` of `other`, which has the same schema.
    pub fn push_from(&mut self, other: &Self, at: usize) {
        self.begin(other.id(at));
        for index in 0..self.columns.len() {
            if let Some(row) = other.get_vector(at, index) {
                self.raw_vector(index, row);
            }
        }
        self.payload(other.get_payload(at));
    }

    /// Bytes of vectors and payloads.
    pub fn bytes(&self) -> usize {
        self.payloads.len()
            + self
                .columns
                .iter()
                .map(|column| column.data.len())
                .sum::<usize>()
    }

    /// Keeps the last of several points with the same id.
    pub(crate) fn without_repeats(self) -> Self {
        let mut last = HashMap::with_capacity(self.ids.len());
        for (at, &id) in self.ids.iter().enumerate() {
            last.insert(id, at);
        }
        if last.len() == self.ids.len() {
            return self;
        }
        let keep = (0..self.len()).filter(|&at| last.get(&self.ids[at]) == Some(&at));
        self.subset(keep)
    }

    fn subset(&self, points: impl Iterator<Item = usize>) -> Self {
        let empty = |column: &Column| Column {
            schema: column.schema.clone(),
            present: Vec::new(),
            data: Vec::new(),
            starts: Vec::new(),
        };
        let mut subset = Self {
            ids: Vec::new(),
            columns: self.columns.iter().map(empty).collect(),
            payload_ends: Vec::new(),
            payloads: Vec::new(),
        };
        for at in points {
            subset.push_from(self, at);
        }
        subset
    }
}

impl Column {
    fn stride(&self) -> usize {
        self.schema.dim as usize * self.schema.element.size()
    }

    fn clear_last(&mut self) {
        if let (Some(present), Some(&start)) = (self.present.last_mut(), self.starts.last()) {
            *present = false;
            self.data.truncate(start);
        }
    }

    fn mark_last(&mut self) {
        if let Some(present) = self.present.last_mut() {
            *present = true;
        }
    }
}

impl UpsertRows {
    /// Bytes point `at` takes in a record.
    fn point_bytes(&self, at: usize) -> usize {
        let rows = self
            .columns
            .iter()
            .filter(|c| c.present[at])
            .map(Column::stride)
            .sum::<usize>();
        rows + self.get_payload(at).len() + POINT_OVERHEAD_BYTES
    }

    /// Cuts the points into runs of at most `OP_BYTES_MAX`, each with at least one point.
    pub(crate) fn cut(self) -> Vec<Self> {
        if self.bytes() + self.len() * POINT_OVERHEAD_BYTES <= OP_BYTES_MAX {
            return vec![self];
        }
        let (mut cuts, mut start, mut bytes) = (Vec::new(), 0, 0);
        for at in 0..self.len() {
            let more = self.point_bytes(at);
            if at > start && bytes + more > OP_BYTES_MAX {
                cuts.push(self.subset(start..at));
                (start, bytes) = (at, 0);
            }
            bytes += more;
        }
        cuts.push(self.subset(start..self.len()));
        cuts
    }

    pub(crate) fn encode(&self, builder: &mut OpsBuilder) -> Result<(), OpsError> {
        let mut payloads = PayloadTable::new();
        for at in 0..self.len() {
            payloads.push(self.get_payload(at))?;
        }
        let presence: Vec<Vec<u64>> = self.columns.iter().map(Column::presence_words).collect();
        let columns: Vec<VectorColumn<'_>> = self
            .columns
            .iter()
            .zip(&presence)
            .enumerate()
            .filter(|(_, (column, _))| !column.data.is_empty())
            .map(|(index, (column, words))| VectorColumn {
                index: index as u16,
                stride: column.stride() as u32,
                presence: column.present.contains(&false).then_some(words.as_slice()),
                rows: &column.data,
            })
            .collect();
        builder.upsert(&UpsertColumns {
            ids: &self.ids,
            vectors: &columns,
            payloads: &payloads,
        })
    }
}

impl Column {
    fn presence_words(&self) -> Vec<u64> {
        let mut words = vec![0; self.present.len().div_ceil(64)];
        for (at, _) in self
            .present
            .iter()
            .enumerate()
            .filter(|(_, present)| **present)
        {
            words[at / 64] |= 1 << (at % 64);
        }
        words
    }
}
