//! Motion JPEG: where one picture ends and the next begins.

#![no_main]

use densight::fuzzing::mjpeg;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| {
        let pictures = mjpeg(bytes);
        // Tables may be added to each picture; nothing else is.
        let found: usize = pictures.iter().map(Vec::len).sum();
        assert!(found <= bytes.len() + 1024 * pictures.len(), "{found} bytes of {}", bytes.len());
    });
});
