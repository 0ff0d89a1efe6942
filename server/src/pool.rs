//! Threads that work, so that the threads that move bytes never wait.
//!
//! Reads run where they were received, on a thread that has handed its connections to another one
//! first: waking a thread and being woken by it would take longer than a quick search. A rayon
//! pool (`cairn-search-N`) is there for reads that search their sources in parallel. Writes run on
//! threads of their own (`cairn-write-N`): they wait for the disk, and the more of them wait at
//! once, the more share one sync. Changes of collections have a few other ones (`cairn-admin-N`),
//! because it may take one to let held-back writes go on. All are behind a bounded number of
//! places; whoever finds none waits for one without holding a thread.
//!
//! # Invariants
//! - A job whose client has gone before it began is not run.
//! - A job that panics is that request's failure and nobody else's.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::ApiError;

/// The places for reads, and the threads that help them.
#[derive(Debug)]
pub(crate) struct SearchPool {
    threads: rayon::ThreadPool,
    /// One thread: a read that is given it keeps to its own.
    alone: rayon::ThreadPool,
    /// Reads that run or wait.
    places: Arc<Semaphore>,
    /// Reads that run: as many as there are threads.
    running: Semaphore,
    left: Arc<Left>,
}

/// What reads have left for later, which one thread of the pool does piece by piece, by turns with
/// what reads give it.
#[derive(Default, Debug)]
struct Left {
    later: query::Later,
    /// A thread is at it.
    working: AtomicBool,
}

impl Left {
    fn begin(self: &Arc<Self>) -> bool {
        !self.later.is_empty() && !self.working.swap(true, Ordering::AcqRel)
    }

    fn work(self: Arc<Self>) {
        // On a pool nothing else keeps a panic from ending the process.
        let more = catch_unwind(AssertUnwindSafe(|| self.later.step()));
        if more.unwrap_or_else(|_| !self.later.is_empty()) {
            return rayon::spawn_fifo(move || self.work());
        }
        self.working.store(false, Ordering::Release);
        // What was left in between.
        if self.begin() {
            rayon::spawn_fifo(move || self.work());
        }
    }
}

impl SearchPool {
    pub(crate) fn new(threads: usize, queue: usize) -> io::Result<Self> {
        let threads = if threads == 0 { cpus() } else { threads };
        let pool = |threads, name: &'static str| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |n| format!("cairn-{name}-{n}"))
                .build()
                .map_err(io::Error::other)
        };
        Ok(Self {
            threads: pool(threads, "search")?,
            alone: pool(1, "alone")?,
            places: Arc::new(Semaphore::new(threads + queue)),
            running: Semaphore::new(threads),
            left: Arc::default(),
        })
    }

    /// Where reads leave work for later.
    pub(crate) fn later(&self) -> &query::Later {
        &self.left.later
    }

    /// Has what was left for later done, if there is any: to be called once the answer is made.
    pub(crate) fn work_later(&self) {
        if self.left.begin() {
            let left = Arc::clone(&self.left);
            self.threads.spawn_fifo(move || left.work());
        }
    }

    /// The threads among which a read may split its work: while others run on all of them, that
    /// would only make each wait for the other.
    pub(crate) fn threads(&self) -> &rayon::ThreadPool {
        if self.running.available_permits() == 0 {
            &self.alone
        } else {
            &self.threads
        }
    }

    /// Runs `job` on this thread, after waiting at most `limit` for its turn. The job itself looks
    /// at its deadline.
    ///
    /// # Panics
    /// On a runtime of one thread, which could not hand its connections over.
    pub(crate) async fn run<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        job: impl FnOnce() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let turn = async {
            let place = place(&self.places).await?;
            let turn = self.running.acquire().await.map_err(|_| stopping())?;
            Ok::<_, ApiError>((place, turn))
        };
        let turn = tokio::time::timeout(limit, turn).await;
        let _turn = turn.map_err(|_| ApiError::timeout(operation, limit))??;
        tokio::task::block_in_place(|| guarded(job))
    }
}

/// Threads that may wait: for the disk, for a turn, for compaction.
#[derive(Debug)]
pub(crate) struct BlockingPool {
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    /// Threads without a job, the last one to become idle at the end. It is woken first: its memory
    /// is warm, and under a single client the others sleep.
    idle: Vec<Thread>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.state.lock().jobs.len())
    }
}

