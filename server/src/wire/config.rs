//! The configuration of a collection: what the API stores and returns, and what of it the
//! engine is told.
//!
//! The whole of it, defaults filled in, is the collection's document ([`Schema::document`]); the
//! engine's [`Schema`] follows from it in one place, [`Config::schema`].
//!
//! # Invariants
//! - A setting that only tunes something Cairn does in its own way is stored, returned, and
//!   listed by [`Config::warnings`]; one that would change results or data never gets here.
//! - [`Config`] keeps every key that Qdrant's clients require.

use format_spec::{
    Codec, CompactionSettings, Element, HnswSettings, Metric, Schema, Value, VectorSchema,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::json::{self, TreeError};
use super::quantization::Quantization;
use super::value::{AsJson, from_tree};
use crate::error::ApiError;

/// Everything `config` of a collection's description has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) params: CollectionParams,
    pub(crate) hnsw_config: Hnsw,
    pub(crate) optimizer_config: Optimizers,
    pub(crate) wal_config: Wal,
    pub(crate) quantization_config: Option<Quantization>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) strict_mode_config: Option<Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Map<String, serde_json::Value>>,
}

/// Vectors, and what matters on more than one machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct CollectionParams {
    pub(crate) vectors: Vectors,
    pub(crate) shard_number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sharding_method: Option<Sharding>,
    pub(crate) replication_factor: u32,
    pub(crate) write_consistency_factor: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_fan_out_factor: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_fan_out_delay_ms: Option<u64>,
    pub(crate) on_disk_payload: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<PayloadStorage>,
}

/// One unnamed vector, or vectors by name in the order given.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Vectors {
    Single(VectorParams),
    Named(Vec<(String, VectorParams)>),
}

/// One vector.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `size` and `distance`")]
pub(crate) struct VectorParams {
    pub(crate) size: u64,
    pub(crate) distance: Distance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hnsw_config: Option<HnswDiff>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantization_config: Option<Quantization>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_disk: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) datatype: Option<Datatype>,
    /// Only ever seen in a request, which is then refused.
    #[serde(default, skip_serializing)]
    pub(crate) multivector_config: Option<serde_json::Value>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Distance {
    Cosine,
    Euclid,
    Dot,
    Manhattan,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Datatype {
    Float32,
    Uint8,
    Float16,
    Turbo4,
    Turbo8,
    Turbo16,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Memory {
    Cold,
    Cached,
    Pinned,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharding {
    Auto,
    Custom,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object with `memory`")]
pub(crate) struct PayloadStorage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
}

/// Graph settings of the collection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Hnsw {
    pub(crate) m: u32,
    pub(crate) ef_construct: u32,
    pub(crate) full_scan_threshold: u64,
    pub(crate) max_indexing_threads: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_disk: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload_m: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inline_storage: Option<bool>,
}

/// Graph settings that a request or a vector gives.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(expecting = "an object of graph settings")]
pub(crate) struct HnswDiff {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) m: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ef_construct: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) full_scan_threshold: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_indexing_threads: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_disk: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload_m: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inline_storage: Option<bool>,
}

/// When segments are flushed, merged and indexed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Optimizers {
    pub(crate) deleted_threshold: f64,
    pub(crate) vacuum_min_vector_number: u64,
    pub(crate) default_segment_number: u32,
    /// In KiB.
    pub(crate) max_segment_size: Option<u64>,
    pub(crate) memmap_threshold: Option<u64>,
    /// In KiB; 0 means never.
    pub(crate) indexing_threshold: u64,
    pub(crate) flush_interval_sec: u64,
    pub(crate) max_optimization_threads: Option<u32>,
    /// Cairn's own settings.
    pub(crate) cairn: Compaction,
}

/// Settings of compaction that Qdrant does not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Compaction {
    /// No new job starts.
    pub(crate) paused: bool,
    /// Bytes a second that jobs may write; 0 = no limit.
    pub(crate) rate_bytes_per_s: u64,
    /// Segments of one size that are merged together.
    pub(crate) fan_out: u32,
    /// Jobs at once; 0 = chosen.
    pub(crate) jobs_max: u32,
    /// A memtable is flushed at this size.
    pub(crate) memtable_bytes_max: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Wal {
    pub(crate) wal_capacity_mb: u64,
    pub(crate) wal_segments_ahead: u64,
    pub(crate) wal_retain_closed: u64,
}

impl Default for Wal {
    fn default() -> Self {
        Self {
            wal_capacity_mb: 32,
            wal_segments_ahead: 0,
            wal_retain_closed: 1,
        }
    }
}

impl Vectors {
    /// Name and parameters of each, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &VectorParams)> {
        let (single, named) = match self {
            Self::Single(params) => (Some(("", params)), [].as_slice()),
            Self::Named(named) => (None, named.as_slice()),
        };
        let named = named.iter().map(|(name, params)| (name.as_str(), params));
        single.into_iter().chain(named)
    }

    /// The parameters of one vector.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut VectorParams> {
        match self {
            Self::Single(params) => name.is_empty().then_some(params),
            Self::Named(named) => {
                let found = named.iter_mut().find(|(known, _)| known == name);
                found.map(|(_, params)| params)
            }
        }
    }
}

