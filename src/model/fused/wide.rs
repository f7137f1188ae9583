//! An affine of a chain in f64, and its rounding to f32 such that results equal ONNX's.

use crate::quant::{Affine, Function, Table};

/// Only factors that are multiples of 1 / `PARTS` and have at most `DIGITS` significant bits make many ties.
const PARTS: f64 = 4096.0;
const DIGITS: u32 = 12;

/// f32 represents all whole numbers up to this one.
const EXACT: f64 = (1 << 24) as f64;

/// What is added to a rescaling's summand to find one whose values that are nearly ties are rounded as the file's operators round them.
const NUDGES: [f32; 7] =
    [0.0, 1.0 / 131_072.0, -1.0 / 131_072.0, 1.0 / 32_768.0, -1.0 / 32_768.0, 1.0 / 8192.0, -1.0 / 8192.0];

/// `bound(round(function(value * mul + add)))`, in f64.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wide {
    pub(super) mul: Vec<f64>,
    pub(super) add: Vec<f64>,
    pub(super) function: Function,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) round: bool,
    /// The summands of each channel that must be added after rounding; part of `add`. Empty if there are none.
    pub(super) zero_points: Vec<f64>,
    /// Set if it only converts from one quantization to another.
    pub(super) rescale: Option<Rescale>,
}

impl Wide {
    pub(super) fn identity(channels: usize) -> Self {
        Self {
            mul: vec![1.0; channels],
            add: vec![0.0; channels],
            function: Function::Identity,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            round: false,
            zero_points: Vec::new(),
            rescale: None,
        }
    }

    /// Whether another affine can be merged into it: it has no bounds, rounding or function.
    pub(super) fn is_open(&self) -> bool {
        !self.is_bounded() && !self.round && self.function.is_identity()
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.low > f64::NEG_INFINITY || self.high < f64::INFINITY
    }

    /// Factor and summand, if they are the same for all channels.
    pub(super) fn uniform(&self) -> Option<(f64, f64)> {
        let (mul, add) = (*self.mul.first()?, *self.add.first()?);
        (self.mul.iter().all(|&m| m == mul) && self.add.iter().all(|&a| a == add)).then_some((mul, add))
    }

    /// For each channel the number that becomes 0; `None` if one is not whole, or all are 0.
    pub(super) fn zeros(&self) -> Option<Vec<f64>> {
        let zero = |(mul, add): (&f64, &f64)| {
            let zero = if *add == 0.0 { 0.0 } else { -add / mul };
            (zero.abs() <= EXACT && (zero - zero.round()).abs() <= 1e-9).then(|| zero.round())
        };
        let found: Vec<f64> = self.mul.iter().zip(&self.add).map(zero).collect::<Option<_>>()?;
        found.iter().any(|&zero| zero != 0.0).then_some(found)
    }

    /// Whether ties are frequent and are rounded the other way once the zero point is added: factors of a few bits, and an odd
    /// zero point.
    pub(super) fn ties_matter(&self) -> bool {
        let parts = |number: f64| (f64::from(number as f32) * PARTS).fract() == 0.0;
        let mut channels = self.mul.iter().zip(&self.add).zip(&self.zero_points);
        let odd = |zero_point: f64| zero_point.rem_euclid(2.0) == 1.0;
        let short = |number: f64| (number as f32).to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - DIGITS;
        channels
            .any(|((&mul, &add), &zero_point)| odd(zero_point) && short(mul) && parts(mul) && parts(add - zero_point))
    }

    /// As two affines: the first rounds, the second adds the zero point.
    pub(super) fn rounded_first(&self) -> [Affine; 2] {
        let least = self.zero_points.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.zero_points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = Self {
            add: self.add.iter().zip(&self.zero_points).map(|(add, zero_point)| add - zero_point).collect(),
            low: self.low - greatest,
            high: self.high - least,
            ..self.clone()
        };
        let last = Self { mul: vec![1.0; self.mul.len()], add: self.zero_points.clone(), ..self.clone() };
        [first.narrow(), last.narrow()]
    }

