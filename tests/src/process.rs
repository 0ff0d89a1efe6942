//! The real binary: built when it is stale, started on a free port, killed, stopped.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest time from start to ready, and from SIGTERM to the end.
const DEADLINE: Duration = Duration::from_secs(60);

/// The directory of this build: `target` and the profile's folder in it.
///
/// # Panics
/// When this test was not started from a target directory.
pub fn build_dirs() -> (PathBuf, PathBuf) {
    let test = std::env::current_exe().expect("a process has a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    (target.to_path_buf(), profile.to_path_buf())
}

/// The `cairn` binary of the profile this test was built with, or `CAIRN_BIN`.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("CAIRN_BIN") {
            return PathBuf::from(path);
        }
        let (target, profile) = build_dirs();
        // The same profile as the tests, so that all its dependencies are there already.
        let name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "test",
            Some(other) => other,
        };
        let status = Command::new(cargo())
            .args([
                "build",
                "--quiet",
                "--package",
                "cairn",
                "--bin",
                "cairn",
                "--profile",
                name,
            ])
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cargo build -p cairn: {status}");
        profile.join("cairn")
    })
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A server on a data directory. Dropped, it is killed.
#[derive(Debug)]
pub struct Node {
    directory: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    /// A server that is not started yet; `settings` are environment variables.
    ///
    /// # Panics
    /// When no port is free.
    pub fn new(directory: &Path, settings: &[(&str, &str)]) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = free
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let settings = settings
            .iter()
            .map(|&(key, value)| (key.into(), value.into()))
            .collect();
        Self {
            directory: directory.to_path_buf(),
            port,
            settings,
            child: None,
        }
    }

    /// Starts the process and returns at once.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the log can be written");
        let also = log.try_clone().expect("a file can be opened twice");
        let child = Command::new(binary())
            .arg("serve")
            .env("CAIRN__SERVICE__HOST", "127.0.0.1")
            .env("CAIRN__SERVICE__HTTP_PORT", self.port.to_string())
            .env("CAIRN__STORAGE__STORAGE_PATH", &self.directory)
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// Starts the process and waits until it answers on `/readyz`.
    ///
    /// # Panics
    /// When it ends or is not ready in time; says what it logged.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Waits until the process answers on `/readyz`.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn wait_ready(&mut self) {
        let start = Instant::now();
        let url = format!("{}/readyz", self.url());
        while ureq::get(&url).call().is_err() {
            if let Some(status) = self.ended() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            assert!(
                start.elapsed() < DEADLINE,
                "not ready in time:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// How the process ended, if it did.
    ///
    /// # Panics
    /// When it is not a child of ours, which cannot be.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        child.try_wait().expect("the process is our child")
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.child = None;
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When there is no process.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        child.kill().expect("the process is our child");
        child.wait().expect("the process is our child");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end by itself.
    pub fn stop(&mut self) -> ExitStatus {
        let child = self.child.as_ref().expect("it was started");
        kill_process(Pid::from_child(child), Signal::TERM).expect("the process is our child");
        self.wait_ended()
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The last lines of what it said.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(self.log_path()) {
            // A log that cannot be read must not hide the failure it belongs to.
            let _ = std::io::Read::read_to_string(&mut file, &mut text);
        }
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
