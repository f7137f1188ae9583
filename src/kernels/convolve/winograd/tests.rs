//! Every instruction set against the sums of the definition of a convolution, in integers.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::kernels::QuantType;
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

/// How extreme numbers are.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    Random,
    Greatest,
    Least,
    Extremes,
}

const PATTERNS: [Pattern; 4] = [Pattern::Random, Pattern::Greatest, Pattern::Least, Pattern::Extremes];

impl Pattern {
    /// Reproducible numbers.
    fn numbers(self, len: usize, [least, greatest]: [i32; 2], seed: u64) -> Vec<i32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as i32
        };
        let mut number = || match self {
            Self::Random => least + next() % (greatest - least + 1),
            Self::Greatest => greatest,
            Self::Least => least,
            Self::Extremes => [least, greatest][next() as usize % 2],
        };
        (0..len).map(|_| number()).collect()
    }
}

/// The values of a case: `[planes][pixels][4]`, windows `[outputs][4 * planes]`, initial accumulators and padding.
struct Values {
    image: Vec<i32>,
    windows: Vec<[i32; 9]>,
    init: Vec<i32>,
    padding: Vec<u8>,
}

impl Case {
    fn results(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.padding;
        [self.height + top + bottom - 2, self.width + left + right - 2]
    }

    fn values(&self, activations: Pattern, weights: Pattern, bounds: [i32; 2], seed: u64) -> Values {
        let channels = 4 * self.planes;
        let padding = Pattern::Random.numbers(self.planes, [0, 255], seed + 2);
        Values {
            image: activations.numbers(channels * self.height * self.width, [0, 255], seed),
            windows: weights.numbers(9 * channels * self.outputs, bounds, seed + 1).as_chunks().0.to_vec(),
            init: Pattern::Random.numbers(self.outputs, [-1_000_000, 1_000_000], seed + 3),
            padding: padding.into_iter().map(|value| value as u8).collect(),
        }
    }

    /// The accumulators, `[outputs / 4][pixels][4]`.
    fn accumulators(&self, values: &Values) -> Vec<i32> {
        let ([height, width], area) = (self.results(), self.height * self.width);
        let value = |channel: usize, row: usize, column: usize| {
            let (row, column) = (row.wrapping_sub(self.padding[0]), column.wrapping_sub(self.padding[1]));
            let inside = row < self.height && column < self.width;
            let at = 4 * (channel / 4 * area + row.wrapping_mul(self.width).wrapping_add(column));
            if inside { values.image[at + channel % 4] } else { i32::from(values.padding[channel / 4]) }
        };
        let mut all = Vec::new();
        for (plane, pixel) in (0..self.outputs / 4).flat_map(|plane| (0..height * width).map(move |p| (plane, p))) {
            for output in 4 * plane..4 * plane + 4 {
                let windows = &values.windows[output * 4 * self.planes..][..4 * self.planes];
                let products = windows.iter().enumerate().flat_map(|(channel, window)| {
                    let at = move |tap: usize| (pixel / width + tap / 3, pixel % width + tap % 3);
                    (0..9).map(move |tap| value(channel, at(tap).0, at(tap).1) * window[tap])
                });
                all.push(values.init[output] + products.sum::<i32>());
            }
        }
        all
    }

