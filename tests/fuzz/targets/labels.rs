//! Label files.

#![no_main]

use densight::runtime::parse_labels;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|text: &str| {
    guarded(|| {
        let labels = parse_labels(text);
        assert!(labels.iter().all(|label| !label.contains('\n')));
    });
});
