//! Group commit: many writers, one sync.
//!
//! Writers queue under one lock and get a [`Ticket`]. The first of them that waits becomes the
//! leader: it takes the whole queue, lets go of the lock, writes and syncs, and wakes the others.
//! Whoever queued meanwhile is served by the next leader, with everything that queued by then.
//!
//! ```text
//! A  append ─ wait: lead ── take {A} ── write, sync ── wake
//! B     append ─ wait ······················ lead ── take {B, C} ── write, sync ── wake
//! C          append ─ wait ······························································· done
//! ```
//!
//! This file does no I/O and knows no format, and takes its lock and condition variable from
//! `crate::sync` alone, so that `tests/loom_group_commit.rs` can compile it against a model
//! checker and try every interleaving.
//!
//! # Invariants
//! - `wait` returns `Ok` only if a commit that took the queue after the append has succeeded.
//! - At most one commit runs at a time, in the order of the tickets.
//! - After the first failure nothing succeeds any more that had not succeeded before it. A failed
//!   sync is never tried again: the kernel marks the pages clean all the same, and the second try
//!   would report success for bytes that are gone.

use crate::sync::{Condvar, Mutex};

/// A place in the queue.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

/// Why nothing was queued.
#[derive(Debug)]
pub enum Refused<R, E> {
    /// An earlier commit failed, for this reason.
    Poisoned(R),
    /// The caller's own reason.
    Own(E),
}

/// A queue `Q` that is committed in groups; `R` is the reason of a failure.
#[derive(Debug)]
pub struct GroupCommit<Q, R> {
    state: Mutex<State<Q, R>>,
    turned: Condvar,
}

#[derive(Debug)]
struct State<Q, R> {
    queue: Q,
    /// The last ticket given.
    last: u64,
    /// All tickets up to this one are durable.
    durable: u64,
    leading: bool,
    poison: Option<R>,
}

impl<Q, R: Clone> GroupCommit<Q, R> {
    /// Nothing queued.
    pub fn new(queue: Q) -> Self {
        let state = State {
            queue,
            last: 0,
            durable: 0,
            leading: false,
            poison: None,
        };
        Self {
            state: Mutex::new(state),
            turned: Condvar::new(),
        }
    }

    /// Queues what `add` puts into the queue; it must leave the queue alone when it fails.
    ///
    /// # Errors
    /// [`Refused`]: poisoned, or what `add` says.
    pub fn append<E>(
        &self,
        add: impl FnOnce(&mut Q) -> Result<(), E>,
    ) -> Result<Ticket, Refused<R, E>> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.poison {
            return Err(Refused::Poisoned(reason.clone()));
        }
        add(&mut state.queue).map_err(Refused::Own)?;
        state.last += 1;
        Ok(Ticket(state.last))
    }

    /// Returns when what `ticket` stands for is durable, committing it if nobody else does.
    ///
    /// A leader calls `take` under the lock to empty the queue, `commit` without it, and after a
    /// success `done` under it again. `commit` must not panic: it would leave all others waiting.
    ///
    /// # Errors
    /// The reason why a commit failed, this one's or an earlier one's.
    pub fn wait<B>(
        &self,
        ticket: Ticket,
        take: impl FnOnce(&mut Q) -> B,
        commit: impl FnOnce(B) -> Result<(), R>,
        done: impl FnOnce(&mut Q),
    ) -> Result<(), R> {
        let mut state = self.state.lock();
        loop {
            if state.durable >= ticket.0 {
                return Ok(());
            }
            if let Some(reason) = &state.poison {
                return Err(reason.clone());
            }
            if !state.leading {
                break;
            }
            self.turned.wait(&mut state);
        }
        state.leading = true;
        let upto = state.last;
        let batch = take(&mut state.queue);
        drop(state);

        let outcome = commit(batch);

        let mut state = self.state.lock();
        state.leading = false;
        let outcome = match (outcome, &state.poison) {
            (Err(reason), _) => {
                state.poison.get_or_insert_with(|| reason.clone());
                Err(reason)
            }
            // Somebody poisoned it meanwhile: what this commit reports is no longer trusted.
            (Ok(()), Some(reason)) => Err(reason.clone()),
            (Ok(()), None) => {
                assert!(
                    state.durable < upto,
                    "commits are in the order of the tickets"
                );
                state.durable = upto;
                done(&mut state.queue);
                Ok(())
            }
        };
        drop(state);
        self.turned.notify_all();
        outcome
    }

    /// Fails everything that is not durable yet and all that comes later. The first reason stays.
    pub fn poison(&self, reason: R) {
        self.state.lock().poison.get_or_insert(reason);
        self.turned.notify_all();
    }

    /// Why it is poisoned, if it is.
    pub fn poisoned(&self) -> Option<R> {
        self.state.lock().poison.clone()
    }

    /// The ticket of everything queued so far.
    pub fn last(&self) -> Ticket {
        Ticket(self.state.lock().last)
    }

    /// Looks at, or changes, the queue without queueing anything.
    pub fn with_queue<T>(&self, look: impl FnOnce(&mut Q) -> T) -> T {
        look(&mut self.state.lock().queue)
    }
}
