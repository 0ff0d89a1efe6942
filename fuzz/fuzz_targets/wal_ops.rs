//! `bodies/wal_ops.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/wal_ops.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
