//! The real server under measurement, on a directory of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// A running `cairn serve`; killed when dropped.
#[derive(Debug)]
pub struct Node {
    binary: PathBuf,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Node {
    /// Prepares a server on `directory`: the binary given with `--cairn`, or the one beside this
    /// command, which `cargo build --release` makes.
    ///
    /// # Errors
    /// When there is no such binary.
    pub fn new(directory: &Path) -> Result<Self, Failure> {
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("cairn"));
        let binary = crate::argument("--cairn")
            .map(PathBuf::from)
            .or_else(beside);
        let binary = binary.filter(|path| path.is_file());
        let binary =
            binary.ok_or("no cairn binary here: run `cargo build --release`, or --cairn")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Ok(Self {
            binary,
            directory: directory.to_owned(),
            port,
            child: None,
        })
    }

    /// Starts it, and tells how long it took until it was ready.
    ///
    /// # Errors
    /// When it does not become ready within a minute.
    pub fn start(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        let child = Command::new(&self.binary)
            .args([
                "serve",
                "--http-port",
                &self.port.to_string(),
                "--log-level",
                "warn",
            ])
            .arg("--storage-path")
            .arg(&self.directory)
            .stdin(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        while start.elapsed() < Duration::from_secs(60) {
            if ureq::get(&format!("{}/readyz", self.url())).call().is_ok() {
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("the server did not become ready within a minute".into())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Processor time of its threads as [`cpu_ns`] has it; nothing while it does not run.
    #[must_use]
    pub fn cpu_ns(&self) -> BTreeMap<String, u64> {
        let child = self.child.as_ref();
        child.map_or_else(BTreeMap::new, |child| cpu_ns(child.id()))
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    /// Its address as text.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the kernel counted as processor time of the threads of a process, in ns, by the names of
/// the threads without their numbers.
#[must_use]
pub fn cpu_ns(process: u32) -> BTreeMap<String, u64> {
    let mut groups = BTreeMap::new();
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, counted) = (read("comm"), read("schedstat"));
        let ns = counted.split(' ').next().and_then(|ns| ns.parse().ok());
        let group = name
            .trim()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *groups.entry(group.to_owned()).or_insert(0) += ns.unwrap_or(0);
    }
    groups
}
