use super::*;
use crate::kernels::{Isa, Winograd};
use crate::model::fused::random::{self, NumberKind};
use crate::model::fused::{Border, ConvolutionWeights, Layer, Op, Output, Read, Shape, Window};
use crate::model::onnx::OnnxFile;
use crate::quant::Affine;

/// The fused network of a file, if it has one.
fn network(bytes: &[u8]) -> FusedNetwork {
    OnnxFile::parse(bytes).unwrap().fuse().unwrap().networks.remove(0)
}

/// Number of random networks; `DENSIGHT_CASES` sets another, such as fewer under an emulator.
fn cases() -> u64 {
    std::env::var("DENSIGHT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

/// The engine's outputs for a network on an instruction set.
fn run(network: &FusedNetwork, inputs: &[Vec<f32>], kernels: Kernels, threads: usize) -> Vec<Vec<f32>> {
    let engine = Engine::new(network, kernels).unwrap();
    engine.check(kernels).unwrap();
    let mut memory = engine.memory(threads);
    // In memory that was used before: results must not depend on earlier runs.
    let others: Vec<Vec<f32>> = inputs.iter().map(|values| values.iter().map(|v| 1.0 - 2.0 * v).collect()).collect();
    engine.run(&others.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut memory);
    engine.run(&inputs.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut memory)
}

/// Any zero points, windows and paddings of all kinds, parameters for each channel, several inputs and outputs.
#[test]
fn random_int8_networks_give_the_interpreters_bits() {
    for seed in 0..cases() {
        let network = random::network(seed, NumberKind::Int8);
        network.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let inputs = random::inputs(&network, seed);
        let expected = network.run(&inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
            for winograd in [Winograd::Never, Winograd::WhereFaster, Winograd::Always] {
                let found = run(&network, &inputs, kernels.with_winograd(winograd), 1 + seed as usize % 5);
                let isa = kernels.isa();
                assert!(
                    found == expected,
                    "seed {seed} on {isa}, {winograd:?}: {found:?} for {expected:?}\n{network:#?}"
                );
            }
        }
    }
}

/// Sums have another order, and nothing else differs, with Winograd's algorithm too.
#[test]
fn random_float_networks_give_the_interpreters_values() {
    for (seed, winograd) in (0..cases()).flat_map(|seed| [(seed, Winograd::Never), (seed, Winograd::Always)]) {
        let network = random::network(seed, NumberKind::Float);
        network.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let inputs = random::inputs(&network, seed);
        let expected = network.run(&inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let first = run(&network, &inputs, Kernels::scalar().with_winograd(winograd), 1);
        for (found, expected) in first.iter().zip(&expected) {
            let largest = expected.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
            let worst = found.iter().zip(expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst <= 2e-4 * largest, "seed {seed}: off by {worst} of {largest}, {winograd:?}\n{network:#?}");
        }
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
            assert!(
                run(&network, &inputs, kernels.with_winograd(winograd), 1 + seed as usize % 5) == first,
                "seed {seed} on {}, {winograd:?}",
                kernels.isa()
            );
        }
    }
}

/// A network of one 3x3 convolution of `channels` channels, behind a norm.
fn convolution(channels: [usize; 2], side: [usize; 2], padding: [usize; 4]) -> FusedNetwork {
    let [inputs, outputs] = channels;
    let shape = Shape { channels: inputs, height: side[0], width: side[1] };
    let window = Window { kernel: [3, 3], padding, ..Window::ONE };
    let [height, width] = window.output(side[0], side[1]).unwrap();
    let output = Shape { channels: outputs, height, width };
    let number = |i: usize| ((i * 7919) % 1009) as f32 / 504.0 - 1.0;
    let norm = Affine { low: 0.0, ..Affine::linear((0..inputs).map(number).collect(), vec![0.25; inputs]) };
    let weights = ConvolutionWeights::Float {
        values: (0..9 * inputs * outputs).map(number).collect(),
        bias: (0..outputs).map(number).collect(),
    };
    let relu = Affine { low: 0.0, ..Affine::linear(vec![1.0; outputs], vec![0.0; outputs]) };
    let layer = Layer {
        name: "conv".into(),
        op: Op::Convolution { window, groups: 1, weights },
        reads: vec![Read::all(0, vec![norm])],
        epilogue: vec![relu],
        output,
    };
    let dims = vec![1, outputs, height, width];
    FusedNetwork {
        inputs: vec![Input { name: "x".into(), shape }],
        layers: vec![layer],
        outputs: vec![Output { name: "y".into(), dims, reads: vec![Read::all(1, vec![])] }],
    }
}

/// In chunks of several rows of tiles, by several threads: the same bits, and the interpreter's values to 1e-5 of the largest.
#[test]
fn winograd_gives_the_interpreters_values() {
    let cases = [
        ([3, 5], [7, 7], [1; 4]),
        ([64, 8], [56, 56], [1; 4]),
        ([130, 6], [29, 31], [1, 0, 0, 1]),
        ([16, 33], [14, 14], [0; 4]),
        ([4, 4], [1, 2], [1; 4]),
    ];
    for (channels, side, padding) in cases {
        let network = convolution(channels, side, padding);
        network.check().unwrap();
        let input = inputs(&network, 3);
        let expected = network.run(&[&input]).remove(0);
        let run = |kernels: Kernels, winograd: Winograd, threads: usize| {
            let engine = Engine::new(&network, kernels.with_winograd(winograd)).unwrap();
            engine.check(kernels).unwrap();
            engine.run(&[&input], &mut engine.memory(threads)).remove(0)
        };
        let found = run(Kernels::scalar(), Winograd::Always, 1);
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let worst = found.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(worst <= 1e-5 * largest, "{channels:?} at {side:?}: off by {worst} of {largest}");
        // It is another algorithm.
        assert!(found != run(Kernels::scalar(), Winograd::Never, 1), "{channels:?} at {side:?}");
        for (kernels, threads) in
            Isa::ALL.into_iter().filter_map(Kernels::new).flat_map(|k| (1..=5).map(move |threads| (k, threads)))
        {
            assert!(run(kernels, Winograd::Always, threads) == found, "{channels:?} at {side:?} on {kernels:?}");
        }
    }
}

/// Other windows than 3x3 of neighbours are computed without.
#[test]
fn winograd_is_for_3x3_of_neighbours() {
    let network = convolution([8, 8], [12, 12], [1; 4]);
    let refused: [fn(&mut Window); 4] = [
        |window| window.stride = [2, 1],
        |window| window.dilation = [1, 2],
        |window| window.padding = [2, 1, 1, 1],
        |window| window.border = Border::Reflect,
    ];
    for refused in refused {
        let mut network = network.clone();
        let Op::Convolution { window, .. } = &mut network.layers[0].op else { panic!("a convolution") };
        refused(window);
        let [height, width] = window.output(12, 12).unwrap();
        (network.layers[0].output.height, network.layers[0].output.width) = (height, width);
        network.outputs[0].dims = vec![1, 8, height, width];
        network.check().unwrap();
        let engine = |winograd| Engine::new(&network, Kernels::best().with_winograd(winograd)).unwrap();
        assert!(engine(Winograd::Always) == engine(Winograd::Never), "{:?}", network.layers[0].op);
        let mut int8 = int8_convolution([8, 8], [12, 12], [1; 4], |_| 1);
        let Op::Convolution { window, .. } = &mut int8.layers[0].op else { panic!("a convolution") };
        refused(window);
        (int8.layers[0].output, int8.outputs[0].dims) = (network.layers[0].output, vec![1, 8, height, width]);
        int8.check().unwrap();
        let engine = |winograd| Engine::new(&int8, Kernels::best().with_winograd(winograd)).unwrap();
        assert!(engine(Winograd::Always) == engine(Winograd::Never), "{:?}", int8.layers[0].op);
    }
    let engine = |winograd| Engine::new(&network, Kernels::best().with_winograd(winograd)).unwrap();
    assert!(engine(Winograd::Always) != engine(Winograd::Never));
}

/// The int8 form of [`convolution`]; it reads quantized values of its input, and gives f32.
fn int8_convolution(
    channels: [usize; 2],
    side: [usize; 2],
    padding: [usize; 4],
    weight: impl Fn(usize) -> i8,
) -> FusedNetwork {
    let mut network = convolution(channels, side, padding);
    let [inputs, outputs] = channels;
    let layer = &mut network.layers[0];
    let Op::Convolution { weights, .. } = &mut layer.op else { panic!("a convolution") };
    let values = (0..9 * inputs * outputs).map(weight).collect();
    *weights = ConvolutionWeights::Int8 { values, zero_points: vec![0; outputs], input_zero_point: 7 };
    let quantize =
        Affine { low: 0.0, high: 255.0, round: true, ..Affine::linear(vec![60.0; inputs], vec![120.0; inputs]) };
    layer.reads = vec![Read::all(0, vec![quantize])];
    layer.epilogue = vec![Affine::linear(vec![0.5; outputs], vec![1.0; outputs])];
    network
}

/// In chunks of several rows of tiles, by several threads, with extreme weights: the interpreter's bits.
#[test]
fn winograd_gives_the_interpreters_bits_in_int8() {
    let cases = [
        ([3, 5], [7, 7], [1; 4]),
        ([64, 8], [56, 56], [1; 4]),
        ([110, 6], [29, 31], [1, 0, 0, 1]),
        ([16, 33], [14, 14], [0; 4]),
        ([4, 4], [1, 2], [1; 4]),
    ];
    let number = |i: usize| ((i * 7919) % 255) as i32 - 127;
    let weights: [fn(i32) -> i8; 3] = [|n| n as i8, |_| -127, |n| if n > 0 { 127 } else { -127 }];
    for ((channels, side, padding), weight) in cases.into_iter().zip(weights.into_iter().cycle()) {
        let network = int8_convolution(channels, side, padding, |i| weight(number(i)));
        network.check().unwrap();
        let input = inputs(&network, 3);
        let expected = network.run(&[&input]).remove(0);
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
            let engine = |winograd| Engine::new(&network, kernels.with_winograd(winograd)).unwrap();
            let always = engine(Winograd::Always);
            assert!(always != engine(Winograd::Never), "{channels:?} at {side:?} on {kernels:?}: no other algorithm");
            always.check(kernels).unwrap();
            for threads in 1..=5 {
                let found = always.run(&[&input], &mut always.memory(threads)).remove(0);
                assert!(found == expected, "{channels:?} at {side:?} on {kernels:?}");
            }
        }
    }
}

/// A dense layer in int8: a 1x1 behind a norm, and the 3x3 that reads its results where they lie, or by Winograd's algorithm; then a pool.
fn dense_layer(channels: [usize; 3], side: [usize; 2], seed: usize) -> FusedNetwork {
    let [inputs, between, outputs] = channels;
    let mut network =
        int8_convolution([inputs, between], side, [1; 4], |i| (((i * 7919 + seed) % 255) as i32 - 127) as i8);
    let quantized = |channels: usize, mul: f32| {
        let affine = Affine::linear(vec![mul / channels as f32; channels], vec![100.0; channels]);
        Affine { low: 0.0, high: 255.0, round: true, ..affine }
    };
    let first = &mut network.layers[0];
    let Op::Convolution { window, weights, .. } = &mut first.op else { panic!("a convolution") };
    *window = Window::ONE;
    let ConvolutionWeights::Int8 { values, .. } = weights else { panic!("int8 weights") };
    values.truncate(inputs * between);
    first.output = Shape { channels: between, ..network.inputs[0].shape };
    first.epilogue = vec![quantized(between, 0.05)];
    let mut second = int8_convolution([between, outputs], side, [1; 4], |i| ((i * 104_729 + seed) % 31) as i8 - 15);
    let mut second = second.layers.remove(0);
    second.reads = vec![Read::all(1, vec![])];
    second.epilogue = vec![quantized(outputs, 0.01)];
    let pooled = Shape { channels: outputs, height: side[0].div_ceil(2), width: side[1].div_ceil(2) };
    let halves = Window { kernel: [2, 2], stride: [2, 2], padding: [0, 0, side[0] % 2, side[1] % 2], ..Window::ONE };
    let pool = Layer {
        name: "pool".into(),
        op: Op::SumPool(halves),
        reads: vec![Read::all(2, vec![])],
        epilogue: vec![Affine::linear(vec![0.25; outputs], vec![0.0; outputs])],
        output: pooled,
    };
    network.layers.extend([second, pool]);
    network.outputs[0].reads = vec![Read::all(3, vec![])];
    network.outputs[0].dims = vec![1, outputs, pooled.height, pooled.width];
    network
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(cases().min(100) as u32))]

    /// However many threads divide them, by pixels and by planes.
    #[test]
    fn results_are_the_same_bits_for_any_number_of_threads(
        channels in [1_usize..70, 1_usize..150, 1_usize..70],
        side in [1_usize..20, 1_usize..20],
        seed in 0_usize..1000,
    ) {
        let float = convolution([channels[0], channels[2]], side, [1; 4]);
        for network in [dense_layer(channels, side, seed), float] {
            network.check().unwrap();
            let input = inputs(&network, seed);
            for kernels in Isa::ALL.into_iter().filter_map(Kernels::new).filter(|kernels| kernels.isa() != Isa::Scalar) {
                for winograd in [Winograd::Never, Winograd::Always] {
                    let engine = Engine::new(&network, kernels.with_winograd(winograd)).unwrap();
                    let run = |threads| engine.run(&[&input], &mut engine.memory(threads));
                    let alone = run(1);
                    for threads in 2..=5 {
                        let found = run(threads);
                        proptest::prop_assert!(found == alone, "{threads} threads on {:?}, {winograd:?}", kernels.isa());
                    }
                }
            }
        }
    }
}

