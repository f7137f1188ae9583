//! `Host` headers of requests.

#![no_main]

use densight::fuzzing::host;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|host_header: &str| {
    guarded(|| host(host_header));
});
