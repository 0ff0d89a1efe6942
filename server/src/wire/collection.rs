//! Making and changing collections: the bodies, and everything that is checked about them.

use format_spec::{CompactionSettings, HnswSettings};
use serde::Deserialize;
use serde_json::{Map, Value as Tree};

use super::config::{
    CollectionParams, Compaction, Config, Datatype, Hnsw, HnswDiff, Memory, Optimizers, Ordered,
    PayloadStorage, Sharding, VectorParams, Vectors, Wal, put,
};
use super::json::{self, TreeError};
use super::quantization::Quantization;
use crate::error::{ApiError, Part};
use crate::settings::CollectionDefaults;

/// Dimensions of a vector at most.
const SIZE_MAX: u64 = 65_536;
/// Bytes of a vector name at most.
const VECTOR_NAME_MAX: usize = 200;
/// Characters of a collection name at most.
const NAME_MAX: usize = 255;
/// What a name may not contain; `/` would not survive in a path, the others not in all file
/// systems and URLs that tools write names to.
const FORBIDDEN: &[char] = &['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\u{1F}'];
/// The most neighbours a graph file can hold a row.
const M_MAX: u32 = 1024;
/// The widest beam a graph is built with.
const EF_CONSTRUCT_MAX: u32 = 65_536;
/// A smaller memtable would be all overhead.
const MEMTABLE_MIN: u64 = 1 << 20;

/// Body of `PUT collections/{name}`.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object that describes a collection")]
pub(crate) struct CreateBody {
    vectors: Option<Vectors>,
    shard_number: Option<u32>,
    sharding_method: Option<Sharding>,
    replication_factor: Option<u32>,
    write_consistency_factor: Option<u32>,
    on_disk_payload: Option<bool>,
    payload: Option<PayloadStorage>,
    hnsw_config: Option<HnswDiff>,
    wal_config: Option<WalDiff>,
    optimizers_config: Option<OptimizersDiff>,
    quantization_config: Option<Quantization>,
    sparse_vectors: Option<Map<String, Tree>>,
    strict_mode_config: Option<Map<String, Tree>>,
    metadata: Option<Map<String, Tree>>,
}

/// Body of `PATCH collections/{name}`.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object of what to change")]
pub(crate) struct UpdateBody {
    vectors: Option<Ordered<VectorDiff>>,
    optimizers_config: Option<OptimizersDiff>,
    params: Option<ParamsDiff>,
    hnsw_config: Option<HnswDiff>,
    quantization_config: Option<QuantizationDiff>,
    sparse_vectors: Option<Map<String, Tree>>,
    strict_mode_config: Option<Map<String, Tree>>,
    metadata: Option<Map<String, Tree>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object of what to change of a vector")]
struct VectorDiff {
    hnsw_config: Option<HnswDiff>,
    quantization_config: Option<QuantizationDiff>,
    on_disk: Option<bool>,
    memory: Option<Memory>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object of collection parameters")]
struct ParamsDiff {
    replication_factor: Option<u32>,
    write_consistency_factor: Option<u32>,
    read_fan_out_factor: Option<u32>,
    read_fan_out_delay_ms: Option<u64>,
    on_disk_payload: Option<bool>,
    payload: Option<PayloadStorage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object of optimizer settings")]
struct OptimizersDiff {
    deleted_threshold: Option<f64>,
    vacuum_min_vector_number: Option<u64>,
    default_segment_number: Option<u32>,
    max_segment_size: Option<u64>,
    memmap_threshold: Option<u64>,
    indexing_threshold: Option<u64>,
    flush_interval_sec: Option<u64>,
    max_optimization_threads: Option<Threads>,
    prevent_unoptimized: Option<bool>,
    cairn: Option<CompactionDiff>,
}

/// Our own object, so a name that is not ours is a mistake.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object of compaction settings")]
#[serde(deny_unknown_fields)]
struct CompactionDiff {
    paused: Option<bool>,
    rate_bytes_per_s: Option<u64>,
    fan_out: Option<u32>,
    jobs_max: Option<u32>,
    memtable_bytes_max: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object of log settings")]
struct WalDiff {
    wal_capacity_mb: Option<u64>,
    wal_segments_ahead: Option<u64>,
    wal_retain_closed: Option<u64>,
}

/// A number of threads, or `"auto"`.
#[derive(Debug)]
enum Threads {
    Auto,
    Number(u32),
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = Tree::deserialize(deserializer)?;
        if tree == "auto" {
            return Ok(Self::Auto);
        }
        u32::deserialize(tree)
            .map(Self::Number)
            .map_err(|_| serde::de::Error::custom("expected \"auto\" or a number of threads"))
    }
}

/// A quantization, or `"Disabled"`.
#[derive(Debug)]
enum QuantizationDiff {
    Disabled,
    Set(Quantization),
}

impl<'de> Deserialize<'de> for QuantizationDiff {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = Tree::deserialize(deserializer)?;
        if tree == "Disabled" {
            return Ok(Self::Disabled);
        }
        json::of_tree(tree)
            .map(Self::Set)
            .map_err(TreeError::custom)
    }
}

/// Collects what is out of bounds, so that one answer names all of it.
#[derive(Default)]
struct Checks(Vec<String>);

impl Checks {
    fn add(&mut self, field: &str, why: &str) {
        self.0.push(format!("{field}: {why}"));
    }

