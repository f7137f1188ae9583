//! Sequences of affine functions, bounds and roundings, merged as far as that changes no result.

use super::wide::{Rescale, Wide};
use crate::quant::{Affine, Encoding};

/// Tolerance for recognizing whole numbers: the file's scales are rounded to f32.
const NEARLY: f64 = 1e-3;

/// The operations on the values of some channels, in the order they are pushed. Parameters are f64, so that merging loses
/// nothing; [`Chain::affines`] rounds them once.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    channels: usize,
    affines: Vec<Wide>,
    /// Whether the input is known to be whole numbers: quantized values, or sums of them.
    whole: bool,
}

impl Chain {
    /// The identity on `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self { channels, affines: Vec::new(), whole: false }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// `value * mul + add`, with one factor and summand for each channel.
    ///
    /// # Panics
    /// If the numbers of factors, summands and channels differ.
    pub fn affine(&mut self, mul: &[f64], add: &[f64]) {
        assert_eq!((mul.len(), add.len()), (self.channels, self.channels), "one number a channel");
        let next = Wide { mul: mul.into(), add: add.into(), ..Wide::identity(0) };
        let uniform = next.uniform().filter(|(mul, _)| *mul > 0.0);
        match self.affines.last_mut() {
            Some(last) if !last.round && last.function.is_identity() && (!last.is_bounded() || uniform.is_some()) => {
                for (channel, (m, a)) in mul.iter().zip(add).enumerate() {
                    last.mul[channel] *= m;
                    last.add[channel] = last.add[channel] * m + a;
                }
                if let Some((mul, add)) = uniform {
                    (last.low, last.high) = (last.low * mul + add, last.high * mul + add);
                }
            }
            _ => self.affines.push(next),
        }
    }

    /// Bounds on every value; ReLU is `bound(0.0, f64::INFINITY)`.
    pub fn bound(&mut self, low: f64, high: f64) {
        let whole = |bound: f64| bound.is_infinite() || bound.fract() == 0.0;
        match self.affines.last_mut() {
            Some(last) if !last.round || (whole(low) && whole(high)) => last.bound(low, high),
            _ => self.affines.push(Wide { low, high, ..Wide::identity(self.channels) }),
        }
    }

    /// ONNX `QuantizeLinear`: quantized values from `low` to `high`; one scale for each channel.
    pub fn quantize(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.encode(scale, zero_point, (low, high), true);
    }

    /// As [`quantize`](Self::quantize) except at ties: the zero point is added before rounding.
    pub fn quantize_with_zero_point(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.encode(scale, zero_point, (low, high), false);
    }

    fn encode(&mut self, scale: &[f64], zero_point: &[f64], (low, high): (f64, f64), rounds_first: bool) {
        let inverse: Vec<f64> = scale.iter().map(|scale| 1.0 / scale).collect();
        let rescale = self.rescale(scale, zero_point);
        self.affine(&inverse, zero_point);
        let last = self.affines.last_mut().expect("an affine function was pushed");
        last.bound(low, high);
        last.round = true;
        // What was bounded before is bounded to the quantized value of that bound.
        let zero = if rounds_first { zero_point[0] } else { 0.0 };
        let nearest = |bound: f64| f64::from((bound - zero) as f32).round_ties_even() + zero;
        (last.low, last.high) = (nearest(last.low), nearest(last.high));
        if rounds_first {
            last.zero_points = zero_point.into();
            last.rescale = rescale;
        }
        self.merge_shift();
    }

    /// The next quantizer as a rescaling, if the values were only dequantized and perhaps bounded.
    fn rescale(&self, scale: &[f64], zero_point: &[f64]) -> Option<Rescale> {
        let (last, before) = self.affines.split_last()?;
        let range = match before.last() {
            Some(before) if before.round && before.low >= -256.0 && before.high <= 256.0 => {
                (before.low as i32, before.high as i32)
            }
            _ => return None,
        };
        let (mul, add) = last.uniform().filter(|_| !last.round && last.function.is_identity())?;
        let zeros = last.zeros();
        let zero = if add == 0.0 { 0.0 } else { *zeros?.first()? };
        let alike = |numbers: &[f64]| numbers.iter().all(|number| *number == numbers[0]).then(|| numbers[0] as f32);
        let exact = f64::from(mul as f32) == mul && mul > 0.0;
        exact.then_some(Rescale {
            from: (mul as f32, zero as f32),
            range,
            bounds: (last.low as f32, last.high as f32),
            to: (alike(scale)?, alike(zero_point)?),
        })
    }

    /// ONNX `DequantizeLinear`.
    pub fn dequantize(&mut self, scale: &[f64], zero_point: &[f64]) {
        let add: Vec<f64> = scale.iter().zip(zero_point).map(|(scale, zero)| -scale * zero).collect();
        self.decode(scale, &add);
    }

    /// [`affine`](Self::affine) on whole numbers: quantized values, or sums of them.
    ///
    /// # Panics
    /// As `affine`.
    pub fn decode(&mut self, mul: &[f64], add: &[f64]) {
        self.whole |= self.affines.is_empty();
        self.affine(mul, add);
    }

    /// Merges a rounding affine that only shifts the quantized values of the one before it.
    fn merge_shift(&mut self) {
        let [.., before, last] = self.affines.as_slice() else { return };
        let Some((mul, add)) = last.uniform() else { return };
        if !before.round
            || !last.round
            || !last.function.is_identity()
            || (mul - 1.0).abs() > 1e-6
            || (add - add.round()).abs() > NEARLY
        {
            return;
        }
        let last = self.affines.pop().expect("there are two");
        self.shift(add.round());
        self.affines.last_mut().expect("there is one").bound(last.low, last.high);
    }

