//! Compaction: a policy chooses a plan, a job carries it out.
//!
//! [`policy`] decides from figures alone; [`job`] does the work and installs the outcome;
//! [`run`] keeps the books: what runs, what is due, what is done.

mod graph;
mod job;
mod policy;
mod run;

pub(crate) use policy::Choice;
pub(crate) use run::{Jobs, is_indexing};
