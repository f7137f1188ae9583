//! Every instruction set against the definition, bit by bit, and the definition against convolutions in f64.

use proptest::prelude::*;

use super::*;
use crate::kernels::Isa;
use crate::quant::{Affine, Function};

/// A convolution of an image.
#[derive(Debug, Clone)]
struct Case {
    planes: usize,
    outputs: usize,
    height: usize,
    width: usize,
    /// Top, left, bottom, right.
    padding: [usize; 4],
    /// Rows of tiles in a chunk.
    rows: usize,
    /// Planes that are transformed together.
    together: usize,
}

impl Case {
    fn results(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.padding;
        [self.height + top + bottom - 2, self.width + left + right - 2]
    }

    /// The results, `[outputs / 4][pixels][4]`; the image is `[planes][pixels][4]`, weights `[outputs][4 * planes][9]`.
    fn run(&self, kernels: Kernels, image: &[f32], weights: &[f32], bias_clamp: &BiasClamp) -> Vec<f32> {
        let &Self { planes, outputs, height, width, padding: [top, left, ..], rows, together } = self;
        let [out_height, out_width] = self.results();
        let packed = kernels.pack_winograd(&transformed(weights, outputs, planes), planes, rows, out_width.div_ceil(4));
        let mut scratch = vec![f32::NAN; packed.scratch()];
        let pixels = out_height * out_width;
        let mut out = vec![7.0; outputs * (pixels + 1)];
        for first in (0..out_height).step_by(4 * rows) {
            let begin = first.saturating_sub(top);
            let results = (out_height - first).min(4 * rows);
            let end = height.min(first + results + 2 - top);
            let mut values = image[4 * begin * width..].to_vec();
            values.resize(values.len() + 16, f32::NAN);
            for start in (0..planes).step_by(together) {
                let input = WinogradInput {
                    values: &values[4 * start * height * width..],
                    plane_stride: 4 * height * width,
                    planes: start..planes.min(start + together),
                    height: end - begin,
                    width,
                    above: top.saturating_sub(first),
                    left,
                    rows: results.div_ceil(4),
                };
                kernels.winograd_input(&packed, &input, &mut scratch);
            }
            let all = PlanesMut::new(&mut out, outputs / 4, 4 * (pixels + 1), 4 * pixels);
            let mut part = all.split_at(4 * first * out_width).1;
            kernels.winograd_output(&packed, bias_clamp, [results, out_width], &mut scratch, &mut part);
        }
        assert!(out.chunks(4 * (pixels + 1)).all(|plane| plane[4 * pixels..] == [7.0; 4]), "values behind a plane");
        out.chunks(4 * (pixels + 1)).flat_map(|plane| plane[..4 * pixels].to_vec()).collect()
    }

    /// The convolution in f64, and the sums of its products' absolute values.
    fn exact(&self, image: &[f32], weights: &[f32]) -> Vec<[f64; 2]> {
        let [height, width] = self.results();
        let area = self.height * self.width;
        let value = |channel: usize, row: usize, column: usize| {
            let (row, column) = (row.checked_sub(self.padding[0])?, column.checked_sub(self.padding[1])?);
            let inside = row < self.height && column < self.width;
            inside.then(|| f64::from(image[4 * (channel / 4 * area + row * self.width + column) + channel % 4]))
        };
        let mut all = Vec::new();
        for (plane, pixel) in (0..self.outputs / 4).flat_map(|plane| (0..height * width).map(move |p| (plane, p))) {
            for output in 4 * plane..4 * plane + 4 {
                let products = (0..4 * self.planes).flat_map(|channel| (0..9).map(move |tap| (channel, tap)));
                let product = |(channel, tap): (usize, usize)| {
                    let x = value(channel, pixel / width + tap / 3, pixel % width + tap % 3).unwrap_or(0.0);
                    x * f64::from(weights[(output * 4 * self.planes + channel) * 9 + tap])
                };
                all.push(products.map(product).fold([0.0, 0.0], |[sum, size], x| [sum + x, size + x.abs()]));
            }
        }
        all
    }
}