    /// The results of each chunk by `output`, whose planes have `end` values behind them that must stay.
    fn run<T: Copy + Default + PartialEq + std::fmt::Debug>(
        &self,
        kernels: Kernels,
        values: &Values,
        output: impl Fn(&PackedWinogradInt8, [usize; 2], &mut [i32], (usize, &mut PlanesMut<'_, T>)),
    ) -> Vec<T> {
        let &Self { planes, outputs, height, width, padding: [top, left, ..], rows, together } = self;
        let [out_height, out_width] = self.results();
        let tiles = [rows, out_width.div_ceil(4)];
        let packed = kernels.pack_winograd_int8(&values.windows, &values.init, planes, tiles).expect("exact weights");
        let mut scratch = vec![0x5555_5555; packed.scratch()];
        let image: Vec<u8> = values.image.iter().map(|&value| value as u8 ^ kernels.zero()).collect();
        let pixels = out_height * out_width;
        let mut out = vec![T::default(); outputs * (pixels + 1)];
        for first in (0..out_height).step_by(4 * rows) {
            let begin = first.saturating_sub(top);
            let results = (out_height - first).min(4 * rows);
            let end = height.min(first + results + 2 - top);
            let mut activations = image[4 * begin * width..].to_vec();
            activations.resize(activations.len() + 64, 0x33);
            for start in (0..planes).step_by(together) {
                let planes = start..planes.min(start + together);
                let input = WinogradInt8Input {
                    activations: &activations[4 * start * height * width..],
                    plane_stride: 4 * height * width,
                    padding: &values.padding[planes.clone()],
                    planes,
                    height: end - begin,
                    width,
                    above: top.saturating_sub(first),
                    left,
                    rows: results.div_ceil(4),
                };
                kernels.winograd_int8_input(&packed, &input, &mut scratch);
            }
            let all = PlanesMut::new(&mut out, outputs / 4, 4 * (pixels + 1), 4 * pixels);
            let mut part = all.split_at(4 * first * out_width).1;
            // Planes between two cuts by themselves.
            let mut first = 0;
            for end in packed.cuts() {
                output(&packed, [results, out_width], &mut scratch, (first, &mut part.range(first..end)));
                first = end;
            }
        }
        assert!(out.chunks(4 * (pixels + 1)).all(|plane| plane[4 * pixels..] == [T::default(); 4]), "behind a plane");
        out.chunks(4 * (pixels + 1)).flat_map(|plane| plane[..4 * pixels].to_vec()).collect()
    }

    /// All instruction sets give the sums, and requantize them.
    fn check(&self, values: &Values, seed: u64) {
        let accumulators = self.accumulators(values);
        let expected: Vec<f32> = accumulators.iter().map(|&acc| acc as f32).collect();
        let most = accumulators.iter().map(|acc| acc.unsigned_abs()).max().unwrap_or(1) as f32;
        let (low, high, qvalues) = [
            (0.0, 255.0, QuantType::Unsigned),
            (0.0, 255.0, QuantType::Activation),
            (-128.0, 127.0, QuantType::Signed),
            (-100.0, 127.0, QuantType::ActivationSigned),
        ][seed as usize % 4];
        let factors = Pattern::Random.numbers(self.outputs, [-1000, 1000], seed + 4);
        let affine = Affine {
            mul: factors.iter().map(|&factor| factor as f32 * 0.2 / most).collect(),
            add: factors.iter().map(|&factor| (factor % 90) as f32).collect(),
            low,
            high,
            function: Function::Identity,
            round: true,
        };
        let requantize = Requantize::new(&affine, qvalues).unwrap();
        for kernels in Isa::available().into_iter().filter_map(Kernels::new) {
            let found = self.run(kernels, values, |packed, shape, scratch, out| {
                kernels.winograd_int8_accumulators(packed, shape, scratch, out);
            });
            assert!(found == expected, "{kernels:?}: {self:?}");
            let found = self.run(kernels, values, |packed, shape, scratch, out| {
                kernels.winograd_int8_output(packed, &requantize, shape, scratch, out);
            });
            let area = found.len() / self.outputs;
            for (i, (&byte, &acc)) in found.iter().zip(&accumulators).enumerate() {
                let wanted = requantize.apply(i / (4 * area) * 4 + i % 4, acc) as u8;
                assert_eq!(byte ^ qvalues.flip(kernels.shifted()), wanted, "{kernels:?}: {self:?}, value {i}");
            }
        }
    }
}

#[test]
fn images_of_all_small_sizes() {
    for (height, width) in (1..=10).flat_map(|height| (1..=10).map(move |width| (height, width))) {
        let padding = if (height + width) % 3 == 0 && height > 2 && width > 2 { [0; 4] } else { [1; 4] };
        let case = Case { planes: 2, outputs: 4, height, width, padding, rows: 1 + height % 2, together: 1 };
        let seed = (16 * height + width) as u64;
        case.check(&case.values(Pattern::Random, Pattern::Extremes, [-127, 127], seed), seed);
    }
}

/// Sums of exactly the bound and one below it.
#[test]
fn weights_beyond_the_bound_are_not_packed() {
    // 255 * 131_586 < 2^25 <= 255 * 131_587.
    let windows = |sum: i32| {
        let mut windows = vec![[0; 9]; 4 * 4 * 32];
        let (mut left, row) = (sum, &mut windows.as_flattened_mut()[4 * 32 * 9..][..4 * 32 * 9]);
        for weight in row {
            *weight = left.min(127);
            left -= *weight;
        }
        assert_eq!(left, 0);
        windows
    };
    let pack = |sum: i32| Kernels::best().pack_winograd_int8(&windows(sum), &[0; 4], 32, [1, 1]);
    assert!(pack(131_586).is_some() && PackedWinogradInt8::suits(&windows(131_586)));
    assert!(pack(131_587).is_none() && !PackedWinogradInt8::suits(&windows(131_587)));
    // Weights minus their zero point may have 9 bits: then they need not fit 16 at a position.
    let wide = |weight: i32| vec![[weight; 9]; 16];
    assert!(Kernels::best().pack_winograd_int8(&wide(255), &[0; 4], 1, [1, 1]).is_none());
    assert!(!PackedWinogradInt8::suits(&wide(255)) && PackedWinogradInt8::suits(&wide(-227)));
}

/// The greatest sums that are packed, on all instruction sets.
#[test]
fn sums_at_the_bound_are_exact() {
    for sign in [1, -1] {
        let case = Case { planes: 29, outputs: 4, height: 5, width: 6, padding: [1; 4], rows: 2, together: 29 };
        let mut values = case.values(Pattern::Greatest, Pattern::Greatest, [126, 126], 1);
        values.padding.fill(255);
        values.windows.iter_mut().flatten().for_each(|weight| *weight *= sign);
        // 116 channels of 9 weights of 126 are 131,544.
        assert!(PackedWinogradInt8::suits(&values.windows[..116]));
        case.check(&values, 5);
    }
}

/// A file's extents must belong together; weights are stored apart, and come back.
#[test]
fn stored_weights_must_fit_their_tiles() {
    for kernels in Isa::available().into_iter().filter_map(Kernels::new) {
        let windows = Pattern::Random.numbers(9 * 8 * 8, [-127, 127], 7).as_chunks().0.to_vec();
        let mut packed = kernels.pack_winograd_int8(&windows, &[3; 8], 2, [3, 5]).unwrap();
        let bytes = postcard::to_allocvec(&packed).unwrap();
        let mut weights = Vec::new();
        packed.blob().write(&mut weights).unwrap();
        assert_eq!(packed.blob().bytes(), Some(weights.len()));
        let mut again: PackedWinogradInt8 = postcard::from_bytes(&bytes).unwrap();
        again.blob().read(&mut &weights[..]).unwrap();
        assert!(again == packed, "{kernels:?}");
        for (place, change) in (0..bytes.len()).flat_map(|place| [(place, 0x01), (place, 0x41), (place, 0xff)]) {
            let mut damaged = bytes.clone();
            damaged[place] ^= change;
            // Either refused or another valid one, quickly and without a panic.
            let _ = postcard::from_bytes::<PackedWinogradInt8>(&damaged);
        }
    }
    let stored = |planes: usize, outputs: usize, rows: usize, len: usize| {
        let bytes = postcard::to_allocvec(&(Isa::Scalar, planes, vec![0i32; outputs], rows, 5, len)).unwrap();
        postcard::from_bytes::<PackedWinogradInt8>(&bytes)
    };
    assert!(stored(2, 8, 3, 36 * 8 * 8).is_ok());
    assert!(stored(2, 8, 3, 36 * 8 * 8 - 1).is_err(), "fewer weights");
    assert!(stored(2, 6, 3, 36 * 6 * 8).is_err(), "outputs that are no whole planes");
    assert!(stored(2, 8, usize::MAX / 2, 36 * 8 * 8).is_err(), "a scratch that cannot be");
    assert!(stored(usize::MAX, 0, 3, 0).is_err(), "planes that cannot be counted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_instruction_set_gives_the_sums(
        (planes, outputs) in (1usize..=6, 1usize..=7),
        (height, width) in (3usize..=24, 3usize..=40),
        padding in any::<[bool; 4]>(),
        (rows, together) in (1usize..=6, 1usize..=6),
        (activations, weights) in (select(&PATTERNS[..]), select(&PATTERNS[..])),
        bounds in select(&[[-127, 127], [0, 227], [-227, 200]][..]),
        seed in 0u64..1000,
    ) {
        let case = Case { planes, outputs: 4 * outputs, height, width, padding: padding.map(usize::from), rows, together };
        case.check(&case.values(activations, weights, bounds, seed), seed);
    }
}