    /// Shifts the quantized values of the last affine.
    fn shift(&mut self, by: f64) {
        if let Some(last) = self.affines.last_mut() {
            last.add.iter_mut().chain(&mut last.zero_points).for_each(|add| *add += by);
            (last.low, last.high) = (last.low + by, last.high + by);
            if let Some(rescale) = &mut last.rescale {
                rescale.to.1 += by as f32;
            }
        }
    }

    /// If the chain ends in dequantizing with one encoding: the chain up to the quantized values, and the encoding.
    pub fn qvalues(&self) -> Option<(Self, Encoding)> {
        let [.., before, last] = self.affines.as_slice() else { return None };
        let (scale, add) = last.uniform()?;
        let zero_point = -add / scale;
        let open = !last.round && last.function.is_identity();
        if !before.round || !open || scale <= 0.0 || (zero_point - zero_point.round()).abs() > NEARLY {
            return None;
        }
        let zero_point = zero_point.round();
        // A bound on the dequantized value (ReLU behind the dequantizer) is one on the quantized value.
        let bound = |real: f64| if real.is_infinite() { real } else { real / scale + zero_point };
        let (low, high) = (bound(last.low), bound(last.high));
        let whole = |qvalue: f64| qvalue.is_infinite() || (qvalue - qvalue.round()).abs() < NEARLY;
        if !whole(low) || !whole(high) {
            return None;
        }
        let affines = self.affines[..self.affines.len() - 1].to_vec();
        let mut qvalues = Self { channels: self.channels, affines, whole: self.whole };
        let affine = qvalues.affines.last_mut().expect("there is one");
        affine.bound(low.round(), high.round());
        let (low, high) = (affine.low.ceil() as i32, affine.high.floor() as i32);
        Some((qvalues, Encoding { scale: scale as f32, zero_point: zero_point as i32, low, high }))
    }

    /// The same quantized values, each shifted by `by`.
    ///
    /// # Panics
    /// If the chain does not end in quantized values.
    #[must_use]
    pub fn shifted(mut self, by: i32) -> Self {
        assert!(self.affines.last().is_some_and(|last| last.round), "only quantized values can be moved");
        self.shift(f64::from(by));
        self
    }

    /// As [`shifted`](Self::shifted); `None` if the chain does not end in quantized values.
    pub fn moved(&self, by: i32) -> Option<Self> {
        self.affines.last().is_some_and(|last| last.round).then(|| self.clone().shifted(by))
    }

    /// This chain with the numbers of a channel from another one; `None` if that does something else.
    pub fn with_channel(&self, other: &Self, channel: usize) -> Option<Self> {
        let alike = (self.channels, self.whole, self.len()) == (other.channels, other.whole, other.len());
        let mut merged = self.clone();
        let taken = merged.affines.iter_mut().zip(&other.affines).all(|(wide, other)| wide.take(other, channel));
        (alike && taken).then_some(merged)
    }

    /// Number of leading affines that are the same as those of `other`.
    pub fn common(&self, other: &Self) -> usize {
        self.affines.iter().zip(&other.affines).take_while(|(a, b)| a == b).count()
    }

    /// Of the first `affines` affines, the number up to and including the last that gives quantized values.
    pub fn quantized_within(&self, affines: usize) -> usize {
        self.affines[..affines].iter().rposition(|affine| affine.round).map_or(0, |last| last + 1)
    }

    /// The affines from index `from` on.
    pub fn affines(&self, from: usize) -> Vec<Affine> {
        (from..self.len()).flat_map(|number| self.affines_of(number)).collect()
    }

    /// The first `count` affines.
    pub fn first_affines(&self, count: usize) -> Vec<Affine> {
        (0..count).flat_map(|number| self.affines_of(number)).collect()
    }

    /// Affine `number`, as two where a single one would differ from ONNX.
    ///
    /// Quantized values that are not rounded again become `(value - zero_point) * scale`, so that the zero point becomes
    /// exactly 0; `value * scale - zero_point * scale` would miss it by the product's rounding. Where ties are frequent, as
    /// with scales that are powers of two, values are rounded before the zero point is added.
    fn affines_of(&self, number: usize) -> Vec<Affine> {
        let wide = &self.affines[number];
        if let Some(rescale) = &wide.rescale {
            return rescale.affines(wide);
        }
        if wide.round {
            return if wide.ties_matter() { wide.rounded_first().into() } else { vec![wide.narrow()] };
        }
        let leaving = self.quantized_within(self.len());
        let is_whole = self.whole || leaving > 0;
        match wide.zeros().filter(|_| number == leaving && is_whole) {
            Some(zeros) => {
                let add = zeros.into_iter().map(|zero| -zero).collect();
                let first = Wide { add, ..Wide::identity(self.channels) };
                let last = Wide { add: vec![0.0; self.channels], ..wide.clone() };
                vec![first.narrow(), last.narrow()]
            }
            None => vec![wide.narrow()],
        }
    }

    /// Number of affines.
    pub fn len(&self) -> usize {
        self.affines.len()
    }

    /// Whether it is the identity.
    pub fn is_empty(&self) -> bool {
        self.affines.is_empty()
    }
}

mod functions;
#[cfg(test)]
mod tests;
