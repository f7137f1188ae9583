//! Texts that say how to run: camera settings, `model.toml`, network definitions. The first byte says which.

#![no_main]

use densight::fuzzing::{settings, sidecar};
use densight::model::{Architecture, DenseNetConfig, count};
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    guarded(|| match which % 3 {
        0 => settings(text),
        1 => sidecar(text),
        _ => DenseNetConfig::from_json(text)
            .is_ok_and(|config| Architecture::of(&config).is_ok() && count(&config).is_ok()),
    });
});