/// Where an output's sums might reach 2^25, the algorithm would be wrong.
#[test]
fn int8_weights_beyond_the_bound_are_convolved_directly() {
    let engine = |channels: usize, weight: i8, winograd| {
        let network = int8_convolution([channels, 4], [12, 12], [1; 4], |_| weight);
        network.check().unwrap();
        Engine::new(&network, Kernels::best().with_winograd(winograd)).unwrap()
    };
    // 9 * 116 * 126 * 255 is the greatest below 2^25.
    assert!(engine(116, 126, Winograd::Always) != engine(116, 126, Winograd::Never));
    assert!(engine(116, 127, Winograd::Always) == engine(116, 127, Winograd::Never));
    assert!(engine(117, -126, Winograd::Always) == engine(117, -126, Winograd::Never));
}

/// On processors with dot products the direct convolution is as fast at least.
#[test]
fn int8_winograd_is_chosen_where_it_is_faster() {
    let uses = |isa: Isa, channels: [usize; 2], side: usize| {
        let kernels = Kernels::new(isa)?;
        let network = int8_convolution(channels, [side; 2], [1; 4], |i| (i % 7) as i8 - 3);
        let engine = |winograd| Engine::new(&network, kernels.with_winograd(winograd)).unwrap();
        Some(engine(Winograd::WhereFaster) != engine(Winograd::Never))
    };
    for isa in [Isa::Avx512Vnni, Isa::Avx2, Isa::Neon] {
        assert_ne!(uses(isa, [128, 32], 56), Some(false), "{isa}");
        assert_ne!(uses(isa, [4, 4], 7), Some(true), "{isa}");
    }
    for isa in [Isa::Scalar, Isa::Dotprod, Isa::I8mm] {
        assert_ne!(uses(isa, [128, 32], 56), Some(true), "{isa}");
    }
}

