//! `bodies/container.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/container.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
