//! What an operator sets: a YAML file, then the environment, then flags; the later wins.
//!
//! Every setting is one row of `KEYS`: its path (`service.http_port`) and how its text becomes
//! a value. A key of the file is that path nested, a variable is `CAIRN__SERVICE__HTTP_PORT`, a
//! flag is `--set service.http_port=6333`. Variables with the prefix `QDRANT__` mean the same,
//! so that existing compose files work, and give way to `CAIRN__` ones.
//!
//! # Invariants
//! - A key that no row has is an error that names the nearest one, except under `QDRANT__`,
//!   where it is reported and skipped: not every knob of Qdrant has something to turn here.
//! - A setting that would make the server safer than it is (a key, TLS) is never skipped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, File, FileFormat, ValueKind};

use crate::setting::{absent, flag, no_authentication, number, positive, put, seconds};

/// Everything that is decided before the server starts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Filter of the log, as `tracing` reads it: `info`, `server=debug`, ...
    pub log_level: LogLevel,
    /// Whether log lines are JSON.
    pub log_json: bool,
    /// The data directory and the engine over it.
    pub storage: StorageSettings,
    /// Listening, limits and threads.
    pub service: ServiceSettings,
    /// What a new collection gets where the request does not say.
    pub defaults: CollectionDefaults,
}

/// A log filter; `info` unless set.
#[derive(Clone, Debug)]
pub struct LogLevel(pub String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// The data directory and the engine over it.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// The data directory.
    pub path: PathBuf,
    /// The engine's own settings.
    pub engine: engine::Settings,
    /// How cold files are read.
    pub io_uring: engine::IoUring,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./storage"),
            engine: engine::Settings::default(),
            io_uring: engine::IoUring::Auto,
        }
    }
}

/// Listening, limits and threads.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Address to listen on. Loopback unless set: there is no authentication yet.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Whether any web page may call the API (`Access-Control-Allow-Origin: *`).
    pub cors: bool,
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
    /// All request bodies together, waiting or being worked on, may take this many bytes.
    pub body_memory_bytes: usize,
    /// Longest pause within a request body.
    pub body_idle: Duration,
    /// Longest time for the head of a request, and for the first byte of a connection.
    pub header_timeout: Duration,
    /// A connection on which nothing happens for this long is closed.
    pub keep_alive: Duration,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Time that running requests get when the server stops.
    pub drain: Duration,
    /// Threads that move bytes to and from clients; 0 = one less than there are CPUs.
    pub network_threads: usize,
    /// Threads that parse and append writes; 0 = chosen.
    pub write_threads: usize,
    /// Writes that may wait for one of those threads.
    pub write_queue: usize,
    /// Threads that search; 0 = one a CPU.
    pub search_threads: usize,
    /// Reads that may wait for one of those threads.
    pub search_queue: usize,
    /// Longest time of a read that does not bring its own `timeout`.
    pub search_timeout: Duration,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6333,
            cors: true,
            body_bytes_max: 32 << 20,
            body_memory_bytes: 512 << 20,
            body_idle: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            // Qdrant closes after 5 s, the very moment at which its Python client does, and the
            // two race; a minute is what proxies expect.
            keep_alive: Duration::from_secs(60),
            connections_max: 4096,
            connections_per_address_max: 1024,
            drain: Duration::from_secs(10),
            network_threads: 0,
            write_threads: 0,
            write_queue: 256,
            search_threads: 0,
            search_queue: 1024,
            search_timeout: Duration::from_secs(60),
        }
    }
}

