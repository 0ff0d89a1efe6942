//! Connections: accepting them, bounding them, ending them.
//!
//! One port speaks HTTP/1.1 and HTTP/2. Every connection is a task that serves its requests,
//! watches the clock, and listens for the stop of the server.
//!
//! # Invariants
//! - Heads are bounded in time, bytes and number of headers; streams of an HTTP/2 connection
//!   are bounded; connections are bounded in all and for one address.
//! - A connection without a running request on which no byte moves for the keep-alive time is
//!   closed, whatever state its protocol is in: a half-sent head, an answer nobody reads.
//! - When the server stops, running requests get the drain time, then their connections go.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::handler;
use crate::settings::ServiceSettings;
use crate::state::State;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes that one connection may hold unparsed, the head of a request among them.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Streams that a client opened and reset before we saw them (rapid reset).
const RESET_STREAMS_MAX: usize = 20;
/// Streams that we had to reset for errors of the client.
const ERROR_STREAMS_MAX: usize = 1024;
/// Bytes of the headers of one HTTP/2 request.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Pause after the system refused a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a connection looks whether anything has moved.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Accepts until told to stop, then waits for running requests as long as the drain time.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) {
    let builder = Arc::new(builder(&state.settings.service));
    let counts = Arc::new(Counts::default());
    // Held by every connection; closed when the last one is gone.
    let (all, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A slot is taken before anything is spent on the connection; without one it is closed.
        let Some(slot) = Counts::enter(&counts, peer.ip(), &state.settings.service) else {
            state.telemetry.refused_connection();
            continue;
        };
        let (builder, state) = (Arc::clone(&builder), Arc::clone(&state));
        let (stop, all) = (stop.clone(), all.clone());
        tokio::spawn(async move {
            connection(stream, peer, &builder, state, stop).await;
            drop((slot, all));
        });
    }
    drop((listener, all));
    if timeout(state.settings.service.drain, gone.recv())
        .await
        .is_err()
    {
        tracing::warn!("requests still ran after the drain time and were cut off");
    }
}

fn builder(settings: &ServiceSettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Without a timer hyper has no timeouts at all. Its clock for a head starts when the
        // answer before it ends, so an idle connection has to fit in; the first head of a
        // connection has only its own time, see `Activity::is_over`.
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout.max(settings.keep_alive))
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(ERROR_STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX);
    builder
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    builder: &Builder<TokioExecutor>,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill packets only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let activity = Arc::new(Activity::new());
    let limits = state.settings.service.clone();
    let service = service_fn(|request| {
        let (state, running) = (Arc::clone(&state), Activity::begin(&activity));
        async move {
            let answer = handler::answer(state, request).await;
            drop(running);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(Watched {
        stream,
        activity: Arc::clone(&activity),
    });
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut watch = interval(WATCH_INTERVAL);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended early");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            _ = watch.tick() => {
                if activity.is_over(&limits) {
                    return;
                }
            }
        }
    }
}

/// What has moved on a connection lately.
#[derive(Debug)]
struct Activity {
    start: Instant,
    /// Milliseconds after `start` at which a byte or a request last moved.
    moved_ms: AtomicU64,
    running: AtomicUsize,
    requests: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            moved_ms: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    fn begin(this: &Arc<Self>) -> Running {
        this.running.fetch_add(1, Ordering::Relaxed);
        this.requests.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(this))
    }

    /// Whether nothing has happened for so long that nothing will. A client that has not sent
    /// its first request gets only the time of a head.
    fn is_over(&self, limits: &ServiceSettings) -> bool {
        if self.running.load(Ordering::Relaxed) > 0 {
            return false;
        }
        if self.requests.load(Ordering::Relaxed) == 0 {
            return self.start.elapsed() > limits.header_timeout;
        }
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(moved) > limits.keep_alive
    }
}

/// A request that runs.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.touch();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes when bytes move.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.activity.touch();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            self.activity.touch();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if polled.is_ready() {
            self.activity.touch();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Open connections, in all and for each address.
#[derive(Debug, Default)]
struct Counts(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

impl Counts {
    fn enter(this: &Arc<Self>, address: IpAddr, limits: &ServiceSettings) -> Option<Slot> {
        let mut open = this.0.lock();
        let of = open.of.get(&address).copied().unwrap_or(0);
        if open.all >= limits.connections_max || of >= limits.connections_per_address_max {
            return None;
        }
        open.all += 1;
        open.of.insert(address, of + 1);
        Some(Slot {
            counts: Arc::clone(this),
            address,
        })
    }
}

/// One open connection.
#[derive(Debug)]
struct Slot {
    counts: Arc<Counts>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.counts.0.lock();
        open.all -= 1;
        let left = open.of.get(&self.address).map_or(0, |of| of - 1);
        if left == 0 {
            open.of.remove(&self.address);
        } else {
            open.of.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_and_for_one_address() {
        let limits = ServiceSettings {
            connections_max: 3,
            connections_per_address_max: 2,
            ..ServiceSettings::default()
        };
        let counts = Arc::new(Counts::default());
        let enter = |last| Counts::enter(&counts, IpAddr::from([10, 0, 0, last]), &limits);
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some());
        assert!(enter(1).is_none(), "two of one address");
        let third = enter(2);
        assert!(third.is_some());
        assert!(enter(3).is_none(), "three in all");
        drop((first, second, third));
        assert_eq!(counts.0.lock().of.len(), 0);
        assert!(enter(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_when_nothing_moves() {
        let limits = ServiceSettings::default();
        let activity = Arc::new(Activity::new());
        sleep(limits.header_timeout + Duration::from_secs(1)).await;
        assert!(activity.is_over(&limits), "no request came");
        let running = Activity::begin(&activity);
        sleep(limits.keep_alive * 10).await;
        assert!(!activity.is_over(&limits), "a request runs");
        drop(running);
        assert!(!activity.is_over(&limits), "it has just ended");
        sleep(limits.keep_alive + Duration::from_secs(1)).await;
        assert!(activity.is_over(&limits));
    }
}