/// Networks whose f32 sums are exact in any order.
#[test]
fn random_mixed_networks_give_the_interpreters_bits_where_sums_are_exact() {
    let mut exact = 0;
    for seed in 0..cases() {
        let network = random::network(seed, NumberKind::Exact);
        let inputs = random::inputs(&network, seed);
        let Some(expected) = crate::optimize::tests::exactly(&network, &inputs) else { continue };
        exact += 1;
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
            let found = run(&network, &inputs, kernels.with_winograd(Winograd::Never), 1);
            assert!(found == expected, "seed {seed} on {}: {found:?} for {expected:?}\n{network:#?}", kernels.isa());
        }
    }
    assert!(exact > cases() / 3, "{exact} networks were exact");
}

fn inputs(network: &FusedNetwork, seed: usize) -> Vec<f32> {
    let values = network.inputs[0].shape.len();
    (0..values).map(|i| ((i * (7 + 2 * seed) + seed) % 211) as f32 / 50.0 - 2.0).collect()
}

/// The engine gives the interpreter's bits on every instruction set, also when its memory was used before.
fn check(name: &str, network: &FusedNetwork) {
    let expected: Vec<Vec<Vec<f32>>> = (0..3).map(|seed| network.run(&[&inputs(network, seed)])).collect();
    for isa in Isa::ALL {
        let Some(kernels) = Kernels::new(isa) else {
            eprintln!("SKIPPED: this processor lacks {}", isa.name());
            continue;
        };
        let engine = Engine::new(network, kernels).unwrap();
        engine.check(kernels).unwrap();
        for threads in [1, 3, 4] {
            let mut memory = engine.memory(threads);
            for (seed, expected) in expected.iter().enumerate() {
                let found = engine.run(&[&inputs(network, seed)], &mut memory);
                same(&format!("{name} on {isa} with {threads} threads"), &found, expected);
            }
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

/// Float networks give the same bits on every instruction set, and the interpreter's values up to the order of sums.
#[test]
fn a_float_network_gives_the_interpreters_numbers() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12.onnx");
    let network = network(&std::fs::read(model).unwrap());
    let input = inputs(&network, 1);
    let expected = network.run(&[&input]);
    let run = |isa| {
        let engine = Engine::new(&network, Kernels::new(isa)?).unwrap();
        Some(engine.run(&[&input], &mut engine.memory(2)))
    };
    let found: Vec<_> = Isa::ALL.into_iter().filter_map(run).collect();
    assert!(found.iter().all(|scores| *scores == found[0]), "{found:?}");
    for (found, expected) in found[0][0].iter().zip(&expected[0]) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
}

/// Each further thread needs scratch of its own, and the total is small.
#[test]
fn memory_is_what_was_planned() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let network = network(&std::fs::read(folder.join("cifar10_densenet_bc_L40_k12.onnx")).unwrap());
    let engine = Engine::new(&network, Kernels::best()).unwrap();
    let (one, two) = (engine.memory(1).size(), engine.memory(2).size());
    assert!(one < two && two < 2_000_000, "{one} and {two} bytes");
}

fn same(name: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert!(found == expected, "{name}: {found:?} for {expected:?}");
}
