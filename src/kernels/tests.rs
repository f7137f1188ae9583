//! Every kernel that this processor has against the scalar definition, bit by bit.

mod stored;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::quant::{Affine, Function};

/// The kernels to test, with all their loops; prints those that this processor lacks.
fn all() -> Vec<Kernels> {
    let missing = Isa::ALL.into_iter().filter(|isa| Kernels::new(*isa).is_none());
    missing.for_each(|isa| println!("SKIPPED kernels for {isa}: this processor does not have them"));
    let loops = |kernels: Kernels| {
        let in_order = (kernels.isa() == Isa::Neon).then_some(kernels.with_pipeline(Pipeline::InOrder));
        [kernels.with_pipeline(Pipeline::OutOfOrder)].into_iter().chain(in_order)
    };
    Isa::available().into_iter().filter_map(Kernels::new).flat_map(loops).collect()
}

/// A reproducible source of numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() as f32 / (1u32 << 31) as f32)
    }
}

/// How extreme inputs are.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    Random,
    Greatest,
    Least,
    Alternating,
    Extremes,
}

const KINDS: [Pattern; 5] =
    [Pattern::Random, Pattern::Greatest, Pattern::Least, Pattern::Alternating, Pattern::Extremes];

impl Pattern {
    fn pick(self, numbers: &mut Numbers, i: usize, least: i32, greatest: i32) -> i32 {
        match self {
            Self::Random => least + numbers.below((greatest - least + 1) as usize) as i32,
            Self::Greatest => greatest,
            Self::Least => least,
            Self::Alternating => {
                if i.is_multiple_of(2) {
                    least
                } else {
                    greatest
                }
            }
            Self::Extremes => {
                if numbers.below(2) == 0 {
                    least
                } else {
                    greatest
                }
            }
        }
    }
}

/// Bounds with a matching type.
const STORES: [(f32, f32, QuantType); 8] = [
    (0.0, 255.0, QuantType::Unsigned),
    (0.0, 255.0, QuantType::Activation),
    (-128.0, 127.0, QuantType::Signed),
    (-128.0, 127.0, QuantType::ActivationSigned),
    (0.0, 127.0, QuantType::Signed),
    (0.0, 127.0, QuantType::Activation),
    (3.0, 254.0, QuantType::Activation),
    (-127.0, 100.0, QuantType::Signed),
];

/// The quantized value that a byte represents, for kernels with shifted activations or without.
fn qvalue(qvalues: QuantType, byte: u8, kernels: Kernels) -> i32 {
    let byte = byte ^ qvalues.flip(kernels.shifted());
    if qvalues.is_signed() { i32::from(byte as i8) } else { i32::from(byte) }
}

/// A convolution, in the definition's terms.
#[derive(Debug)]
struct Case {
    input: Vec<u8>,
    offsets: Vec<u32>,
    weights: Vec<i8>,
    init: Vec<i32>,
    pixels: usize,
    step: Affine,
    qvalues: QuantType,
}

fn case(outputs: usize, steps: usize, pixels: usize, x: Pattern, w: Pattern, store: usize, seed: u64) -> Case {
    let mut numbers = Numbers(seed);
    let (planes, slack) = (steps.div_ceil(3) + 1, numbers.below(9));
    let plane_stride = 4 * (pixels + slack);
    let input: Vec<u8> = (0..planes * plane_stride).map(|i| x.pick(&mut numbers, i, 0, 255) as u8).collect();
    let last = (input.len() - 4 * pixels) / 4;
    // Anywhere, or the same distance apart.
    let (order, apart) = (numbers.below(4), last / steps.max(1));
    let place = |numbers: &mut Numbers, step| match order {
        0 => apart * step,
        1 => apart * (steps - 1 - step),
        _ => numbers.below(last + 1),
    };
    let offsets = (0..steps).map(|step| 4 * place(&mut numbers, step) as u32).collect();
    let padded = outputs.next_multiple_of(4);
    let real = |o: usize| o < outputs;
    let weights = (0..padded * steps * 4)
        .map(|i| if real(i / (steps * 4)) { w.pick(&mut numbers, i, -127, 127) as i8 } else { 0 })
        .collect();
    let init = (0..padded).map(|o| if real(o) { numbers.next() as i32 % 100_000 } else { 0 }).collect();
    // Accumulators spread as the square root of the number of products, or in proportion to it.
    let spread = 1.0 / (200.0 * (1 + steps) as f32);
    let step = Affine {
        mul: (0..padded).map(|o| if real(o) { numbers.between(-1.0, 1.0) * spread } else { 0.0 }).collect(),
        add: (0..padded).map(|o| if real(o) { numbers.between(-200.0, 300.0) } else { 0.0 }).collect(),
        function: Function::Identity,
        low: STORES[store].0,
        high: STORES[store].1,
        round: true,
    };
    Case { input, offsets, weights, init, pixels, step, qvalues: STORES[store].2 }
}