/// What a new collection gets where the request does not say.
#[derive(Clone, Debug, Default)]
pub struct CollectionDefaults {
    /// Graph settings; the seed is the engine's.
    pub hnsw: format_spec::HnswSettings,
    /// Compaction settings.
    pub compaction: format_spec::CompactionSettings,
    /// `on_disk_payload` as new collections report it.
    pub on_disk_payload: Option<bool>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No such key.
    #[error("unknown setting `{key}` in {origin}; did you mean `{nearest}`?")]
    Unknown {
        /// As it was written.
        key: String,
        /// File, variable or flag.
        origin: String,
        /// The known key that is most like it.
        nearest: &'static str,
    },
    /// The key exists and its value does not fit.
    #[error("setting `{key}` in {origin} is `{value}`: {why}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// File, variable or flag.
        origin: String,
        /// As it was written.
        value: String,
        /// What was expected.
        why: String,
    },
    /// The file cannot be read or is not YAML.
    #[error("settings file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: config::ConfigError,
    },
    /// A flag without `=`.
    #[error("`--set {0}`: expected KEY=VALUE")]
    Flag(String),
}

/// What the command line adds to file and environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The file to read; without one `cairn.yaml` in the working directory, if it is there.
    pub file: Option<PathBuf>,
    /// Pairs of key and value, strongest of all.
    pub pairs: Vec<(String, String)>,
}

impl Overrides {
    /// Adds `KEY=VALUE`.
    ///
    /// # Errors
    /// [`SettingsError::Flag`] without the `=`.
    pub fn push(&mut self, text: &str) -> Result<(), SettingsError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| SettingsError::Flag(text.to_owned()))?;
        self.pairs.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// File read when none is named.
const DEFAULT_FILE: &str = "cairn.yaml";

impl Settings {
    /// Reads file, then variables, then flags. Also returns the keys under `QDRANT__` that mean
    /// nothing here, for the log.
    ///
    /// # Errors
    /// The first setting that is unknown or does not fit.
    pub fn load(
        overrides: &Overrides,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<String>), SettingsError> {
        let mut settings = Self::default();
        let named = overrides.file.as_deref();
        let default = Path::new(DEFAULT_FILE);
        if let Some(path) = named.or_else(|| default.exists().then_some(default)) {
            settings.read_file(path)?;
        }
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        let skipped = settings.read_variables("QDRANT__", &variables)?;
        let unknown = settings.read_variables("CAIRN__", &variables)?;
        if let Some(name) = unknown.into_iter().next() {
            let key = key_of_variable(&name["CAIRN__".len()..]);
            return Err(unknown_key(&key, format!("variable {name}")));
        }
        for (key, value) in &overrides.pairs {
            if !settings.set(key, value, &|| "the command line".to_owned())? {
                return Err(unknown_key(key, "the command line".to_owned()));
            }
        }
        Ok((settings, skipped))
    }

    fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let failed = |source| SettingsError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::from(path).format(FileFormat::Yaml);
        let tree = Config::builder().add_source(file).build().map_err(failed)?;
        let mut leaves = Vec::new();
        flatten("", tree.cache.kind, &mut leaves);
        leaves.sort();
        for (key, value) in leaves {
            let origin = || format!("file {}", path.display());
            if !self.set(&key, &value, &origin)? {
                return Err(unknown_key(&key, origin()));
            }
        }
        Ok(())
    }

    /// Returns the names that are no setting.
    fn read_variables(
        &mut self,
        prefix: &str,
        variables: &[(String, String)],
    ) -> Result<Vec<String>, SettingsError> {
        let mut unknown = Vec::new();
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(prefix) else {
                continue;
            };
            if !self.set(&key_of_variable(rest), value, &|| {
                format!("variable {name}")
            })? {
                unknown.push(name.clone());
            }
        }
        Ok(unknown)
    }

    /// Sets one key; `false` when there is no such key.
    fn set(
        &mut self,
        key: &str,
        value: &str,
        origin: &dyn Fn() -> String,
    ) -> Result<bool, SettingsError> {
        let Some(&(key, set)) = KEYS.iter().find(|(path, _)| *path == key) else {
            return Ok(false);
        };
        set(self, value.trim()).map_err(|why| SettingsError::Value {
            key,
            origin: origin(),
            // A secret has no place in a log, not even one that is refused.
            value: if key.ends_with("api_key") {
                "***".to_owned()
            } else {
                value.to_owned()
            },
            why,
        })?;
        Ok(true)
    }

    /// The URL that a client on this machine uses.
    #[must_use]
    pub fn local_url(&self) -> String {
        let host = match self.service.host.as_str() {
            "0.0.0.0" | "::" => "localhost",
            host => host,
        };
        format!("http://{host}:{}", self.service.port)
    }
}