    /// Takes a channel's numbers from another one; false if that does something else.
    pub(super) fn take(&mut self, other: &Self, channel: usize) -> bool {
        let parts = |wide: &Self| (wide.low, wide.high, wide.round, wide.rescale, wide.zero_points.len());
        if parts(self) != parts(other)
            || self.function != other.function
            || channel >= self.mul.len().min(other.mul.len())
        {
            return false;
        }
        (self.mul[channel], self.add[channel]) = (other.mul[channel], other.add[channel]);
        if let (Some(zero), Some(of)) = (self.zero_points.get_mut(channel), other.zero_points.get(channel)) {
            *zero = *of;
        }
        true
    }

    /// With its parameters rounded to f32.
    pub(super) fn narrow(&self) -> Affine {
        let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        Affine {
            mul: narrow(&self.mul),
            add: narrow(&self.add),
            function: self.function.clone(),
            low: self.low as f32,
            high: self.high as f32,
            round: self.round,
        }
    }

    pub(super) fn bound(&mut self, low: f64, high: f64) {
        // The old bounds are clamped to the new ones.
        (self.low, self.high) = (self.low.clamp(low, high), self.high.clamp(low, high));
    }
}

/// `DequantizeLinear` of whole numbers, optional bounds, `QuantizeLinear`; scales and zero points are the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rescale {
    /// Scale and zero point of the input, and its least and greatest value.
    pub(super) from: (f32, f32),
    pub(super) range: (i32, i32),
    /// Bounds in between.
    pub(super) bounds: (f32, f32),
    /// Scale and zero point of the result.
    pub(super) to: (f32, f32),
}

impl Rescale {
    /// The result of `value`, before it is bounded: each operator rounds to f32, and the zero point is added after rounding.
    fn exact(&self, value: f32) -> f32 {
        let real = ((value - self.from.1) * self.from.0).max(self.bounds.0).min(self.bounds.1);
        (real / self.to.0).round_ties_even() + self.to.1
    }

    /// The result of `value`, bounded as `wide` is.
    fn bounded(&self, value: f32, wide: &Wide) -> f32 {
        self.exact(value).max(wide.low as f32).min(wide.high as f32)
    }

    fn values(&self) -> impl Iterator<Item = f32> {
        (self.range.0..=self.range.1).map(|value| value as f32)
    }

    /// Whether `affines` give every value's result.
    fn is_same(&self, affines: &[Affine], wide: &Wide) -> bool {
        let apply = |value: f32| affines.iter().fold(value, |value, affine| affine.apply(0, value));
        self.values().all(|value| apply(value) == self.bounded(value, wide))
    }

    /// Affines that give the result of every value: a single one if there is one, else several that round in between, else a
    /// table. `wide` is what this describes.
    pub(super) fn affines(&self, wide: &Wide) -> Vec<Affine> {
        let candidates = self.single(wide).chain(self.several(wide));
        candidates.into_iter().find(|affines| self.is_same(affines, wide)).unwrap_or_else(|| vec![self.table(wide)])
    }

