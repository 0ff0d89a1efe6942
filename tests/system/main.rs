//! The real binary over HTTP: the official client, kills, stops, a full disk, a second process.
//!
//! `CAIRN_LONG=1` runs the long sizes. `CAIRN_BIN` names another binary to test.

mod client;
mod disk_full;
mod files;
mod kills;
mod life;
