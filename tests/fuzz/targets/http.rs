//! Heads of HTTP requests.

#![no_main]

use densight::fuzzing::request;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| request(bytes));
});