    fn least<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        field: &str,
        value: Option<T>,
        least: T,
    ) {
        if let Some(value) = value.filter(|value| *value < least) {
            self.add(
                field,
                &format!("value {value} invalid, must be {least} or larger"),
            );
        }
    }

    fn within<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        field: &str,
        value: Option<T>,
        least: T,
        most: T,
    ) {
        if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
            let why = format!("value {value} invalid, must be from {least} to {most}");
            self.add(field, &why);
        }
    }

    fn hnsw(&mut self, place: &str, hnsw: Option<&HnswDiff>) {
        let Some(hnsw) = hnsw else { return };
        self.within(&format!("{place}.m"), hnsw.m, 0, M_MAX);
        self.least(&format!("{place}.ef_construct"), hnsw.ef_construct, 4);
        let ef = hnsw.ef_construct.filter(|ef| *ef > EF_CONSTRUCT_MAX);
        self.within(&format!("{place}.ef_construct"), ef, 4, EF_CONSTRUCT_MAX);
        self.least(
            &format!("{place}.full_scan_threshold"),
            hnsw.full_scan_threshold,
            10,
        );
    }

    fn quantization(&mut self, place: &str, quantization: Option<&Quantization>) {
        if let Some(Quantization::Scalar(scalar)) = quantization {
            self.within(
                &format!("{place}.scalar.quantile"),
                scalar.quantile,
                0.5,
                1.0,
            );
        }
    }

    fn not_pinned(&mut self, field: &str, memory: Option<Memory>) {
        if memory == Some(Memory::Pinned) {
            self.add(field, "`pinned` is not supported here");
        }
    }

    fn optimizers(&mut self, diff: Option<&OptimizersDiff>) {
        let Some(diff) = diff else { return };
        let field = |name: &str| format!("optimizers_config.{name}");
        self.within(
            &field("deleted_threshold"),
            diff.deleted_threshold,
            0.0,
            1.0,
        );
        let vacuum = diff.vacuum_min_vector_number;
        self.least(&field("vacuum_min_vector_number"), vacuum, 100);
        self.least(&field("max_segment_size"), diff.max_segment_size, 1);
        if let Some(cairn) = &diff.cairn {
            self.least(&field("cairn.fan_out"), cairn.fan_out, 2);
            let memtable = cairn.memtable_bytes_max;
            self.least(&field("cairn.memtable_bytes_max"), memtable, MEMTABLE_MIN);
        }
    }

    fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ApiError::validation(Part::Body, self.0.join("; ")))
    }
}

/// Checks the name of a new collection.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    let refuse = |why: String| Err(ApiError::validation(Part::Path, format!("name: {why}")));
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return refuse(format!(
            "value {name:?} invalid, must be from 1 to {NAME_MAX} characters"
        ));
    }
    if name == "." || name == ".." {
        return refuse(format!("collection name cannot be {name:?}"));
    }
    match name.chars().find(|c| FORBIDDEN.contains(c)) {
        Some(c) => refuse(format!("collection name cannot contain {c:?} char")),
        None => Ok(()),
    }
}

