use super::*;
use crate::kernels::Isa;
use crate::model::onnx::{OnnxFile, Wanted};

/// The fused network of a file, if it has one.
fn network(bytes: &[u8]) -> FusedNetwork {
    OnnxFile::parse(bytes).unwrap().fuse(Wanted::Any).networks.remove(0)
}

fn inputs(network: &FusedNetwork, seed: usize) -> Vec<f32> {
    let values = network.inputs[0].shape.len();
    (0..values).map(|i| ((i * (7 + 2 * seed) + seed) % 211) as f32 / 50.0 - 2.0).collect()
}

/// The engine gives the interpreter's bits on every instruction set, also when its memory was used before.
fn check(name: &str, network: &FusedNetwork) {
    let expected: Vec<Vec<Vec<f32>>> = (0..3).map(|seed| network.run(&[&inputs(network, seed)])).collect();
    for isa in Isa::ALL {
        let Some(kernels) = Kernels::of(isa) else {
            eprintln!("SKIPPED: this processor lacks {}", isa.name());
            continue;
        };
        let engine = Engine::new(network.clone(), kernels);
        let mut memory = engine.memory();
        for (seed, expected) in expected.iter().enumerate() {
            let found = engine.run(&[&inputs(network, seed)], &mut memory);
            assert!(found == *expected, "{name} on {}: {found:?} for {expected:?}", isa.name());
        }
    }
}

#[test]
fn quantized_networks_of_others_give_the_interpreters_bits() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized");
    let mut seen = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check(&path.display().to_string(), &network(&std::fs::read(path.join("model.onnx")).unwrap()));
            seen += 1;
        }
    }
    assert!(seen > 8, "the fixtures were found");
}

#[test]
fn a_float_network_gives_the_interpreters_bits() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12.onnx");
    check("embedded", &network(&std::fs::read(model).unwrap()));
}
