//! What operators watch: counts and times of requests, as Prometheus text.
//!
//! Families that Qdrant has too carry its names and labels, so that its dashboards work; what
//! only Cairn knows begins with `cairn_`.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustix::fs::{Mode, OFlags};

/// Bounds of the buckets of request times, in seconds.
const TIMES: [f64; 14] = [
    0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0,
];

/// Labels of a request, as Qdrant names them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    endpoint: &'static str,
    status: u16,
}

type TimesByRequest = Family<RequestLabels, Histogram, fn() -> Histogram>;

/// Counters that live as long as the server.
pub(crate) struct Telemetry {
    registry: Registry,
    responses: Family<RequestLabels, Counter>,
    times: TimesByRequest,
    refused_connections: Counter,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let responses = Family::default();
        let times = TimesByRequest::new_with_constructor(|| Histogram::new(TIMES));
        let refused_connections = Counter::default();
        registry.register("rest_responses", "Responses", responses.clone());
        registry.register(
            "rest_responses_duration_seconds",
            "Time from the head of a request to its response",
            times.clone(),
        );
        registry.register(
            "cairn_connections_refused",
            "Connections closed at once because too many were open",
            refused_connections.clone(),
        );
        Self {
            registry,
            responses,
            times,
            refused_connections,
        }
    }

    /// Counts one answered request.
    pub(crate) fn answered(
        &self,
        method: &'static str,
        endpoint: &'static str,
        status: u16,
        took: Duration,
    ) {
        let labels = RequestLabels {
            method,
            endpoint,
            status,
        };
        self.responses.get_or_create(&labels).inc();
        self.times
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts a connection that found no place.
    pub(crate) fn refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// Appends the text of all counters.
    pub(crate) fn encode(&self, out: &mut String) -> fmt::Result {
        text::encode_registry(out, &self.registry)
    }
}

/// Figures of one moment, filled at each scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    registry: Registry,
}

/// Label values of one figure.
pub(crate) type Labels = Vec<(&'static str, String)>;

impl Scrape {
    /// Adds a family with one value.
    pub(crate) fn one(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Labels::new(), value)]);
    }

    /// Adds a family of gauges; one without values is left out.
    pub(crate) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        let mut any = false;
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
            any = true;
        }
        if any {
            self.registry.register(name, help, family);
        }
    }

    /// As [`Self::gauges`], of totals since the start; their names get `_total` at the end.
    pub(crate) fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        let mut any = false;
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
            any = true;
        }
        if any {
            self.registry.register(name, help, family);
        }
    }

    /// Appends the text.
    pub(crate) fn encode(&self, out: &mut String) -> fmt::Result {
        text::encode_registry(out, &self.registry)
    }
}

/// What the operating system says about this process; nothing where it does not say it.
pub(crate) fn process(scrape: &mut Scrape) {
    let kib = read_status().and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    if let Some(kib) = kib {
        let help = "Resident memory, mapped files included";
        scrape.one("memory_resident_bytes", help, (kib * 1024) as f64);
    }
    if let Some(count) = count_entries("/proc/self/fd") {
        scrape.one("process_open_fds", "Open file descriptors", count as f64);
    }
    if let Some(count) = count_entries("/proc/self/task") {
        scrape.one("process_threads", "Threads", count as f64);
    }
}

/// `/proc/self/status`. No file that a disk could lose, so it does not go through the storage;
/// it says that its length is 0, so it could not either.
fn read_status() -> Option<String> {
    let file = open_in_proc("/proc/self/status")?;
    let mut bytes = [0; 8192];
    let len = rustix::io::read(&file, &mut bytes).ok()?;
    String::from_utf8(bytes.get(..len)?.to_vec()).ok()
}

fn count_entries(path: &str) -> Option<usize> {
    let entries = rustix::fs::Dir::new(open_in_proc(path)?).ok()?;
    // Two of them are the directory itself and the one above.
    Some(entries.filter(Result::is_ok).count().saturating_sub(2))
}

fn open_in_proc(path: &str) -> Option<rustix::fd::OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_the_names_that_dashboards_read() {
        let telemetry = Telemetry::new();
        telemetry.answered("PUT", "/collections/{collection_name}", 200, Duration::ZERO);
        let mut text = String::new();
        telemetry.encode(&mut text).unwrap();
        let mut scrape = Scrape::default();
        let labels = || vec![("id", "a\"b".to_owned())];
        scrape.gauges("collection_points", "Points", [(labels(), 3.0)]);
        scrape.counters("cairn_wal_syncs", "Syncs", [(labels(), 7.0)]);
        process(&mut scrape);
        scrape.encode(&mut text).unwrap();
        for line in [
            "rest_responses_total{method=\"PUT\",\
             endpoint=\"/collections/{collection_name}\",status=\"200\"} 1",
            "collection_points{id=\"a\\\"b\"} 3",
            "# TYPE cairn_wal_syncs counter",
            "cairn_wal_syncs_total{id=\"a\\\"b\"} 7",
            "memory_resident_bytes ",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