impl Serialize for Vectors {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Single(params) => params.serialize(serializer),
            Self::Named(named) => {
                serializer.collect_map(named.iter().map(|(name, params)| (name, params)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Vectors {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        // A vector may be called `size`, so it is the value that tells the two forms apart.
        let single = members.get("size").is_some_and(|size| !size.is_object());
        let read = if single {
            json::of_tree(members.into()).map(Self::Single)
        } else {
            Ordered::of(members).map(|Ordered(named)| Self::Named(named))
        };
        read.map_err(TreeError::custom)
    }
}

/// A map that keeps its order.
#[derive(Debug)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<T: DeserializeOwned> Ordered<T> {
    fn of(members: Map<String, serde_json::Value>) -> Result<Self, TreeError> {
        let members = members
            .into_iter()
            .map(|(name, value)| match json::of_tree(value) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.in_member(&name)),
            });
        members.collect::<Result<_, _>>().map(Self)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Map::deserialize(deserializer)?).map_err(TreeError::custom)
    }
}

impl Hnsw {
    /// Takes over what a request gives.
    pub(crate) fn merge(&mut self, diff: &HnswDiff) {
        put(&mut self.m, diff.m);
        put(&mut self.ef_construct, diff.ef_construct);
        put(&mut self.full_scan_threshold, diff.full_scan_threshold);
        put(&mut self.max_indexing_threads, diff.max_indexing_threads);
        self.on_disk = diff.on_disk.or(self.on_disk);
        self.memory = diff.memory.or(self.memory);
        self.payload_m = diff.payload_m.or(self.payload_m);
        self.inline_storage = diff.inline_storage.or(self.inline_storage);
    }

    /// What the engine is told.
    fn settings(&self, seed: u64) -> HnswSettings {
        HnswSettings {
            m: self.m,
            ef_construct: self.ef_construct,
            full_scan_threshold_kb: self.full_scan_threshold,
            seed,
        }
    }
}

impl HnswDiff {
    /// Takes over what a later request gives.
    pub(crate) fn merge(&mut self, diff: &Self) {
        *self = Self {
            m: diff.m.or(self.m),
            ef_construct: diff.ef_construct.or(self.ef_construct),
            full_scan_threshold: diff.full_scan_threshold.or(self.full_scan_threshold),
            max_indexing_threads: diff.max_indexing_threads.or(self.max_indexing_threads),
            on_disk: diff.on_disk.or(self.on_disk),
            memory: diff.memory.or(self.memory),
            payload_m: diff.payload_m.or(self.payload_m),
            inline_storage: diff.inline_storage.or(self.inline_storage),
        };
    }
}

/// Overwrites when there is something to write.
pub(crate) fn put<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

impl Optimizers {
    /// What the engine is told.
    fn settings(&self) -> CompactionSettings {
        // Qdrant's way to stop the optimizers is to give them no thread.
        let stopped = self.max_optimization_threads == Some(0);
        let jobs = match self.cairn.jobs_max {
            0 => self.max_optimization_threads.unwrap_or(0),
            jobs => jobs,
        };
        CompactionSettings {
            deleted_threshold: self.deleted_threshold,
            vacuum_min_rows: self.vacuum_min_vector_number,
            segment_count_target: self.default_segment_number,
            segment_bytes_max: self.max_segment_size.unwrap_or(0).saturating_mul(1024),
            indexing_threshold_kb: self.indexing_threshold,
            flush_interval_ms: self.flush_interval_sec.saturating_mul(1000),
            memtable_bytes_max: self.cairn.memtable_bytes_max,
            fan_out: self.cairn.fan_out,
            jobs_max: jobs,
            rate_bytes_per_s: self.cairn.rate_bytes_per_s,
            paused: self.cairn.paused || stopped,
        }
    }
}

impl Config {
    /// Reads the document of a schema.
    pub(crate) fn of(schema: &Schema) -> Result<Self, ApiError> {
        let broken = |why: String| ApiError::internal(format!("stored configuration: {why}"));
        let value = Value::decode(&schema.document).map_err(|error| broken(error.to_string()))?;
        let json =
            serde_json::to_vec(&AsJson(&value)).map_err(|error| broken(error.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))
    }

    /// The schema for the engine. `base` brings what is not in the configuration: version,
    /// indexed fields, and the seed of each graph that exists.
    pub(crate) fn schema(&self, base: &Schema, seed: u64) -> Result<Schema, ApiError> {
        let document = serde_json::to_value(self).map_err(ApiError::internal)?;
        Ok(Schema {
            version: base.version,
            vectors: self
                .params
                .vectors
                .iter()
                .map(|(name, params)| self.vector(name, params, seed))
                .collect(),
            fields: base.fields.clone(),
            compaction: self.optimizer_config.settings(),
            document: from_tree(document).to_bytes(),
        })
    }