/// Weights at each position, `[36][outputs][planes][4]`.
fn transformed(weights: &[f32], outputs: usize, planes: usize) -> Vec<f32> {
    let at = |i: usize| winograd_weights(&weights.as_chunks().0[i]);
    let all: Vec<[f32; WINOGRAD_POSITIONS]> = (0..4 * outputs * planes).map(at).collect();
    (0..WINOGRAD_POSITIONS).flat_map(|position| all.iter().map(move |weights| weights[position])).collect()
}

/// Reproducible numbers between -1 and 1.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn bias_clamp(outputs: usize, low: f32) -> BiasClamp {
    let add = (0..outputs).map(|o| o as f32 / 8.0 - 1.0).collect();
    let affine =
        Affine { mul: vec![1.0; outputs], add, function: Function::Identity, low, high: f32::INFINITY, round: false };
    BiasClamp::new(&affine).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// All instruction sets and divisions give the same bits, which are close to the convolution.
fn check(case: &Case, seed: u64) {
    let image = numbers(4 * case.planes * case.height * case.width, seed);
    let weights = numbers(9 * 4 * case.planes * case.outputs, seed + 1);
    let clamp = bias_clamp(case.outputs, -0.5);
    let whole = Case { rows: case.results()[0].div_ceil(4), together: case.planes, ..case.clone() };
    let expected = whole.run(Kernels::scalar(), &image, &weights, &clamp);
    for kernels in Isa::available().into_iter().filter_map(Kernels::new) {
        for case in [case, &whole] {
            let found = case.run(kernels, &image, &weights, &clamp);
            assert!(bits(&found) == bits(&expected), "{kernels:?}: {case:?}");
        }
    }
    let exact = case.exact(&image, &weights);
    let area = case.results()[0] * case.results()[1];
    let largest = exact.iter().map(|[_, size]| *size).fold(0.0, f64::max);
    for (i, (found, [sum, _])) in expected.iter().zip(exact).enumerate() {
        let channel = i / (4 * area) * 4 + i % 4;
        let wanted = (sum + f64::from(clamp.add[channel])).max(-0.5);
        assert!((f64::from(*found) - wanted).abs() <= 1e-6 * (1.0 + largest), "{found} for {wanted}: {case:?}");
    }
}

#[test]
fn images_of_all_small_sizes() {
    for (height, width) in (1..=10).flat_map(|height| (1..=10).map(move |width| (height, width))) {
        let padding = if (height + width) % 3 == 0 && height > 2 && width > 2 { [0; 4] } else { [1; 4] };
        let case = Case { planes: 2, outputs: 4, height, width, padding, rows: 1 + height % 2, together: 1 };
        check(&case, (16 * height + width) as u64);
    }
}

/// What the documentation says of errors. Inputs are those that are hard: means far from 0, many channels, weights that cancel out.
#[test]
fn errors_are_bounded() {
    let hard = [
        (4, 0.0, false),
        (128, 0.0, false),
        (128, 0.0, true),
        (32, 100.0, false),
        (128, 10.0, true),
        (4, 1000.0, true),
    ];
    for (planes, mean, cancels) in hard {
        let case = Case { planes, outputs: 4, height: 10, width: 11, padding: [1; 4], rows: 3, together: planes };
        let image: Vec<f32> = numbers(4 * planes * 110, 3).iter().map(|x| (x + mean).max(0.0)).collect();
        let mut weights = numbers(9 * 16 * planes, 4);
        if cancels {
            for weights in weights.chunks_exact_mut(9) {
                let mean = weights.iter().sum::<f32>() / 9.0;
                weights.iter_mut().for_each(|weight| *weight -= mean);
            }
        }
        let clamp = bias_clamp(4, f32::NEG_INFINITY);
        let found = case.run(Kernels::best(), &image, &weights, &clamp);
        let exact = case.exact(&image, &weights);
        let (mut worst, mut largest, mut size) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (i, (found, [sum, products])) in found.iter().zip(exact).enumerate() {
            worst = worst.max((f64::from(*found) - sum - f64::from(clamp.add[i % 4])).abs());
            largest = largest.max(sum.abs());
            size = size.max(products);
        }
        println!(
            "{} channels, mean {mean}, cancels {cancels}: {:.1e} of the largest result, {:.1e} of the largest sum of absolute products",
            4 * planes,
            worst / largest,
            worst / size
        );
        assert!(worst <= 4e-7 * size, "{} channels around {mean}: off by {worst} of {size}", 4 * planes);
    }
}