fn not_yet(what: &str, field: &str) -> ApiError {
    ApiError::not_yet(format!("{what}, asked for in {field}"))
}

/// Refuses sparse vectors and a strict mode that is on.
fn refuse_missing(
    sparse: Option<&Map<String, Tree>>,
    strict: Option<&Map<String, Tree>>,
) -> Result<(), ApiError> {
    if sparse.is_some_and(|map| !map.is_empty()) {
        return Err(not_yet("sparse vectors", "sparse_vectors"));
    }
    if strict.is_some_and(|map| map.get("enabled") == Some(&Tree::Bool(true))) {
        return Err(not_yet("strict mode", "strict_mode_config"));
    }
    Ok(())
}

fn refuse_optimizers(diff: Option<&OptimizersDiff>) -> Result<(), ApiError> {
    if diff.is_some_and(|diff| diff.prevent_unoptimized == Some(true)) {
        return Err(not_yet(
            "deferred points",
            "optimizers_config.prevent_unoptimized",
        ));
    }
    Ok(())
}

fn check_vector(
    checks: &mut Checks,
    name: &str,
    params: &VectorParams,
    place: &str,
) -> Result<(), ApiError> {
    let field = |part: &str| format!("{place}.{part}");
    if params
        .multivector_config
        .as_ref()
        .is_some_and(|config| !config.is_null())
    {
        return Err(not_yet("multivectors", &field("multivector_config")));
    }
    if let Some(Datatype::Turbo4 | Datatype::Turbo8 | Datatype::Turbo16) = params.datatype {
        return Err(not_yet("turbo datatypes", &field("datatype")));
    }
    checks.within(&field("size"), Some(params.size), 1, SIZE_MAX);
    checks.hnsw(&field("hnsw_config"), params.hnsw_config.as_ref());
    checks.quantization(
        &field("quantization_config"),
        params.quantization_config.as_ref(),
    );
    checks.not_pinned(&field("memory"), params.memory);
    if name.len() > VECTOR_NAME_MAX {
        checks.add(
            place,
            &format!("vector name is longer than {VECTOR_NAME_MAX} bytes"),
        );
    }
    if let Some(c) = name.chars().find(|c| FORBIDDEN.contains(c)) {
        checks.add(place, &format!("vector name cannot contain {c:?} char"));
    }
    Ok(())
}

impl CreateBody {
    /// The configuration of the new collection.
    pub(crate) fn convert(self, defaults: &CollectionDefaults) -> Result<Config, ApiError> {
        refuse_missing(
            self.sparse_vectors.as_ref(),
            self.strict_mode_config.as_ref(),
        )?;
        refuse_optimizers(self.optimizers_config.as_ref())?;
        if self.sharding_method == Some(Sharding::Custom) {
            return Err(not_yet("custom sharding", "sharding_method"));
        }
        self.check()?;
        let mut hnsw_config = hnsw_of(&defaults.hnsw);
        hnsw_config.merge(&self.hnsw_config.unwrap_or_default());
        let mut optimizer_config = optimizers_of(&defaults.compaction);
        self.optimizers_config
            .unwrap_or_default()
            .merge_into(&mut optimizer_config);
        let mut wal_config = Wal::default();
        if let Some(diff) = self.wal_config {
            put(&mut wal_config.wal_capacity_mb, diff.wal_capacity_mb);
            put(&mut wal_config.wal_segments_ahead, diff.wal_segments_ahead);
            put(&mut wal_config.wal_retain_closed, diff.wal_retain_closed);
        }
        let on_disk = self.on_disk_payload.or(defaults.on_disk_payload);
        Ok(Config {
            params: CollectionParams {
                vectors: self.vectors.unwrap_or_else(|| Vectors::Named(Vec::new())),
                shard_number: self.shard_number.unwrap_or(1),
                sharding_method: self.sharding_method,
                replication_factor: self.replication_factor.unwrap_or(1),
                write_consistency_factor: self.write_consistency_factor.unwrap_or(1),
                read_fan_out_factor: None,
                read_fan_out_delay_ms: None,
                on_disk_payload: on_disk.unwrap_or(true),
                payload: self.payload,
            },
            hnsw_config,
            optimizer_config,
            wal_config,
            quantization_config: self.quantization_config,
            strict_mode_config: self.strict_mode_config,
            metadata: self.metadata,
        })
    }

    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        for (name, params) in self.vectors.iter().flat_map(Vectors::iter) {
            let place = match self.vectors {
                Some(Vectors::Named(_)) => format!("vectors.{name}"),
                Some(Vectors::Single(_)) | None => "vectors".to_owned(),
            };
            check_vector(&mut checks, name, params, &place)?;
        }
        checks.least("shard_number", self.shard_number, 1);
        checks.least("replication_factor", self.replication_factor, 1);
        checks.least("write_consistency_factor", self.write_consistency_factor, 1);
        checks.hnsw("hnsw_config", self.hnsw_config.as_ref());
        checks.optimizers(self.optimizers_config.as_ref());
        checks.quantization("quantization_config", self.quantization_config.as_ref());
        checks.not_pinned(
            "payload.memory",
            self.payload.and_then(|payload| payload.memory),
        );
        if let Some(wal) = &self.wal_config {
            checks.least("wal_config.wal_capacity_mb", wal.wal_capacity_mb, 1);
        }
        checks.finish()
    }
}