    fn vector(&self, name: &str, params: &VectorParams, seed: u64) -> VectorSchema {
        let mut hnsw = self.hnsw_config.clone();
        if let Some(diff) = &params.hnsw_config {
            hnsw.merge(diff);
        }
        VectorSchema {
            name: name.to_owned(),
            // Checked when the request came in: at most 65536.
            dim: u32::try_from(params.size).unwrap_or(u32::MAX),
            metric: match params.distance {
                Distance::Cosine => Metric::Cosine,
                Distance::Euclid => Metric::Euclid,
                Distance::Dot => Metric::Dot,
                Distance::Manhattan => Metric::Manhattan,
            },
            element: match params.datatype {
                Some(Datatype::Float16) => Element::F16,
                Some(Datatype::Uint8) => Element::U8,
                None
                | Some(
                    Datatype::Float32 | Datatype::Turbo4 | Datatype::Turbo8 | Datatype::Turbo16,
                ) => Element::F32,
            },
            hnsw: hnsw.settings(seed),
            codec: self.codec(params),
        }
    }

    /// Vectors of bytes are compared as fast as codes of them would be.
    fn bytes_with_quantization(&self) -> impl Iterator<Item = String> {
        let vectors = self.params.vectors.iter();
        let bytes = vectors.filter(|(_, params)| params.datatype == Some(Datatype::Uint8));
        let coded = bytes.filter(|(_, params)| self.codec(params) != Codec::Auto);
        coded.map(|(name, _)| {
            format!("vector {name:?} is of uint8: its quantization is stored and has no effect")
        })
    }

    /// The codec of a vector: its own, the collection's, or the engine's choice.
    fn codec(&self, params: &VectorParams) -> Codec {
        let own = params.quantization_config.as_ref();
        own.or(self.quantization_config.as_ref())
            .map_or(Codec::Auto, Quantization::codec)
    }

    /// One line for each setting that is kept and has no effect, or not the one it asks for.
    pub(crate) fn warnings(&self, engine: &engine::Settings) -> Vec<String> {
        let mut fields = Vec::new();
        self.params.without_effect(&mut fields);
        let hnsw = HnswDiff {
            max_indexing_threads: Some(self.hnsw_config.max_indexing_threads),
            payload_m: self.hnsw_config.payload_m,
            inline_storage: self.hnsw_config.inline_storage,
            ..HnswDiff::default()
        };
        note_hnsw(&mut fields, &hnsw, "hnsw_config");
        let memmap = self.optimizer_config.memmap_threshold.is_some();
        note(&mut fields, memmap, "optimizer_config", "memmap_threshold");
        // Every acknowledged write is durable at once: there is nothing to flush at intervals.
        let flush = self.optimizer_config.flush_interval_sec != flush_interval_default_sec();
        note(&mut fields, flush, "optimizer_config", "flush_interval_sec");
        if self.wal_config != Wal::default() {
            fields.push("wal_config".to_owned());
        }
        let line = |field| format!("`{field}` is stored and returned, and has no effect yet");
        let mut lines: Vec<String> = fields.into_iter().map(line).collect();
        lines.extend(self.bytes_with_quantization());
        let (asked, most) = (
            self.optimizer_config.cairn.memtable_bytes_max,
            engine.memtable_bytes_max,
        );
        if asked > most {
            lines.push(format!(
                "`optimizer_config.cairn.memtable_bytes_max` is {asked}, and this node holds it \
                 to {most} bytes (`storage.memtable_mb`)"
            ));
        }
        lines
    }
}

/// What `flush_interval_sec` is unless it is set.
fn flush_interval_default_sec() -> u64 {
    CompactionSettings::default().flush_interval_ms / 1000
}

impl CollectionParams {
    fn without_effect(&self, fields: &mut Vec<String>) {
        for (name, vector) in self.vectors.iter() {
            let place = if name.is_empty() {
                "params.vectors".to_owned()
            } else {
                format!("params.vectors.{name}")
            };
            if let Some(hnsw) = &vector.hnsw_config {
                note_hnsw(fields, hnsw, &format!("{place}.hnsw_config"));
            }
        }
        for (name, set) in [
            ("shard_number", self.shard_number > 1),
            ("replication_factor", self.replication_factor > 1),
            (
                "write_consistency_factor",
                self.write_consistency_factor > 1,
            ),
            ("read_fan_out_factor", self.read_fan_out_factor.is_some()),
            (
                "read_fan_out_delay_ms",
                self.read_fan_out_delay_ms.is_some(),
            ),
        ] {
            note(fields, set, "params", name);
        }
    }
}

fn note(fields: &mut Vec<String>, set: bool, place: &str, name: &str) {
    if set {
        fields.push(format!("{place}.{name}"));
    }
}

fn note_hnsw(fields: &mut Vec<String>, hnsw: &HnswDiff, place: &str) {
    let threads = hnsw.max_indexing_threads.is_some_and(|threads| threads > 0);
    note(fields, threads, place, "max_indexing_threads");
    note(fields, hnsw.payload_m.is_some(), place, "payload_m");
    note(
        fields,
        hnsw.inline_storage.is_some(),
        place,
        "inline_storage",
    );
}