    /// One affine: the factor's neighbours and summands beside it, the nearest first.
    fn single<'a>(&self, wide: &'a Wide) -> impl Iterator<Item = Vec<Affine>> + use<'a> {
        let plain = wide.narrow();
        let factors = |mul: f32| [mul, mul.next_down(), mul.next_up()];
        let beside = move |number: usize| {
            let (nudge, factor) = (NUDGES[number / 3], number % 3);
            let mul = plain.mul.iter().map(|&mul| factors(mul)[factor]).collect();
            let add = plain.add.iter().map(|add| add + nudge).collect();
            vec![Affine { mul, add, ..plain.clone() }]
        };
        (0..3 * NUDGES.len()).map(beside)
    }

    /// Two to four affines, which compute in the order of the file's operators.
    fn several(&self, wide: &Wide) -> Vec<Vec<Affine>> {
        let all = |number: f32| vec![f64::from(number); wide.mul.len()];
        let affine = |mul: f32, add: f32| Wide { mul: all(mul), add: all(add), ..Wide::identity(0) };
        let centre = affine(1.0, -self.from.1).narrow();
        let [_, last] = wide.rounded_first();
        let rounded = |mul: f32| Wide { round: true, ..affine(mul, 0.0) }.narrow();
        let bounded = |mul: f32, by: f32| {
            let (low, high) = self.bounds;
            Wide { low: f64::from(low * by), high: f64::from(high * by), ..affine(mul, 0.0) }
        };
        let ratio = self.from.0 / self.to.0;
        let ratios = [ratio, ratio.next_down(), ratio.next_up()];
        let three = ratios.map(|ratio| {
            let middle = Wide { round: true, ..bounded(ratio, 1.0 / self.to.0) };
            // Bounds are quantized values, or the last affine has them.
            let whole = |bound: f64| bound.is_infinite() || bound.fract() == 0.0;
            let middle = if whole(middle.low) && whole(middle.high) { middle.narrow() } else { rounded(ratio) };
            vec![centre.clone(), middle, last.clone()]
        });
        let four = vec![centre.clone(), bounded(self.from.0, 1.0).narrow(), rounded(1.0 / self.to.0), last.clone()];
        std::iter::once(wide.rounded_first().to_vec()).chain(three).chain(std::iter::once(four)).collect()
    }

    /// The results themselves. Slower than affines, and rarely needed: where the scales' ratio is one of small numbers and no f32
    /// is near it enough.
    fn table(&self, wide: &Wide) -> Affine {
        let values = self.values().map(|value| self.bounded(value, wide)).collect();
        Affine {
            mul: vec![1.0; wide.mul.len()],
            add: vec![0.0; wide.mul.len()],
            function: Function::Table(Table { first: self.range.0, values }),
            low: wide.low as f32,
            high: wide.high as f32,
            round: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chain;
    use super::*;
    use proptest::prelude::*;

    /// The affines of `QuantizeLinear` of whole numbers, `DequantizeLinear`, `QuantizeLinear`, all to u8.
    fn rescaling(from: (f32, i32), to: (f32, i32)) -> Vec<Affine> {
        let mut chain = Chain::new(1);
        chain.quantize(&[1.0], &[0.0], 0.0, 255.0);
        let wide = |(scale, zero): (f32, i32)| ([f64::from(scale)], [f64::from(zero)]);
        let (scale, zero) = wide(from);
        chain.dequantize(&scale, &zero);
        let (scale, zero) = wide(to);
        chain.quantize(&scale, &zero, 0.0, 255.0);
        chain.affines(0)
    }

    fn differences(from: (f32, i32), to: (f32, i32)) -> usize {
        let affines = rescaling(from, to);
        let right = |q: i32| (((q - from.1) as f32 * from.0 / to.0).round_ties_even() + to.1 as f32).clamp(0.0, 255.0);
        let found = |q: i32| affines.iter().fold(q as f32, |value, affine| affine.apply(0, value));
        (0..=255).filter(|&q| found(q) != right(q)).count()
    }

    proptest! {
        /// Scales are any, or a small multiple of each other: then many values are ties but for the roundings of f32.
        #[test]
        fn rescaling_gives_onnx_values(
            scale in 1e-3f32..1.0, parts in (1u8..=12, 1u8..=12), wild in 0.1f32..10.0, exact in any::<bool>(), zeros in (0..=255, 0..=255),
        ) {
            let ratio = if exact { f32::from(parts.0) / f32::from(parts.1) } else { wild };
            prop_assert_eq!(differences((scale, zeros.0), (scale * ratio, zeros.1)), 0);
        }
    }

    /// Tables cost time: unrelated scales need none, and are one affine.
    #[test]
    fn unrelated_scales_are_one_affine() {
        let scale = |seed: u32| 0.01 + 0.2 * (seed.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let single = (0..500).filter(|&seed| {
            let affines = rescaling((scale(2 * seed), 128), (scale(2 * seed + 1), (seed % 256) as i32));
            affines.len() == 2 && affines[1].function.is_identity()
        });
        let single = single.count();
        assert!(single >= 495, "{single} of 500");
    }
}