impl UpdateBody {
    /// Changes a configuration.
    pub(crate) fn apply(self, config: &mut Config) -> Result<(), ApiError> {
        refuse_missing(
            self.sparse_vectors.as_ref(),
            self.strict_mode_config.as_ref(),
        )?;
        refuse_optimizers(self.optimizers_config.as_ref())?;
        self.check()?;
        for (name, diff) in self.vectors.into_iter().flat_map(|map| map.0) {
            let Some(vector) = config.params.vectors.get_mut(&name) else {
                return Err(crate::error::no_vector(&name, "vectors"));
            };
            diff.merge_into(vector);
        }
        if let Some(diff) = self.optimizers_config {
            diff.merge_into(&mut config.optimizer_config);
        }
        if let Some(diff) = self.params {
            diff.merge_into(&mut config.params);
        }
        config
            .hnsw_config
            .merge(&self.hnsw_config.unwrap_or_default());
        set_quantization(&mut config.quantization_config, self.quantization_config);
        if let Some(strict) = self.strict_mode_config {
            merge_map(&mut config.strict_mode_config, strict);
        }
        if let Some(metadata) = self.metadata {
            merge_map(&mut config.metadata, metadata);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        for (name, diff) in self.vectors.iter().flat_map(|map| &map.0) {
            let place = format!("vectors.{name}");
            checks.hnsw(&format!("{place}.hnsw_config"), diff.hnsw_config.as_ref());
            checks.not_pinned(&format!("{place}.memory"), diff.memory);
            if let Some(QuantizationDiff::Set(set)) = &diff.quantization_config {
                checks.quantization(&format!("{place}.quantization_config"), Some(set));
            }
        }
        checks.hnsw("hnsw_config", self.hnsw_config.as_ref());
        checks.optimizers(self.optimizers_config.as_ref());
        if let Some(QuantizationDiff::Set(set)) = &self.quantization_config {
            checks.quantization("quantization_config", Some(set));
        }
        if let Some(params) = &self.params {
            let field = |name: &str| format!("params.{name}");
            checks.least(&field("replication_factor"), params.replication_factor, 1);
            let consistency = params.write_consistency_factor;
            checks.least(&field("write_consistency_factor"), consistency, 1);
            let memory = params.payload.and_then(|payload| payload.memory);
            checks.not_pinned(&field("payload.memory"), memory);
        }
        checks.finish()
    }
}

impl VectorDiff {
    fn merge_into(self, vector: &mut VectorParams) {
        if let Some(diff) = self.hnsw_config {
            vector.hnsw_config.get_or_insert_default().merge(&diff);
        }
        set_quantization(&mut vector.quantization_config, self.quantization_config);
        vector.on_disk = self.on_disk.or(vector.on_disk);
        vector.memory = self.memory.or(vector.memory);
    }
}

impl ParamsDiff {
    fn merge_into(self, params: &mut CollectionParams) {
        put(&mut params.replication_factor, self.replication_factor);
        put(
            &mut params.write_consistency_factor,
            self.write_consistency_factor,
        );
        put(&mut params.on_disk_payload, self.on_disk_payload);
        params.read_fan_out_factor = self.read_fan_out_factor.or(params.read_fan_out_factor);
        let delay = self.read_fan_out_delay_ms;
        params.read_fan_out_delay_ms = delay.or(params.read_fan_out_delay_ms);
        params.payload = self.payload.or(params.payload);
    }
}

impl OptimizersDiff {
    fn merge_into(self, config: &mut Optimizers) {
        put(&mut config.deleted_threshold, self.deleted_threshold);
        put(
            &mut config.vacuum_min_vector_number,
            self.vacuum_min_vector_number,
        );
        put(
            &mut config.default_segment_number,
            self.default_segment_number,
        );
        put(&mut config.indexing_threshold, self.indexing_threshold);
        put(&mut config.flush_interval_sec, self.flush_interval_sec);
        config.max_segment_size = self.max_segment_size.or(config.max_segment_size);
        config.memmap_threshold = self.memmap_threshold.or(config.memmap_threshold);
        match self.max_optimization_threads {
            None => {}
            Some(Threads::Auto) => config.max_optimization_threads = None,
            Some(Threads::Number(threads)) => config.max_optimization_threads = Some(threads),
        }
        let Some(diff) = self.cairn else { return };
        let cairn = &mut config.cairn;
        put(&mut cairn.paused, diff.paused);
        put(&mut cairn.rate_bytes_per_s, diff.rate_bytes_per_s);
        put(&mut cairn.fan_out, diff.fan_out);
        put(&mut cairn.jobs_max, diff.jobs_max);
        put(&mut cairn.memtable_bytes_max, diff.memtable_bytes_max);
    }
}

fn set_quantization(config: &mut Option<Quantization>, diff: Option<QuantizationDiff>) {
    match diff {
        None => {}
        Some(QuantizationDiff::Disabled) => *config = None,
        Some(QuantizationDiff::Set(set)) => *config = Some(set),
    }
}

/// Merges keys; null takes one away.
fn merge_map(config: &mut Option<Map<String, Tree>>, diff: Map<String, Tree>) {
    let map = config.get_or_insert_default();
    for (key, value) in diff {
        if value.is_null() {
            map.shift_remove(&key);
        } else {
            map.insert(key, value);
        }
    }
}

fn hnsw_of(settings: &HnswSettings) -> Hnsw {
    Hnsw {
        m: settings.m,
        ef_construct: settings.ef_construct,
        full_scan_threshold: settings.full_scan_threshold_kb,
        max_indexing_threads: 0,
        on_disk: None,
        memory: None,
        payload_m: None,
        inline_storage: None,
    }
}

fn optimizers_of(settings: &CompactionSettings) -> Optimizers {
    Optimizers {
        deleted_threshold: settings.deleted_threshold,
        vacuum_min_vector_number: settings.vacuum_min_rows,
        default_segment_number: settings.segment_count_target,
        max_segment_size: match settings.segment_bytes_max {
            0 => None,
            bytes => Some(bytes / 1024),
        },
        memmap_threshold: None,
        indexing_threshold: settings.indexing_threshold_kb,
        flush_interval_sec: settings.flush_interval_ms / 1000,
        max_optimization_threads: None,
        cairn: Compaction {
            paused: settings.paused,
            rate_bytes_per_s: settings.rate_bytes_per_s,
            fan_out: settings.fan_out,
            jobs_max: settings.jobs_max,
            memtable_bytes_max: settings.memtable_bytes_max,
        },
    }
}

#[cfg(test)]
mod tests {
    use format_spec::{Codec, Element, Metric, Schema};
    use serde_json::json;

