//! An affine of a chain in f64, and its rounding to f32 such that results equal ONNX's.

use crate::quant::{Affine, Function};

/// Only factors that are multiples of 1 / `PARTS` and have at most `DIGITS` significant bits make many ties.
const PARTS: f64 = 4096.0;
const DIGITS: u32 = 12;

/// f32 represents all whole numbers up to this one.
const EXACT: f64 = (1 << 24) as f64;

/// Number of values that may be rounded the other way at a tie before a rescaling is split into more affines. Unrelated scales
/// have such a value now and then; where one is 0.9 or half of the other, every tenth or second value is a tie.
const FEW: usize = 2;

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

    /// The number of values for which `affines` give a different result.
    fn wrong(&self, affines: &[Affine], wide: &Wide) -> usize {
        let bound = |value: f32| value.max(wide.low as f32).min(wide.high as f32);
        let wrong = |value: &f32| {
            let found = affines.iter().fold(*value, |value, affine| affine.apply(0, value));
            found != bound(self.exact(*value))
        };
        (self.range.0..=self.range.1).map(|value| value as f32).filter(wrong).count()
    }

    /// The affines of `wide`, which this describes: a single one, if at most [`FEW`] values differ; else the shortest of those
    /// with the fewest differences.
    pub(super) fn affines(&self, wide: &Wide) -> Vec<Affine> {
        let plain = vec![wide.narrow()];
        let mut best = (self.wrong(&plain, wide), plain);
        if best.0 <= FEW {
            return best.1;
        }
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
        let candidates = std::iter::once(wide.rounded_first().to_vec()).chain(three).chain(std::iter::once(four));
        for affines in candidates {
            let wrong = self.wrong(&affines, wide);
            if wrong < best.0 {
                best = (wrong, affines);
            }
        }
        best.1
    }
}
