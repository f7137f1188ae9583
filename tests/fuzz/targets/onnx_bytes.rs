//! ONNX files as bytes, run where they are small.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| densight_fuzz::load(bytes));