impl Case {
    /// Accumulators by the formula, `[outputs][pixels]`.
    fn accumulators(&self) -> Vec<i32> {
        let (outputs, channel) = (self.init.len(), 4 * self.offsets.len());
        let acc = |o: usize, p: usize| {
            let weights = &self.weights[o * channel..][..channel];
            let x = self.offsets.iter().flat_map(|offset| &self.input[*offset as usize + 4 * p..][..4]);
            self.init[o] + x.zip(weights).map(|(x, w)| i32::from(*x) * i32::from(*w)).sum::<i32>()
        };
        (0..outputs).flat_map(|o| (0..self.pixels).map(move |p| acc(o, p))).collect()
    }

    /// A kernel's operands: the input in its encoding of activations, and packed weights.
    fn packed(&self, kernels: Kernels) -> (Vec<u8>, Packed) {
        let input = self.input.iter().map(|x| x ^ kernels.zero()).collect();
        (input, kernels.pack(&self.weights, &self.init, &self.offsets).unwrap())
    }

    /// Any range of planes between two cuts gives the results that all planes have there.
    fn check_parts(
        &self,
        kernels: Kernels,
        (operand, requantize): (&Convolve, &Requantize),
        (raw, qvalues): (&[i32], &[u8]),
        plane_stride: usize,
    ) {
        let cuts: Vec<usize> = [0].into_iter().chain(operand.weights.cuts()).collect();
        for (begin, end) in cuts.iter().flat_map(|begin| cuts.iter().map(move |end| (*begin, *end))) {
            if begin >= end {
                continue;
            }
            let (operand, planes) = (Convolve { first: begin, ..*operand }, end - begin);
            let len = 4 * planes * plane_stride;
            let mut part = vec![7; len];
            kernels.convolve_raw(&operand, &mut PlanesMut::new(&mut part, 4 * planes, plane_stride, self.pixels));
            assert!(part == raw[4 * begin * plane_stride..][..len], "{kernels:?} planes {begin} to {end}");
            let mut part = vec![7; len];
            let out = &mut PlanesMut::new(&mut part, planes, 4 * plane_stride, 4 * self.pixels);
            kernels.convolve(&operand, requantize, out);
            assert!(part == qvalues[4 * begin * plane_stride..][..len], "{kernels:?} planes {begin} to {end}");
        }
    }

