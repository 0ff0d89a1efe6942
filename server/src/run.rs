//! A server from its settings to its end.
//!
//! # Invariants
//! - The port is bound before the data is opened, so that a second server fails at once and not
//!   after a recovery; it answers only after recovery.
//! - Whoever got an answer can stop the server: signals are watched before it answers.
//! - A stop ends in this order: no new connections, running requests, write threads, engine.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Db, DiskStorage, Storage, SystemClock};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::pool::cpus;
use crate::serve::serve;
use crate::settings::Settings;
use crate::state::State;

/// Anything that keeps a server from starting or from ending well.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Tasks get so long to notice that the runtime ends.
const RUNTIME_END: Duration = Duration::from_secs(5);

/// A running server. Dropped, it stops without waiting; [`Running::stop`] waits.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

/// What tells a process to stop.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    fn watch(runtime: &Runtime) -> std::io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one that came since they are watched.
    fn wait(mut self, runtime: &Runtime) {
        let signal = runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        });
        tracing::info!(signal, "stopping");
    }
}

/// Starts a server and returns when it answers.
///
/// # Errors
/// The port is taken, the data directory cannot be opened, threads cannot be started.
pub fn start(settings: Settings) -> Result<Running, Failure> {
    start_with(settings, |_| Ok(())).map(|(running, ())| running)
}

/// The same; `prepare` is called when all is ready to answer but nothing is answered yet.
fn start_with<T>(
    settings: Settings,
    prepare: impl FnOnce(&Runtime) -> std::io::Result<T>,
) -> Result<(Running, T), Failure> {
    let network = match settings.service.network_threads {
        0 => cpus().saturating_sub(1).max(1),
        threads => threads,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(network)
        .thread_name("cairn-net")
        .enable_all()
        .build()?;
    let address = (settings.service.host.clone(), settings.service.port);
    let listener = runtime
        .block_on(TcpListener::bind(&address))
        .map_err(|error| {
            let (host, port) = &address;
            format!("cannot listen on {host}:{port}: {error}")
        })?;
    let addr = listener.local_addr()?;
    warn_if_open(&addr);
    let storage = DiskStorage::with(&settings.storage.path, settings.storage.io_uring)?;
    tracing::info!(method = storage.batched_reads().method, "cold reads");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let engine = settings.storage.engine.clone();
    let db = Db::open(Arc::new(storage), Arc::clone(&clock), engine)?;
    let state = Arc::new(State::new(db, clock, settings)?);
    for collection in state.db.collections() {
        let name = collection.name();
        if let Err(error) = state.place(&collection) {
            tracing::warn!(name, %error, "files stay cached");
        }
    }
    let prepared = prepare(&runtime)?;
    let (stop, stopped) = watch::channel(false);
    let serving = runtime.spawn(serve(listener, Arc::clone(&state), stopped));
    tracing::info!(%addr, collections = state.db.collections().len(), "ready");
    let running = Running {
        addr,
        state,
        stop,
        serving: Some(serving),
        runtime: Some(runtime),
    };
    Ok((running, prepared))
}

/// Anybody who reaches the port can do anything.
fn warn_if_open(addr: &SocketAddr) {
    if !addr.ip().is_loopback() {
        tracing::warn!(
            %addr,
            "listening beyond this machine, and this version has no authentication"
        );
    }
}

/// Runs a server until the process is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// As [`start`] and [`Running::stop`].
pub fn run(settings: Settings) -> Result<(), Failure> {
    let (running, signals) = start_with(settings, Signals::watch)?;
    if let Some(runtime) = &running.runtime {
        signals.wait(runtime);
    }
    running.stop()
}

impl Running {
    /// Where it answers.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until the process is told to stop.
    ///
    /// # Errors
    /// Signals cannot be watched.
    pub fn wait_for_signal(&self) -> Result<(), Failure> {
        if let Some(runtime) = &self.runtime {
            Signals::watch(runtime)?.wait(runtime);
        }
        Ok(())
    }

    /// Stops accepting, lets running requests end, and closes the data.
    ///
    /// # Errors
    /// The engine could not be closed cleanly; what was acknowledged is safe nevertheless.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.state.begin_stop();
        // Without a receiver the accept loop has ended already.
        let _ = self.stop.send(true);
        if let (Some(runtime), Some(serving)) = (self.runtime.take(), self.serving.take()) {
            runtime.block_on(serving)?;
            self.state.close_threads();
            runtime.shutdown_timeout(RUNTIME_END);
        }
        self.state.db.close()?;
        tracing::info!("stopped");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            self.state.close_threads();
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn signals_are_watched_before_anything_is_answered() {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.service.port = address.port();
        settings.storage.path = directory.path().join("data");
        let asked = |_: &Runtime| {
            let mut asking = TcpStream::connect(address)?;
            asking.write_all(b"GET /readyz HTTP/1.1\r\nhost: cairn\r\n\r\n")?;
            asking.set_read_timeout(Some(Duration::from_millis(300)))?;
            let early = asking.read(&mut [0; 64]);
            assert!(early.is_err(), "{early:?} before signals were watched");
            asking.set_read_timeout(Some(Duration::from_secs(60)))?;
            Ok(asking)
        };
        let (running, mut asking) = start_with(settings, asked).unwrap();
        let mut answer = [0; 15];
        asking.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        drop(asking);
        running.stop().unwrap();
    }
}
