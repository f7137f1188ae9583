//! The operations on a value between two convolutions, as one affine function for each channel.

use super::{Function, round};

/// `bound(round(function(fma(value, mul, add))))` with a `mul` and `add` for each channel.
///
/// Norms, ReLU, `DequantizeLinear`, `QuantizeLinear` and the scales of a convolution's accumulators all have this form, and so
/// has any sequence of them without a rounding in between. The bounds of quantized values are whole numbers, so rounding and
/// bounding commute.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Factor of each channel.
    pub mul: Vec<f32>,
    /// Summand of each channel.
    pub add: Vec<f32>,
    /// Applied to the sum. ReLU is not a function here but a bound.
    pub function: Function,
    /// The least result; negative infinity without a bound.
    pub low: f32,
    /// The greatest result; infinity without a bound.
    pub high: f32,
    /// Whether the result is rounded to a whole number: a quantized value.
    pub round: bool,
}

impl Affine {
    /// Products and sums alone: no function, no bounds, no rounding.
    pub fn linear(mul: Vec<f32>, add: Vec<f32>) -> Self {
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        Self { mul, add, function: Function::Identity, low, high, round: false }
    }

    /// Multiplies all of `channels` channels by one factor.
    pub fn factor(factor: f32, channels: usize) -> Self {
        Self::linear(vec![factor; channels], vec![0.0; channels])
    }

    /// The result for one value; for NaN, `low`.
    pub fn apply(&self, channel: usize, value: f32) -> f32 {
        let value = self.function.apply(value.mul_add(self.mul[channel], self.add[channel]));
        let value = if value > self.low { value.min(self.high) } else { self.low };
        if self.round { round(value) } else { value }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mul.len()
    }

    /// Whether it does nothing but bound values, such as ReLU.
    pub fn only_bounds(&self) -> bool {
        let linear = self.mul.iter().all(|&mul| mul == 1.0) && self.add.iter().all(|&add| add == 0.0);
        linear && self.function.is_identity() && !self.round
    }

    /// Whether results are quantized values that fit 8 bits, signed or unsigned.
    pub fn gives_bytes(&self) -> bool {
        self.round && (self.low >= -128.0 && self.high <= 127.0 || self.low >= 0.0 && self.high <= 255.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn qvalue(mul: f32, add: f32) -> Affine {
        Affine { mul: vec![mul], add: vec![add], function: Function::Identity, low: -128.0, high: 127.0, round: true }
    }

    proptest! {
        /// A product of two f32 and its sum with a third are exact in f64, unless the terms differ greatly in magnitude.
        #[test]
        fn requantizing_is_rounding_the_exact_value(acc in -20_000_000i32..20_000_000, mul in 1e-6f32..1e-3, add in -200f32..200.0) {
            let exact = f64::from(acc as f32) * f64::from(mul) + f64::from(add);
            let expected = (exact as f32).round_ties_even().clamp(-128.0, 127.0);
            prop_assert_eq!(qvalue(mul, add).apply(0, acc as f32), expected);
        }

        #[test]
        fn bounds_and_rounding_commute(value in -1e6f32..1e6, mul in -2f32..2.0, add in -300f32..300.0) {
            let bounded_last = round(value.mul_add(mul, add)).clamp(-128.0, 127.0);
            prop_assert_eq!(qvalue(mul, add).apply(0, value), bounded_last);
        }
    }

    #[test]
    fn nan_and_infinity_are_bounded() {
        let affine = qvalue(1.0, 0.0);
        assert_eq!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|v| affine.apply(0, v)), [-128.0, 127.0, -128.0]);
    }

    #[test]
    fn what_fits_a_byte() {
        assert!(qvalue(1.0, 0.0).gives_bytes());
        assert!(Affine { low: 0.0, high: 255.0, ..qvalue(1.0, 0.0) }.gives_bytes());
        assert!(!Affine { low: -1.0, high: 255.0, ..qvalue(1.0, 0.0) }.gives_bytes());
        assert!(!Affine { round: false, ..qvalue(1.0, 0.0) }.gives_bytes());
    }
}
