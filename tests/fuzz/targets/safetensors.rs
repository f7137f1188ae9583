//! Weights in `.safetensors` files, for a small network.

#![no_main]

use std::sync::OnceLock;

use densight::model::{Architecture, DenseNetConfig, Weights};
use densight_fuzz::guarded;

fn network() -> &'static Architecture {
    static NETWORK: OnceLock<Architecture> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let json = include_str!("../../fixtures/peers/one-block/config.json");
        Architecture::of(&DenseNetConfig::from_json(json).expect("a configuration")).expect("a network")
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| Weights::from_safetensors(bytes, network()).is_ok());
});