/// The matrices belong together: a window with a single weight of 1 gives the values that lie there.
#[test]
fn a_single_weight_passes_values_through() {
    for tap in 0..9 {
        let case = Case { planes: 1, outputs: 4, height: 6, width: 6, padding: [0; 4], rows: 1, together: 1 };
        let image: Vec<f32> = (0..4 * 36).map(|i| (i / 4) as f32).collect();
        let mut weights = vec![0.0; 9 * 16];
        weights[tap] = 1.0;
        let found = case.run(Kernels::scalar(), &image, &weights, &bias_clamp(4, f32::NEG_INFINITY));
        for pixel in 0..16 {
            let wanted = image[4 * ((pixel / 4 + tap / 3) * 6 + pixel % 4 + tap % 3)] - 1.0;
            assert!(
                (found[4 * pixel] - wanted).abs() < 1e-4,
                "tap {tap}, pixel {pixel}: {} for {wanted}",
                found[4 * pixel]
            );
        }
    }
}

/// A file's rows, columns and offsets must belong together; weights are stored apart.
#[test]
fn stored_weights_must_fit_their_tiles() {
    let packed = Kernels::best().pack_winograd(&vec![1.0; WINOGRAD_POSITIONS * 4 * 2 * 4], 2, 3, 5);
    let stored = |padded: usize, outputs: usize, offsets: &[u32], rows: usize, columns: usize| {
        let len = padded * 4 * offsets.len();
        let bytes = postcard::to_allocvec(&((padded, len, offsets), outputs, rows, columns)).unwrap();
        postcard::from_bytes::<PackedWinograd>(&bytes)
    };
    const PADDED: usize = 16 * WINOGRAD_POSITIONS;
    let read = stored(PADDED, 4, &[0, 64], 3, 5).unwrap();
    let shape = |packed: &PackedWinograd| {
        (packed.outputs(), packed.planes(), packed.rows(), packed.columns(), packed.scratch())
    };
    assert_eq!(shape(&read), shape(&packed));
    assert_eq!(postcard::to_allocvec(&read).unwrap(), postcard::to_allocvec(&packed).unwrap());
    assert!(stored(PADDED + 16, 4, &[0, 64], 3, 5).is_err(), "outputs of some positions");
    assert!(stored(PADDED, 20, &[0, 64], 3, 5).is_err(), "more outputs than weights");
    assert!(stored(PADDED, 6, &[0, 64], 3, 5).is_err(), "outputs that are no whole planes");
    assert!(stored(PADDED, 4, &[0, 64], 3, 6).is_err(), "planes that overlap");
    assert!(stored(PADDED, 4, &[0, 4], 3, 5).is_err(), "other offsets");
    assert!(stored(PADDED, 4, &[0, 64], usize::MAX, 5).is_err(), "a scratch that cannot be");
    assert!(stored(0, 0, &[], usize::MAX / 2, 2).is_err(), "tiles that cannot be counted");
    assert!(stored(PADDED, usize::MAX - 3, &[0, 64], 3, 5).is_err(), "outputs that cannot be counted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_instruction_set_gives_the_same_bits(
        (planes, outputs) in (1usize..=6, 1usize..=4),
        (height, width) in (3usize..=24, 3usize..=24),
        padding in any::<[bool; 4]>(),
        (rows, together) in (1usize..=4, 1usize..=6),
        seed in 0u64..1000,
    ) {
        check(&Case { planes, outputs: 4 * outputs, height, width, padding: padding.map(usize::from), rows, together }, seed);
    }
}
