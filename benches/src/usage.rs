//! What this process has used so far, as Linux tells it (proc(5)); elsewhere zero.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Ticks a second of the times in `/proc/self/stat`, which the kernel fixes for all programs.
const TICKS: f64 = 100.0;

/// Seconds of CPU of all threads, those that have ended included, to 10 ms.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the command may hold anything, but its last parenthesis ends it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Fields 14 and 15, utime and stime; the first after the name is 3.
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

/// Seconds of CPU of the threads that are there now, to the nanosecond.
pub fn running_cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task");
    let figures = tasks.into_iter().flatten().flatten().map(|task| {
        let figures = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let spent = figures.split_whitespace().next().map(str::parse::<u64>);
        spent.and_then(Result::ok).unwrap_or_default()
    });
    figures.sum::<u64>() as f64 / 1e9
}

/// Bytes of a line of `/proc/self/status`: `VmRSS`, `RssAnon`, `RssFile`.
pub fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    kilobytes
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

/// Bytes that all files below a directory take on the disk, holes left out.
///
/// # Errors
/// What reading the directory gives.
pub fn bytes_below(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() {
            bytes_below(&entry.path())?
        } else {
            meta.blocks() * 512
        };
    }
    Ok(bytes)
}
