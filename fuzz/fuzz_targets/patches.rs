//! `bodies/patches.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/patches.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
