//! The read side over a real engine on a simulated disk: filters, nearest points, resolved writes.

#![cfg(test)]

mod codecs;
mod cold;
mod filters;
mod index_sizes;
mod lists;
mod lists_large;
mod nearest;
mod oracle;
mod unindexed;
mod world;
mod writes;