    fn check(&self) {
        let accumulators = self.accumulators();
        let (outputs, pixels) = (self.init.len(), self.pixels);
        let requantize = Requantize::new(&self.step, self.qvalues).unwrap();
        // Planes have a gap between them, which must stay unchanged.
        let plane_stride = pixels + 5;
        for kernels in all().into_iter().filter(|kernels| pixels.is_multiple_of(kernels.pixel_multiple())) {
            let (input, weights) = self.packed(kernels);
            let operand = Convolve { input: &input, weights: &weights, pixels, first: 0 };
            let mut raw = vec![7; outputs * plane_stride];
            kernels.convolve_raw(&operand, &mut PlanesMut::new(&mut raw, outputs, plane_stride, pixels));
            let mut qvalues = vec![7; outputs * plane_stride];
            kernels.convolve(
                &operand,
                &requantize,
                &mut PlanesMut::new(&mut qvalues, outputs / 4, 4 * plane_stride, 4 * pixels),
            );
            self.check_parts(kernels, (&operand, &requantize), (&raw, &qvalues), plane_stride);
            for o in 0..outputs {
                for p in 0..plane_stride {
                    let (acc, byte) = (raw[o * plane_stride + p], qvalues[o / 4 * 4 * plane_stride + 4 * p + o % 4]);
                    if p >= pixels {
                        assert_eq!((acc, byte), (7, 7), "{kernels:?} wrote beyond plane {o}");
                        continue;
                    }
                    let expected = accumulators[o * pixels + p];
                    assert_eq!(acc, expected, "{kernels:?} channel {o} pixel {p}");
                    let expected = self.step.apply(o, expected as f32) as i32;
                    let got = qvalue(self.qvalues, byte, kernels);
                    assert_eq!(got, expected, "{kernels:?} channel {o} pixel {p} of {:?}", self.qvalues);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn convolutions_are_exact(
        outputs in 1usize..=70,
        steps in 1usize..=70,
        halves in 1usize..=10,
        x in select(&KINDS[..]),
        w in select(&KINDS[..]),
        store in 0..STORES.len(),
        seed: u64,
    ) {
        case(outputs, steps, halves * PIXEL_BLOCK / 2, x, w, store, seed).check();
    }

    #[test]
    fn reading_is_exact(
        planes in 1usize..=9,
        halves in 0usize..=10,
        count in 1usize..=4,
        from in select(&[QuantType::Signed, QuantType::Unsigned, QuantType::Activation, QuantType::ActivationSigned][..]),
        store in 0..STORES.len(),
        kind in select(&KINDS[..]),
        seed: u64,
    ) {
        reading(planes, halves * PIXEL_BLOCK / 2, count, from, store, kind, seed);
    }
}

fn reading(planes: usize, pixels: usize, count: usize, from: QuantType, store: usize, kind: Pattern, seed: u64) {
    let mut numbers = Numbers(seed);
    let (low, high, to) = STORES[store];
    let middle = [(-128.0, 127.0, true), (0.0, f32::INFINITY, false), (f32::NEG_INFINITY, f32::INFINITY, true)];
    let steps: Vec<Affine> = (0..count)
        .map(|i| {
            let (low, high, round) = if i + 1 == count { (low, high, true) } else { middle[numbers.below(3)] };
            let mul = (0..planes * 4).map(|_| numbers.between(-2.5, 2.5)).collect();
            // Halves, so that there are ties.
            let add = (0..planes * 4).map(|_| numbers.between(-300.0, 300.0).round() / 2.0).collect();
            let mut step = Affine { mul, add, low, high, function: Function::Identity, round };
            step.mul[0] = 0.5;
            step
        })
        .collect();
    let chain = AffineChain::new(&steps, from, to).unwrap();
    let (plane_stride, out_stride) = (4 * pixels + 12, 4 * pixels + 4);
    let input: Vec<u8> = (0..planes * plane_stride).map(|i| kind.pick(&mut numbers, i, 0, 255) as u8).collect();
    let first = numbers.below(planes);
    for kernels in all().into_iter().filter(|kernels| pixels.is_multiple_of(kernels.pixel_multiple())) {
        let mut out = vec![7; planes * out_stride];
        let mut view = PlanesMut::new(&mut out, planes - first, out_stride, 4 * pixels);
        let operand = ChainInput { input: &input[first * plane_stride..], plane_stride, planes: first..planes, pixels };
        kernels.affine(&chain, &operand, &mut view);
        for plane in first..planes {
            for i in 0..out_stride {
                let got = out[(plane - first) * out_stride + i];
                if i >= 4 * pixels {
                    assert_eq!(got, 7, "{kernels:?} wrote beyond plane {plane}");
                    continue;
                }
                let x = qvalue(from, input[plane * plane_stride + i], kernels);
                let expected = steps.iter().fold(x as f32, |v, step| step.apply(4 * plane + i % 4, v));
                let got = qvalue(to, got, kernels);
                assert_eq!(got, expected as i32, "{kernels:?} plane {plane} byte {i}: {x}");
            }
        }
    }
}

#[test]
fn every_number_of_outputs_and_steps() {
    for n in 1..=70 {
        case(n, 71 - n, PIXEL_BLOCK * (1 + n % 4), KINDS[n % 5], KINDS[n / 5 % 5], n % STORES.len(), n as u64).check();
    }
}

/// For kernels that add products in 16 bits: weights whose sums just fit, or just do not.
#[test]
fn sums_at_the_limits_of_16_bits() {
    for pattern in
        [&[127, 127, 1, 0][..], &[127, 126, 1, 1], &[127, 127, 1, 1], &[64], &[51, 51, 51, 51, 50, 1], &[16, 15]]
    {
        for (x, sign) in [(Pattern::Least, 1), (Pattern::Least, -1), (Pattern::Greatest, 1), (Pattern::Greatest, -1)] {
            for steps in [1, 2, 4, 6, 7, 33] {
                let mut case = case(8, steps, 5 * PIXEL_BLOCK, x, Pattern::Random, 1, 5);
                let size = |i: usize| sign * pattern[i / 4 % steps % pattern.len()];
                case.weights.iter_mut().enumerate().for_each(|(i, w)| *w = size(i));
                case.check();
            }
        }
    }
    for size in 1..=127 {
        let mut case = case(4, 40, PIXEL_BLOCK, Pattern::Least, Pattern::Random, 1, 5);
        case.weights.fill(if size % 2 == 0 { size } else { -size });
        case.check();
    }
}

#[test]
fn without_steps_there_is_init() {
    case(8, 0, PIXEL_BLOCK, Pattern::Random, Pattern::Random, 0, 1).check();
}

#[test]
fn values_beyond_integers_are_bounded() {
    for (store, mul) in [(0, 1e6), (2, -1e6), (0, f32::MAX), (2, f32::MIN)] {
        let mut case = case(8, 5, PIXEL_BLOCK, Pattern::Random, Pattern::Extremes, store, 3);
        case.step.mul.fill(mul);
        case.check();
    }
}

#[test]
fn every_code_of_every_store_is_read() {
    for store in 0..STORES.len() {
        for from in [QuantType::Signed, QuantType::Unsigned, QuantType::Activation, QuantType::ActivationSigned] {
            (0..8).for_each(|seed| reading(3, 9 * PIXEL_BLOCK, 1, from, store, Pattern::Random, seed));
        }
    }
}

#[test]
fn what_kernels_cannot_do_is_refused() {
    assert!(Kernels::best().pack(&[-128; 16], &[0; 4], &[0]).is_err());
    let step = |low, high| Affine {
        mul: vec![1.0; 4],
        add: vec![0.0; 4],
        low,
        high,
        function: Function::Identity,
        round: true,
    };
    assert!(Requantize::new(&step(0.0, 255.0), QuantType::Signed).is_err());
    assert!(Requantize::new(&step(-1.0, 255.0), QuantType::Activation).is_err());
    assert!(Requantize::new(&step(0.5, 255.0), QuantType::Activation).is_err());
    assert!(Requantize::new(&Affine { round: false, ..step(0.0, 255.0) }, QuantType::Activation).is_err());
    assert!(Requantize::new(&Affine { mul: vec![f32::NAN; 4], ..step(0.0, 255.0) }, QuantType::Activation).is_err());
    assert!(
        AffineChain::new(&[Affine { mul: vec![1e9; 4], ..step(0.0, 255.0) }], QuantType::Signed, QuantType::Activation)
            .is_err()
    );
}

#[test]
fn stored_weights_come_back_and_damaged_ones_do_no_harm() {
    for kernels in all() {
        let (_, mut packed) = case(12, 7, PIXEL_BLOCK, Pattern::Random, Pattern::Random, 0, 3).packed(kernels);
        let stored = postcard::to_allocvec(&packed).unwrap();
        let mut weights = Vec::new();
        packed.blob().write(&mut weights).unwrap();
        let mut again: Packed = postcard::from_bytes(&stored).unwrap();
        again.blob().read(&mut &weights[..]).unwrap();
        assert!(again == packed, "{kernels:?}");
        for place in 0..stored.len() {
            for change in [0x01, 0x41, 0x80, 0xff] {
                let mut damaged = stored.clone();
                damaged[place] ^= change;
                // Either refused or another valid one, quickly and without a panic.
                let _ = postcard::from_bytes::<Packed>(&damaged);
            }
        }
    }
}

#[test]
#[should_panic = "exceed an input"]
fn input_must_reach_far_enough() {
    let kernels = Kernels::best();
    let weights = kernels.pack(&[1; 16], &[0; 4], &[4]).unwrap();
    let operand = Convolve { input: &[0; 67], weights: &weights, pixels: 16, first: 0 };
    kernels.convolve_raw(&operand, &mut PlanesMut::new(&mut [0; 64], 4, 16, 16));
}

#[test]
#[should_panic = "exceed an input"]
fn sizes_do_not_wrap() {
    let kernels = Kernels::best();
    let weights = kernels.pack(&[], &[0; 4], &[]).unwrap();
    let step = Affine {
        mul: vec![0.0; 4],
        add: vec![0.0; 4],
        low: 0.0,
        high: 255.0,
        function: Function::Identity,
        round: true,
    };
    let operand = Convolve { input: &[], weights: &weights, pixels: 1 << (usize::BITS - 2), first: 0 };
    let requantize = Requantize::new(&step, QuantType::Activation).unwrap();
    kernels.convolve(&operand, &requantize, &mut PlanesMut::new(&mut [0; 64], 1, 64, 64));
}
