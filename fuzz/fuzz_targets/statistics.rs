//! `bodies/statistics.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/statistics.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
