//! `bodies/vectors.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/vectors.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
