//! Every instruction set against the definition, bit by bit, and the definition against sums in f64.

use proptest::prelude::*;

use super::*;
use crate::kernels::Isa;
use crate::quant::{Affine, Function};

/// Reproducible numbers between -1 and 1.
fn number(i: usize, seed: usize) -> f32 {
    ((i * 7919 + seed * 104_729) % 10_007) as f32 / 5003.0 - 1.0
}

/// Windows of `side` by `side` with these strides, over rows that are divided by the horizontal one.
fn check([height, width]: [usize; 2], side: usize, stride: usize, spare: usize, seed: usize) {
    let part = 4 * (width + side);
    let row = stride * part;
    let offsets: Vec<u32> = (0..side * side)
        .map(|tap| (tap / side * row + tap % side % stride * part + 4 * (tap % side / stride)) as u32)
        .collect();
    let weights: Vec<[f32; 4]> =
        (0..side * side).map(|tap| std::array::from_fn(|i| number(4 * tap + i, seed))).collect();
    let input: Vec<f32> = (0..(height * stride + side) * row + 12).map(|i| number(i, seed + 1)).collect();
    let add = (0..8).map(|channel| number(channel, seed + 2)).collect();
    let affine =
        Affine { mul: vec![1.0; 8], add, function: Function::Identity, low: -0.25, high: f32::INFINITY, round: false };
    let bias_clamp = BiasClamp::new(&affine).unwrap();
    let operand =
        DepthwiseF32 { input: &input, row_stride: stride * row, offsets: &offsets, weights: &weights, height, width };
    let results = 4 * height * width;
    let run = |kernels: Kernels| {
        let mut out = vec![7.0; results + 4 * spare + 4];
        kernels.depthwise_f32(&operand, &bias_clamp, 1, &mut out[..results + 4 * spare]);
        assert_eq!(out[results + 4 * spare..], [7.0; 4], "{kernels:?}: values behind the output");
        out.truncate(results);
        out
    };
    let expected = run(Kernels::scalar());
    for kernels in Isa::available().into_iter().filter_map(Kernels::new) {
        let same = run(kernels).iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
        assert!(same, "{kernels:?}: {height}x{width}, windows of {side}, stride {stride}");
    }
    for (at, found) in expected.iter().enumerate() {
        let (y, x, i) = (at / 4 / width, at / 4 % width, at % 4);
        let place = |offset: u32| offset as usize + y * stride * row + 4 * x + i;
        let products =
            offsets.iter().zip(&weights).map(|(&offset, w)| f64::from(input[place(offset)]) * f64::from(w[i]));
        let exact = (products.sum::<f64>() + f64::from(affine.add[4 + i])).max(-0.25);
        assert!((f64::from(*found) - exact).abs() < 1e-5, "{found} for {exact}");
    }
}

#[test]
fn rows_of_all_small_sizes() {
    for width in 1..=40 {
        check([1 + width % 5, width], 3, 1 + width % 2, width % 3, width);
    }
}

#[test]
#[should_panic = "exceed an input"]
fn rows_must_be_inside_the_input() {
    let add_bias = Affine::linear(vec![1.0; 4], vec![0.0; 4]);
    let input = [0.0; 16];
    let operand =
        DepthwiseF32 { input: &input, row_stride: 4, offsets: &[4], weights: &[[1.0; 4]], height: 1, width: 2 };
    Kernels::best().depthwise_f32(&operand, &BiasClamp::new(&add_bias).unwrap(), 0, &mut [0.0; 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_instruction_set_gives_the_same_bits(
        size in [1usize..=9, 1usize..=70],
        (side, stride, spare) in (1usize..=5, 1usize..=3, 0usize..=5),
        seed in 0usize..1000,
    ) {
        check(size, side, stride, spare, seed);
    }
}
