//! The HTTP face of Cairn: Qdrant's REST API over the engine.
//!
//! Not here: how points are stored (`engine`) or found (`query`). The life of a request, by file:
//!
//! ```text
//! serve     a connection, within limits                       async threads
//! handler   route ── body ── which threads ── reply           async threads
//!   wire    JSON -> domain types, refusals                    search or write threads
//!   engine or query
//!   wire    domain types -> JSON                              the same threads
//! reply     the envelope
//! ```
//!
//! The routes are one table in `route`; what goes wrong is one table in `error`; what an
//! operator can set is one table in [`settings`].
//!
//! # Threads
//! `cairn-net` move bytes and never wait for anything else; one that runs a read hands its
//! connections to another one first. `cairn-search-N` is the rayon pool that reads search several
//! sources with, `cairn-write-N` parse, append and apply writes, `cairn-admin-N` change
//! collections (see `pool`). The engine's own
//! threads are its own.

mod body;
mod client;
mod demo;
mod error;
mod explain;
mod handler;
mod inspect;
mod issues;
mod pool;
mod reply;
mod route;
mod run;
mod serve;
mod setting;
pub mod settings;
mod state;
mod telemetry;
mod wire;

pub use client::health;
pub use demo::{DemoOptions, demo};
pub use explain::{ExplainOptions, QuerySource, explain};
pub use inspect::inspect;
pub use run::{Failure, Running, run, start};
pub use settings::Settings;
