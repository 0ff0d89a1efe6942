//! A real `Db` on a simulated disk against the oracle.
//!
//! ```text
//! adopted   part files that another shard takes over
//! states    random actions, writes between and inside background steps, crashes, restarts
//! crashes   every operation boundary of scripted workloads, every kind of power loss at each
//! scenarios histories that once lost something
//! faults    every operation fails once: errors, full disks, lost syncs
//! tenants   writes while a merge puts rows in another order
//! ```
//!
//! A failure prints the seed; `CAIRN_SEED=n cargo test -p tests --test storage` replays it.
//! `CAIRN_LONG=1` runs the long sizes.

mod adopted;
mod crashes;
mod faults;
mod scenarios;
mod states;
mod tenants;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A generator that draws the same values from the same seed.
fn runner(seed: u64, config: Config) -> TestRunner {
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (seed >> (8 * (at % 8))) as u8 ^ at as u8;
    }
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// One value of a strategy, drawn from a seed.
fn draw<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, seed: u64) -> T {
    let tree = strategy.new_tree(&mut runner(seed, Config::default()));
    tree.expect("the strategies of the suites reject nothing")
        .current()
}