fn key_of_variable(rest: &str) -> String {
    rest.to_ascii_lowercase().replace("__", ".")
}

fn flatten(path: &str, kind: ValueKind, leaves: &mut Vec<(String, String)>) {
    match kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                let below = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                flatten(&below, value.kind, leaves);
            }
        }
        // An unset value, as Qdrant's own file has many.
        ValueKind::Nil => {}
        other @ (ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)
        | ValueKind::String(_)
        | ValueKind::Array(_)) => leaves.push((path.to_owned(), other.to_string())),
    }
}

fn unknown_key(key: &str, origin: String) -> SettingsError {
    let nearest = KEYS
        .iter()
        .map(|(path, _)| *path)
        .min_by_key(|path| edits(key, path))
        .unwrap_or_default();
    SettingsError::Unknown {
        key: key.to_owned(),
        origin,
        nearest,
    }
}

/// Levenshtein distance, one row at a time.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let swap = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

type Set = fn(&mut Settings, &str) -> Result<(), String>;

/// Every setting there is.
const KEYS: &[(&str, Set)] = &[
    ("log_level", |s, v| {
        s.log_level = LogLevel(v.to_ascii_lowercase());
        Ok(())
    }),
    ("logger.format", |s, v| {
        s.log_json = match v {
            "text" => false,
            "json" => true,
            _ => return Err("expected text or json".to_owned()),
        };
        Ok(())
    }),
    ("service.host", |s, v| {
        s.service.host = v.to_owned();
        Ok(())
    }),
    ("service.http_port", |s, v| put(&mut s.service.port, v)),
    ("service.enable_cors", |s, v| {
        s.service.cors = flag(v)?;
        Ok(())
    }),
    ("service.max_request_size_mb", |s, v| {
        s.service.body_bytes_max = positive::<usize>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("service.body_memory_mb", |s, v| {
        s.service.body_memory_bytes = positive::<usize>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("service.body_idle_timeout_sec", |s, v| {
        seconds(&mut s.service.body_idle, v)
    }),
    ("service.http_client_request_timeout_sec", |s, v| {
        seconds(&mut s.service.header_timeout, v)
    }),
    ("service.http_keep_alive_timeout_sec", |s, v| {
        seconds(&mut s.service.keep_alive, v)
    }),
    ("service.shutdown_timeout_sec", |s, v| {
        seconds(&mut s.service.drain, v)
    }),
    ("service.max_connections", |s, v| {
        s.service.connections_max = positive(v)?;
        Ok(())
    }),
    ("service.max_connections_per_address", |s, v| {
        s.service.connections_per_address_max = positive(v)?;
        Ok(())
    }),
    ("service.max_workers", |s, v| {
        put(&mut s.service.network_threads, v)
    }),
    ("service.write_threads", |s, v| {
        put(&mut s.service.write_threads, v)
    }),
    ("service.write_queue_max", |s, v| {
        s.service.write_queue = positive(v)?;
        Ok(())
    }),
    ("service.search_queue_max", |s, v| {
        s.service.search_queue = positive(v)?;
        Ok(())
    }),
    ("service.api_key", |_, v| no_authentication(v)),
    ("service.alt_api_key", |_, v| no_authentication(v)),
    ("service.read_only_api_key", |_, v| no_authentication(v)),
    ("service.jwt_rbac", |_, v| absent(v, "JWT access control")),
    ("service.enable_tls", |_, v| absent(v, "TLS")),
    ("cluster.enabled", |_, v| absent(v, "the cluster mode")),
    ("storage.storage_path", |s, v| {
        s.storage.path = PathBuf::from(v);
        Ok(())
    }),
    ("storage.on_disk_payload", |s, v| {
        s.defaults.on_disk_payload = Some(flag(v)?);
        Ok(())
    }),
    ("storage.wal.wal_capacity_mb", |s, v| {
        s.storage.engine.wal_file_bytes = positive::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("storage.memtable_mb", |s, v| {
        let bytes = positive::<u64>(v)?.saturating_mul(1 << 20);
        s.storage.engine.memtable_bytes_max = bytes;
        s.defaults.compaction.memtable_bytes_max = bytes;
        Ok(())
    }),
    ("storage.sealed_memtables_max", |s, v| {
        s.storage.engine.sealed_memtables_max = positive(v)?;
        Ok(())
    }),
    ("storage.free_space_min_mb", |s, v| {
        s.storage.engine.soft_free_bytes = number::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("storage.codes_kb_min", |s, v| {
        s.storage.engine.codes_bytes_min = number::<u64>(v)?.saturating_mul(1 << 10);
        Ok(())
    }),
    ("storage.graph_rows_min", |s, v| {
        s.storage.engine.graph_rows_min = number(v)?;
        Ok(())
    }),
    ("storage.coded_graph_mb", |s, v| {
        s.storage.engine.coded_graph_bytes_max = number::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("storage.derived_columns_mb", |s, v| {
        s.storage.engine.derived_bytes_max = number::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("storage.payload_cache_mb", |s, v| {
        s.storage.engine.payload_cache_bytes_max = number::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
    ("storage.io_uring", |s, v| {
        v.parse().map(|parsed| s.storage.io_uring = parsed)
    }),
    ("storage.build_threads", |s, v| {
        s.storage.engine.build_threads = positive(v)?;
        Ok(())
    }),
    ("storage.background_threads", |s, v| {
        s.storage.engine.workers = positive(v)?;
        Ok(())
    }),
    ("storage.performance.max_search_threads", |s, v| {
        put(&mut s.service.search_threads, v)
    }),
    ("storage.performance.search_timeout_sec", |s, v| {
        seconds(&mut s.service.search_timeout, v)
    }),
    ("storage.hnsw_index.m", |s, v| {
        put(&mut s.defaults.hnsw.m, v)
    }),
    ("storage.hnsw_index.ef_construct", |s, v| {
        put(&mut s.defaults.hnsw.ef_construct, v)
    }),
    ("storage.hnsw_index.full_scan_threshold_kb", |s, v| {
        put(&mut s.defaults.hnsw.full_scan_threshold_kb, v)
    }),
    ("storage.optimizers.deleted_threshold", |s, v| {
        let share: f64 = number(v)?;
        if !(0.0..=1.0).contains(&share) {
            return Err("expected a number from 0 to 1".to_owned());
        }
        s.defaults.compaction.deleted_threshold = share;
        Ok(())
    }),
    ("storage.optimizers.vacuum_min_vector_number", |s, v| {
        put(&mut s.defaults.compaction.vacuum_min_rows, v)
    }),
    ("storage.optimizers.default_segment_number", |s, v| {
        put(&mut s.defaults.compaction.segment_count_target, v)
    }),
    ("storage.optimizers.max_segment_size_kb", |s, v| {
        s.defaults.compaction.segment_bytes_max = number::<u64>(v)?.saturating_mul(1 << 10);
        Ok(())
    }),
    ("storage.optimizers.indexing_threshold_kb", |s, v| {
        put(&mut s.defaults.compaction.indexing_threshold_kb, v)
    }),
    // Existing files have it. Every acknowledged write is durable at once, so it means nothing.
    ("storage.optimizers.flush_interval_sec", |_, v| {
        number::<u64>(v).map(drop)
    }),
    ("storage.compaction.fan_out", |s, v| {
        let fan_out: u32 = number(v)?;
        if fan_out < 2 {
            return Err("expected 2 or more".to_owned());
        }
        s.defaults.compaction.fan_out = fan_out;
        Ok(())
    }),
    ("storage.compaction.jobs_max", |s, v| {
        put(&mut s.defaults.compaction.jobs_max, v)
    }),
    ("storage.compaction.rate_mb_per_sec", |s, v| {
        s.defaults.compaction.rate_bytes_per_s = number::<u64>(v)?.saturating_mul(1 << 20);
        Ok(())
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<(Settings, Vec<String>), SettingsError> {
        let overrides = Overrides::default();
        let variables = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(&overrides, variables)
    }

    #[test]
    fn variables_of_qdrant_are_read_and_give_way_to_ours() {
        let (settings, skipped) = load(&[
            ("QDRANT__SERVICE__HTTP_PORT", "7000"),
            ("CAIRN__SERVICE__HTTP_PORT", "7001"),
            ("QDRANT__STORAGE__STORAGE_PATH", "/data"),
            ("QDRANT__STORAGE__PERFORMANCE__ASYNC_SCORER", "true"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(settings.service.port, 7001);
        assert_eq!(settings.storage.path, Path::new("/data"));
        assert_eq!(skipped, ["QDRANT__STORAGE__PERFORMANCE__ASYNC_SCORER"]);
    }

    #[test]
    fn an_unknown_key_of_ours_names_the_nearest() {
        let error = load(&[("CAIRN__SERVICE__HTPP_PORT", "1")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown setting `service.htpp_port` in variable CAIRN__SERVICE__HTPP_PORT; \
             did you mean `service.http_port`?"
        );
    }

    #[test]
    fn a_key_that_would_be_ignored_stops_the_start() {
        let error = load(&[("QDRANT__SERVICE__API_KEY", "secret")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no authentication"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(load(&[("QDRANT__SERVICE__API_KEY", "")]).is_ok());
        assert!(load(&[("QDRANT__CLUSTER__ENABLED", "true")]).is_err());
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_key() {
        for (name, value) in [
            ("CAIRN__SERVICE__HTTP_PORT", "70000"),
            ("CAIRN__SERVICE__MAX_REQUEST_SIZE_MB", "0"),
            ("CAIRN__STORAGE__OPTIMIZERS__DELETED_THRESHOLD", "2"),
            ("CAIRN__SERVICE__ENABLE_CORS", "maybe"),
        ] {
            let error = load(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn file_then_variable_then_flag() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.yaml");
        let yaml = "service:\n  http_port: 1\n  max_workers: 3\n  host: 0.0.0.0\nlog_level: DEBUG\nstorage:\n  wal: ~\n";
        write(&path, yaml);
        let mut overrides = Overrides {
            file: Some(path.clone()),
            pairs: Vec::new(),
        };
        overrides.push("service.host=::1").unwrap();
        let variables = [("CAIRN__SERVICE__HTTP_PORT".to_owned(), "2".to_owned())];
        let (settings, _) = Settings::load(&overrides, variables.into_iter()).unwrap();
        assert_eq!(settings.service.port, 2);
        assert_eq!(settings.service.network_threads, 3);
        assert_eq!(settings.service.host, "::1");
        assert_eq!(settings.log_level.0, "debug");

        write(&path, "service:\n  prt: 1\n");
        let error = Settings::load(&overrides, std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("`service.prt`"), "{error}");
        write(&path, "service: [\n");
        let error = Settings::load(&overrides, std::iter::empty()).unwrap_err();
        assert!(matches!(error, SettingsError::File { .. }));
    }

    #[test]
    fn the_operators_page_lists_every_key_with_its_default() {
        let page = include_str!("../OPERATING.md");
        let table = page.split("| key | default |").nth(1).unwrap();
        let table = table.split("\n\n").next().unwrap();
        let quoted = |cell: &str| -> Option<String> {
            Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned())
        };
        let rows = table.lines().skip(2).map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (quoted(cells[1]).unwrap(), quoted(cells[2]))
        });
        let rows: Vec<_> = rows.collect();
        let listed: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
        assert_eq!(listed, known);
        let default = format!("{:?}", Settings::default());
        for (key, value) in rows {
            // The default of some is not a value: it depends on the machine, or there is none.
            let Some(value) = value else { continue };
            let mut settings = Settings::default();
            assert!(settings.set(&key, &value, &String::new).unwrap());
            assert_eq!(format!("{settings:?}"), default, "{key}");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes its own file")]
    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }
}