    use super::*;
    use crate::wire::json as reader;

    fn create(body: &Tree) -> Result<Config, ApiError> {
        let body: CreateBody = reader::read(body.to_string().as_bytes())?;
        body.convert(&CollectionDefaults::default())
    }

    fn update(config: &mut Config, body: &Tree) -> Result<(), ApiError> {
        reader::read::<UpdateBody>(body.to_string().as_bytes())?.apply(config)
    }

    #[test]
    fn a_configuration_survives_its_document() {
        let config = create(&json!({
            "vectors": {
                "": {"size": 4, "distance": "Dot", "datatype": "float16"},
                "size": {"size": 2, "distance": "Manhattan", "datatype": "uint8",
                         "hnsw_config": {"m": 4}}
            },
            "hnsw_config": {"ef_construct": 50},
            "optimizers_config": {"indexing_threshold": 7, "cairn": {"fan_out": 8}},
            "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99}},
            "metadata": {"b": 1, "a": [true, null]},
        }))
        .unwrap();
        let schema = config.schema(&Schema::default(), 5).unwrap();
        assert_eq!(Config::of(&schema).unwrap(), config);
        let names: Vec<_> = schema.vectors.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["", "size"]);
        assert_eq!(schema.vectors[0].metric, Metric::Dot);
        assert_eq!(schema.vectors[0].element, Element::F16);
        assert_eq!(
            (
                schema.vectors[0].hnsw.m,
                schema.vectors[0].hnsw.ef_construct
            ),
            (16, 50)
        );
        assert_eq!(
            (schema.vectors[1].hnsw.m, schema.vectors[1].hnsw.seed),
            (4, 5)
        );
        assert_eq!(schema.compaction.indexing_threshold_kb, 7);
        assert_eq!(schema.compaction.fan_out, 8);
    }

