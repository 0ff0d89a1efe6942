//! The read side over a real engine on a simulated disk: filters, nearest points, resolved writes.

#![cfg(test)]

mod codecs;
mod cold;
mod filters;
mod lists;
mod nearest;
mod oracle;
mod unindexed;
mod world;
mod writes;