impl BlockingPool {
    /// Threads called `cairn-NAME-N`, and places for `queue` jobs that wait for one.
    pub(crate) fn new(name: &str, threads: usize, queue: usize) -> io::Result<Self> {
        let pool = Self {
            queue: Arc::default(),
            places: Arc::new(Semaphore::new(threads + queue)),
            threads: Mutex::default(),
        };
        for n in 0..threads {
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new()
                .name(format!("cairn-{name}-{n}"))
                .spawn(move || queue.work())?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Queues `job`; the receiver gets its result, or an error if the pool closes first.
    pub(crate) async fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, ApiError>>, ApiError> {
        let place = place(&self.places).await?;
        let (send, receive) = oneshot::channel();
        let job = Box::new(move || {
            let _place = place;
            if !send.is_closed() {
                let _ = send.send(guarded(job));
            }
        });
        let mut state = self.queue.state.lock();
        if state.closed {
            return Err(stopping());
        }
        state.jobs.push_back(job);
        let idle = state.idle.pop();
        drop(state);
        idle.as_ref().map(Thread::unpark);
        Ok(receive)
    }

    /// As [`BlockingPool::start`], and waits.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.start(job).await?.await.map_err(|_| stopping())?
    }

    /// Takes no more jobs, finishes those that were taken, and waits for the threads.
    pub(crate) fn close(&self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.iter().for_each(Thread::unpark);
        for thread in self.threads.lock().drain(..) {
            // Jobs are guarded, so there is no panic to pass on.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn work(&self) {
        let this = thread::current();
        let mut state = self.state.lock();
        loop {
            // It is still in the list if nobody has woken it.
            state.idle.retain(|idle| idle.id() != this.id());
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
            } else if state.closed {
                return;
            } else {
                state.idle.push(this.clone());
                drop(state);
                thread::park();
            }
            state = self.state.lock();
        }
    }
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(|_| stopping())
}

fn stopping() -> ApiError {
    ApiError::unavailable("the server is stopping")
}

/// Turns a panic into an error. What the job shared is behind locks that do not poison, and the
/// engine keeps its own invariants, so going on is safe.
fn guarded<T>(job: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown panic");
        tracing::error!(panic = text, "a request panicked");
        Err(ApiError::internal(format!("a bug in this server: {text}")))
    })
}

/// CPUs this process may use.
pub(crate) fn cpus() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_one_requests_failure() {
        let pool = BlockingPool::new("test", 1, 4).unwrap();
        let failed = pool.run(|| -> Result<(), _> { panic!("no") }).await;
        assert_eq!(failed.unwrap_err().status(), 500);
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);

        let pool = SearchPool::new(1, 4).unwrap();
        let limit = Duration::from_secs(5);
        let failed = pool.run("Query", limit, || -> Result<(), _> { panic!("no") });
        assert_eq!(failed.await.unwrap_err().status(), 500);
        assert_eq!(pool.run("Query", limit, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn close_finishes_what_was_taken_and_refuses_the_rest() {
        let pool = BlockingPool::new("test", 1, 4).unwrap();
        let slow = pool
            .start(|| {
                thread::sleep(Duration::from_millis(20));
                Ok(1)
            })
            .await
            .unwrap();
        let next = pool.start(|| Ok(2)).await.unwrap();
        pool.close();
        assert_eq!(slow.await.unwrap().unwrap(), 1);
        assert_eq!(next.await.unwrap().unwrap(), 2);
        assert_eq!(pool.run(|| Ok(3)).await.unwrap_err().status(), 503);
    }

    #[tokio::test]
    async fn a_job_without_a_client_is_not_run() {
        let pool = BlockingPool::new("test", 1, 4).unwrap();
        let (ran, seen) = std::sync::mpsc::channel();
        let first = pool
            .start(|| {
                thread::sleep(Duration::from_millis(20));
                Ok(())
            })
            .await
            .unwrap();
        drop(
            pool.start(move || ran.send(()).map_err(ApiError::internal))
                .await
                .unwrap(),
        );
        first.await.unwrap().unwrap();
        pool.close();
        assert!(seen.try_recv().is_err());
    }
}