    #[test]
    fn one_unnamed_vector_stays_unnamed_in_the_answer() {
        let config = create(&json!({"vectors": {"size": 4, "distance": "Cosine"}})).unwrap();
        let tree = serde_json::to_value(&config).unwrap();
        assert_eq!(
            tree["params"]["vectors"],
            json!({"size": 4, "distance": "Cosine"})
        );
        assert!(tree["quantization_config"].is_null());
        let warnings = config.warnings(&engine::Settings::default());
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn what_only_tunes_is_kept_and_warned_about() {
        let config = create(&json!({
            "vectors": {"v": {"size": 4, "distance": "Dot", "on_disk": true, "memory": "cold",
                              "hnsw_config": {"max_indexing_threads": 3}}},
            "shard_number": 2,
            "wal_config": {"wal_capacity_mb": 64},
            "hnsw_config": {"payload_m": 8},
            "optimizers_config": {"flush_interval_sec": 7},
        }))
        .unwrap();
        let warnings = config.warnings(&engine::Settings::default()).join("\n");
        for field in [
            "`params.vectors.v.hnsw_config.max_indexing_threads`",
            "`params.shard_number`",
            "`wal_config`",
            "`hnsw_config.payload_m`",
            "`optimizer_config.flush_interval_sec`",
        ] {
            assert!(warnings.contains(field), "{field} in {warnings}");
        }
        assert!(!warnings.contains("on_disk") && !warnings.contains(".memory"));
    }

    #[test]
    fn a_quantization_is_kept_as_it_was_given_and_stands_for_a_codec() {
        for (given, codec) in [
            (
                json!({"scalar": {"type": "int8", "quantile": 0.99}}),
                Codec::Bits8,
            ),
            (json!({"binary": {}}), Codec::Bits1),
            (
                json!({"binary": {"encoding": "two_bits", "query_encoding": "scalar8bits"}}),
                Codec::Bits2,
            ),
            (json!({"turbo": {}}), Codec::Bits4),
            (json!({"turbo": {"bits": "bits1_5"}}), Codec::Bits2),
            (
                json!({"turbo": {"bits": "bits1", "always_ram": true}}),
                Codec::Bits1,
            ),
            (json!({"product": {"compression": "x16"}}), Codec::Product16),
        ] {
            let body = json!({
                "vectors": {
                    "own": {"size": 4, "distance": "Dot", "quantization_config": given},
                    "plain": {"size": 4, "distance": "Dot"},
                },
                "quantization_config": {"scalar": {"type": "int8"}},
            });
            let config = create(&body).unwrap();
            let schema = config.schema(&Schema::default(), 0).unwrap();
            let codecs: Vec<_> = schema.vectors.iter().map(|v| (&*v.name, v.codec)).collect();
            assert!(codecs.contains(&("own", codec)), "{given}: {codecs:?}");
            assert!(codecs.contains(&("plain", Codec::Bits8)));
            let tree = serde_json::to_value(&config).unwrap();
            assert_eq!(
                tree["params"]["vectors"]["own"]["quantization_config"],
                given
            );
        }
    }

    #[test]
    fn a_memtable_larger_than_the_node_allows_is_warned_about() {
        let config = create(&json!({
            "optimizers_config": {"cairn": {"memtable_bytes_max": 100 << 20}},
        }))
        .unwrap();
        let warnings = |memtable_bytes_max| {
            config.warnings(&engine::Settings {
                memtable_bytes_max,
                ..engine::Settings::default()
            })
        };
        assert!(warnings(100 << 20).is_empty());
        let warnings = warnings(64 << 20);
        assert_eq!(warnings.len(), 1);
        for part in ["104857600", "67108864", "storage.memtable_mb"] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
    }

    #[test]
    fn what_would_change_results_is_refused_by_name() {
        let vector = |extra: Tree| {
            let mut params = json!({"size": 4, "distance": "Dot"});
            params
                .as_object_mut()
                .unwrap()
                .append(&mut extra.as_object().unwrap().clone());
            json!({"vectors": params})
        };
        for (body, field) in [
            (json!({"sparse_vectors": {"s": {}}}), "sparse_vectors"),
            (
                vector(json!({"multivector_config": {"comparator": "max_sim"}})),
                "multivector_config",
            ),
            (vector(json!({"datatype": "turbo4"})), "vectors.datatype"),
            (
                json!({"strict_mode_config": {"enabled": true}}),
                "strict_mode_config",
            ),
            (json!({"sharding_method": "custom"}), "sharding_method"),
            (
                json!({"optimizers_config": {"prevent_unoptimized": true}}),
                "prevent_unoptimized",
            ),
        ] {
            let error = create(&body).unwrap_err();
            assert_eq!(error.status(), 501, "{body}");
            assert!(error.message().contains(field), "{error}");
        }
        assert!(
            create(&json!({"sparse_vectors": {}, "strict_mode_config": {"enabled": false}}))
                .is_ok()
        );
    }

    #[test]
    fn values_out_of_bounds_name_their_field() {
        for (body, text) in [
            (
                json!({"vectors": {"size": 65537, "distance": "Dot"}}),
                "[vectors.size: value 65537 invalid, must be from 1 to 65536]",
            ),
            (
                json!({"vectors": {"a": {"size": 0, "distance": "Dot"}}}),
                "vectors.a.size: value 0",
            ),
            (
                json!({"vectors": {"a/b": {"size": 1, "distance": "Dot"}}}),
                "cannot contain '/'",
            ),
            (
                json!({"hnsw_config": {"ef_construct": 3}}),
                "must be 4 or larger",
            ),
            (
                json!({"hnsw_config": {"full_scan_threshold": 9}}),
                "must be 10 or larger",
            ),
            (
                json!({"hnsw_config": {"m": 5000}}),
                "hnsw_config.m: value 5000",
            ),
            (
                json!({"shard_number": 0}),
                "shard_number: value 0 invalid, must be 1 or larger",
            ),
            (
                json!({"optimizers_config": {"deleted_threshold": 1.5}}),
                "deleted_threshold",
            ),
            (
                json!({"optimizers_config": {"vacuum_min_vector_number": 1}}),
                "100 or larger",
            ),
            (
                json!({"optimizers_config": {"cairn": {"fan_out": 1}}}),
                "cairn.fan_out",
            ),
            (
                json!({"quantization_config": {"scalar": {"type": "int8", "quantile": 0.1}}}),
                "quantile",
            ),
            (json!({"payload": {"memory": "pinned"}}), "payload.memory"),
        ] {
            let error = create(&body).unwrap_err();
            assert_eq!(error.status(), 422, "{body}: {error}");
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn values_of_the_wrong_type_name_their_field() {
        for (body, text) in [
            (
                json!({"vectors": {"size": 4, "distance": "Hamming"}}),
                ": vectors.distance: unknown variant",
            ),
            (
                json!({"vectors": {"size": -4, "distance": "Dot"}}),
                ": vectors.size: invalid value",
            ),
            (
                json!({"vectors": {"size": 4, "distance": "Dot", "hnsw_config": {"m": "x"}}}),
                ": vectors.hnsw_config.m: invalid type",
            ),
            (
                json!({"vectors": {"a": {"size": 4, "distance": "Dot",
                                         "hnsw_config": {"m": "x"}}}}),
                ": vectors.a.hnsw_config.m: invalid type",
            ),
            (
                json!({"vectors": {"a": 7}}),
                ": vectors.a: invalid type: integer `7`, expected an object",
            ),
            (json!({"vectors": {"size": 4}}), ": vectors: missing field"),
            (
                json!({"quantization_config": {"vague": {}}}),
                "quantization_config",
            ),
            (
                json!({"optimizers_config": {"cairn": {"pause": true}}}),
                "pause",
            ),
            (
                json!({"optimizers_config": {"max_optimization_threads": "many"}}),
                "auto",
            ),
        ] {
            let error = create(&body).unwrap_err();
            assert_eq!(error.status(), 400, "{body}: {error}");
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn values_of_the_wrong_type_in_an_update_name_their_field() {
        let mut config = create(&json!({"vectors": {"size": 4, "distance": "Dot"}})).unwrap();
        for (body, text) in [
            (
                json!({"vectors": {"": {"hnsw_config": {"m": []}}}}),
                ": vectors..hnsw_config.m: invalid type",
            ),
            (
                json!({"quantization_config": {"scalar": {"type": "int8", "quantile": "x"}}}),
                ": quantization_config.scalar.quantile: invalid type",
            ),
        ] {
            let error = update(&mut config, &body).unwrap_err();
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut config = create(&json!({
            "vectors": {"size": 4, "distance": "Dot"},
            "quantization_config": {"binary": {}},
            "metadata": {"a": 1, "b": 2},
        }))
        .unwrap();
        let before = config.clone();
        update(
            &mut config,
            &json!({
                "vectors": {"": {"hnsw_config": {"m": 32}}},
                "optimizers_config": {"max_optimization_threads": 0, "cairn": {"jobs_max": 2}},
                "quantization_config": "Disabled",
                "params": {"replication_factor": 2},
                "metadata": {"a": null, "c": 3},
            }),
        )
        .unwrap();
        let schema = config.schema(&Schema::default(), 0).unwrap();
        assert_eq!(schema.vectors[0].hnsw.m, 32);
        assert!(schema.compaction.paused);
        assert_eq!(schema.compaction.jobs_max, 2);
        assert_eq!(config.quantization_config, None);
        assert_eq!(config.params.replication_factor, 2);
        assert_eq!(
            Tree::Object(config.metadata.clone().unwrap()),
            json!({"b": 2, "c": 3})
        );
        assert_eq!(config.wal_config, before.wal_config);
        let resume = json!({"optimizers_config": {"max_optimization_threads": "auto"}});
        update(&mut config, &resume).unwrap();
        assert!(
            !config
                .schema(&Schema::default(), 0)
                .unwrap()
                .compaction
                .paused
        );
        let error = update(&mut config, &json!({"vectors": {"x": {}}})).unwrap_err();
        assert!(
            error
                .message()
                .contains("Not existing vector name error: x")
        );
    }

    #[test]
    fn names_that_break_paths_are_refused() {
        for name in ["", ".", "..", "a/b", "a\0b", "a*", "a\u{1F}", "a:b"] {
            assert_eq!(check_name(name).unwrap_err().status(), 422, "{name:?}");
        }
        assert!(check_name(&"a".repeat(256)).is_err());
        assert!(check_name(&"é".repeat(255)).is_ok());
        assert!(check_name("my collection-1.0").is_ok());
    }
}
