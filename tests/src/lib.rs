//! Harness of the suites that need more than one crate.
//!
//! The suites are the test targets of this package; here is what they share:
//!
//! ```text
//! storage   model  workload  session  readback  watched     a Db on a simulated disk
//! system    process  http  python                           the real binary
//! both      second_reader                               what they wrote, read by another program
//! all       report                                          counts, floors, seeds
//! ```
//!
//! Each suite ends by calling [`report::counts`], and `.ci/run` fails when such a line is missing
//! or below its floor: a suite that silently did nothing is a failure.

pub mod http;
pub mod model;
pub mod process;
pub mod python;
pub mod readback;
pub mod report;
pub mod second_reader;
pub mod session;
pub mod watched;
pub mod workload;
