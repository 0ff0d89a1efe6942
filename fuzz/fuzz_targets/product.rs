//! `bodies/product.rs` under libFuzzer.
#![no_main]

mod body {
    include!("../bodies/product.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::body(data));
