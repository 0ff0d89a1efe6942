//! The server over real sockets: every route, every bad input, every limit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation fails the test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test measures real time and damages real files"
)]

mod command;
mod harness;
mod inspecting;
mod limits;
mod lists;
mod operators;
mod plans;
mod reads;
mod refused;
mod refused_filters;
mod refused_vectors;
mod service;
mod writes;
