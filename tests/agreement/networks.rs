//! Built from configuration and weights, exported, read back by tract and run: the logits are PyTorch's.

use std::fs;
use std::path::Path;

use densight::model::{Architecture, DenseNetConfig, Metadata, Weights, onnx};
use densight::runtime::{Session, SessionOptions};

use super::{error, fixture, npy};

/// Largest relative error; PyTorch and ONNX Runtime differ from each other by up to 1e-6.
const LIMIT: f32 = 1e-5;

/// Runs the fixture's input through the network of its configuration with these weights.
fn logits(folder: &Path, weights: &str) -> Vec<f32> {
    let config = DenseNetConfig::from_json(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let weights = Weights::load(&folder.join(weights), &Architecture::of(&config).unwrap()).unwrap();
    let bytes = onnx::export(&config, &weights, &Metadata::default()).unwrap();
    let mut session = Session::from_onnx(&bytes, &SessionOptions::default()).unwrap();
    assert_eq!(session.output_shape(), [1, config.num_classes]);
    session.run(&npy::<f32>(&folder.join("x.npy")).0).unwrap()
}

fn agrees(name: &str, weights: &str) {
    let folder = fixture(name);
    let error = error(&logits(&folder, weights), &npy(&folder.join("y.npy")).0);
    assert!(error <= LIMIT, "{name} with {weights}: {error}");
}

#[test]
fn with_bottleneck_and_compression() {
    agrees("bc", "weights.safetensors");
}

#[test]
fn with_odd_growth_rate_and_two_blocks() {
    agrees("odd", "weights.safetensors");
}

#[test]
fn plain() {
    agrees("plain", "weights.safetensors");
}

#[test]
fn with_one_block_and_with_four() {
    agrees("one-block", "weights.safetensors");
    agrees("four-blocks", "weights.safetensors");
}

#[test]
fn with_the_large_stem_under_every_name_of_its_tensors() {
    for weights in ["weights.safetensors", "weights-torchvision.safetensors", "weights-torchvision-old.safetensors"] {
        agrees("large-stem", weights);
    }
}

#[test]
fn of_torchvision_itself() {
    agrees("torchvision", "weights.safetensors");
}
