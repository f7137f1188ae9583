//! Every kernel that this processor has against its definition, bit by bit.

use proptest::prelude::*;

use super::*;
use crate::kernels::{Isa, PIXEL_BLOCK, QuantType};
use crate::quant::{Affine, Function};

fn all() -> impl Iterator<Item = Kernels> {
    Isa::available().into_iter().filter_map(Kernels::new)
}

/// Values of many sizes, some of them 0 or tiny.
fn value(i: usize, seed: usize) -> f32 {
    let number = (i * 7919 + seed * 104_729) % 10_007;
    let size = [1.0, 1e-3, 300.0, 1e-40, 0.0][number % 5];
    (number as f32 / 5000.0 - 1.0) * size
}

fn step(channels: usize, low: f32, high: f32, round: bool, seed: usize) -> Affine {
    Affine {
        mul: (0..channels).map(|c| value(c, seed) + 0.5).collect(),
        add: (0..channels).map(|c| value(c, seed + 1) * 10.0).collect(),
        function: Function::Identity,
        low,
        high,
        round,
    }
}

fn convolution(outputs: usize, steps: usize, blocks: usize, seed: usize) {
    let (outputs, pixels) = (outputs.next_multiple_of(CHANNEL_BLOCK), blocks * F32_PIXELS);
    let input: Vec<f32> = (0..4 * (pixels + 37)).map(|i| value(i, seed)).collect();
    let offsets: Vec<u32> = (0..steps).map(|s| (4 * ((s * 31 + seed) % 38)) as u32).collect();
    let weights: Vec<f32> = (0..outputs * steps * 4).map(|i| value(i, seed + 5)).collect();
    let bias_clamp = BiasClamp::new(&step(outputs, -50.0, f32::INFINITY, false, seed)).unwrap();
    let mut expected: Option<Vec<f32>> = None;
    for kernels in all() {
        let weights = kernels.pack_f32(&weights, &offsets);
        let mut out = vec![7.0; outputs * (pixels + 3)];
        let operand = ConvolveF32 { input: &input, weights: &weights, pixels };
        let planes = &mut PlanesMut::new(&mut out, outputs / 4, 4 * (pixels + 3), 4 * pixels);
        kernels.convolve_f32(&operand, &bias_clamp, planes);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let expected = expected.get_or_insert_with(|| out.clone());
        assert!(bits(expected) == bits(&out), "{kernels:?}: {outputs} outputs, {steps} steps, {blocks} blocks");
    }
    // The definition itself, to what f32 can tell.
    let expected = expected.unwrap();
    let (o, p) = (outputs - 1, pixels - 1);
    let x = |s: usize, i: usize| f64::from(input[offsets[s] as usize + 4 * p + i]);
    let w = |s: usize, i: usize| f64::from(weights[(o * steps + s) * 4 + i]);
    let products = || (0..steps).flat_map(|s| (0..4).map(move |i| (s, i))).map(|(s, i)| x(s, i) * w(s, i));
    let finished = step(outputs, -50.0, f32::INFINITY, false, seed);
    let (mul, add) = (f64::from(finished.mul[o]), f64::from(finished.add[o]));
    let exact = (products().sum::<f64>() * mul + add).max(-50.0);
    let size = products().map(f64::abs).sum::<f64>() * mul.abs() + add.abs();
    let found = f64::from(expected[o / 4 * 4 * (pixels + 3) + 4 * p + o % 4]);
    assert!((found - exact).abs() <= 1e-6 * size + 1e-30, "{found} for {exact}");
}

#[test]
fn convolutions_of_all_sizes() {
    for n in 1..=70 {
        convolution(n, 71 - n, 1 + n % 17, n);
    }
}

#[test]
fn without_steps_there_is_the_summand() {
    let weights = Kernels::best().pack_f32(&[], &[]);
    assert_eq!((weights.outputs(), weights.steps()), (0, 0));
}

fn reading(channels: usize, blocks: usize, steps: &[Affine], seed: usize) {
    let (planes, pixels) = (channels / CHANNEL_BLOCK, blocks * PIXEL_BLOCK);
    let plane_stride = 4 * pixels + 12;
    let chain = AffineChainF32::new(channels, steps);
    let mut floats: Vec<f32> = (0..planes * plane_stride).map(|i| value(i, seed)).collect();
    (floats[0], floats[1], floats[2]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    let bytes: Vec<u8> = (0..planes * plane_stride).map(|i| (i * 37 + seed) as u8).collect();
    let whole = [QuantType::Signed, QuantType::Unsigned, QuantType::Activation, QuantType::ActivationSigned];
    let sources = whole.map(|qvalues| Operand::Quantized(&bytes, qvalues)).into_iter().chain([Operand::F32(&floats)]);
    for source in sources {
        for kernels in all() {
            let first = seed % planes;
            let input = match source {
                Operand::Quantized(bytes, qvalues) => Operand::Quantized(&bytes[first * plane_stride..], qvalues),
                Operand::F32(floats) => Operand::F32(&floats[first * plane_stride..]),
            };
            let operand = ChainInputF32 { input, plane_stride, planes: first..planes, pixels };
            let len = 4 * pixels;
            let mut real = vec![7.0; (planes - first) * len];
            kernels.affine_to_f32(&chain, &operand, &mut PlanesMut::new(&mut real, planes - first, len, len));
            let mut qvalues = vec![7; (planes - first) * len];
            let to = if seed.is_multiple_of(2) { QuantType::Activation } else { QuantType::Signed };
            kernels.affine_to_quantized(
                &chain,
                &operand,
                to,
                &mut PlanesMut::new(&mut qvalues, planes - first, len, len),
            );
            for (i, (real, qvalue)) in real.iter().zip(qvalues).enumerate() {
                let (plane, at) = (first + i / len, i % len);
                let value = match source {
                    Operand::F32(values) => values[plane * plane_stride + at],
                    Operand::Quantized(_, qvalues) => {
                        let byte = bytes[plane * plane_stride + at] ^ qvalues.flip(kernels.shifted());
                        if qvalues.is_signed() { f32::from(byte as i8) } else { f32::from(byte) }
                    }
                };
                let expected = steps.iter().fold(value, |value, step| step.apply(4 * plane + at % 4, value));
                let same = expected.to_bits() == real.to_bits() || expected.is_nan() && real.is_nan();
                assert!(same, "{kernels:?}: {real} for {expected}");
                assert_eq!(qvalue ^ to.flip(kernels.shifted()), expected as i32 as u8, "{kernels:?}: {expected}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_are_exact(outputs in 1usize..=70, steps in 1usize..=70, blocks in 1usize..=17, seed in 0usize..1000) {
        convolution(outputs, steps, blocks, seed);
    }

    #[test]
    fn reading_is_exact(planes in 1usize..=9, blocks in 1usize..=4, count in 0usize..=3, seed in 0usize..1000) {
        let bounds = [(0.0, 255.0, true), (0.0, f32::INFINITY, false), (-128.0, 127.0, true)];
        let of = |i: usize| {
            let (low, high, round) = bounds[(i + seed) % 3];
            step(4 * planes, low, high, round, seed + i)
        };
        reading(4 * planes, blocks, &(0..count).map(of).collect::<Vec<_>>(), seed);
    }
}
