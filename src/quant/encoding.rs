//! Quantizing and dequantizing, and the shift between u8 and s8.

/// The nearest whole number, ties to even.
pub fn round(value: f32) -> f32 {
    value.round_ties_even()
}

/// How quantized values represent f32 values: `real = scale * (qvalue - zero_point)`, with quantized values from `low` to
/// `high` (ONNX `QuantizeLinear` and `DequantizeLinear`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// The difference between the reals of neighbouring quantized values; above 0.
    pub scale: f32,
    /// The quantized value of 0.
    pub zero_point: i32,
    /// The least quantized value.
    pub low: i32,
    /// The greatest quantized value.
    pub high: i32,
}

impl Encoding {
    /// u8 with zero point 0, for values that are never negative: `greatest` becomes 255.
    pub fn unsigned(greatest: f32) -> Self {
        Self { scale: usable(greatest / 255.0), zero_point: 0, low: 0, high: 255 }
    }

    /// u8 with a zero point, for `least` (at most 0) to `greatest` (at least 0).
    pub fn asymmetric(least: f32, greatest: f32) -> Self {
        let (least, greatest) = (least.min(0.0), greatest.max(0.0));
        let scale = usable((greatest - least) / 255.0);
        Self { scale, zero_point: round((-least / scale).clamp(0.0, 255.0)) as i32, low: 0, high: 255 }
    }

    /// s8 with zero point 0: `magnitude` becomes 127.
    pub fn signed(magnitude: f32) -> Self {
        Self { scale: usable(magnitude / 127.0), zero_point: 0, low: -128, high: 127 }
    }

    /// The quantized value of `real`, clamped to the range; for NaN the least.
    pub fn quantize(&self, real: f32) -> i32 {
        let qvalue = round(real / self.scale) + self.zero_point as f32;
        if qvalue > self.low as f32 { qvalue.min(self.high as f32) as i32 } else { self.low }
    }

    /// The real that `qvalue` represents.
    pub fn dequantize(&self, qvalue: i32) -> f32 {
        self.scale * (qvalue - self.zero_point) as f32
    }

    /// `real` quantized and dequantized.
    pub fn through(&self, real: f32) -> f32 {
        self.dequantize(self.quantize(real))
    }
}

/// Scales must be above 0 and have a finite inverse: a tensor that is always 0 gets one too.
fn usable(scale: f32) -> f32 {
    if scale >= f32::MIN_POSITIVE && scale.is_finite() { scale } else { 1.0 }
}

/// Greatest magnitude of a quantized weight. -128 is left out, so that weights are symmetric.
pub const WEIGHT_MAX: i8 = 127;

/// The quantized values of one output channel's weights, and their scale.
pub fn quantize_weights(channel: &[f32]) -> (Vec<i8>, f32) {
    let magnitude = channel.iter().fold(0.0, |most: f32, w| most.max(w.abs()));
    let encoding = Encoding { low: -i32::from(WEIGHT_MAX), ..Encoding::signed(magnitude) };
    (channel.iter().map(|&w| encoding.quantize(w) as i8).collect(), encoding.scale)
}

/// A quantized u8 as s8, 128 lower, for instructions that multiply s8 by s8. `sum(x * w)` is then
/// `sum(shift(x) * w) + shift_correction(w)`; padding must be shifted too.
pub fn shift(qvalue: u8) -> i8 {
    (qvalue ^ 0x80) as i8
}

/// The difference between `sum(x * w)` and `sum(shift(x) * w)`.
pub fn shift_correction(weights: &[i8]) -> i32 {
    128 * weights.iter().map(|&w| i32::from(w)).sum::<i32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against exact arithmetic: f64 holds the quotient of two f32 precisely enough to tell which quantized value is
        /// nearest, except at ties within f32's rounding.
        #[test]
        fn quantized_values_are_the_nearest(real in -1e4f32..1e4, scale in 1e-4f32..10.0, zero_point in 0i32..=255) {
            let encoding = Encoding { scale, zero_point, low: 0, high: 255 };
            let exact = f64::from(real) / f64::from(scale) + f64::from(zero_point);
            let qvalue = f64::from(encoding.quantize(real));
            let bounded = exact.clamp(0.0, 255.0);
            prop_assert!((qvalue - bounded).abs() <= 0.5 + exact.abs() * 1e-6, "{exact} became {qvalue}");
        }

        #[test]
        fn codes_survive_the_trip(qvalue in -128i32..=127, scale in 1e-6f32..1e3, zero_point in -128i32..=127) {
            let encoding = Encoding { scale, zero_point, low: -128, high: 127 };
            prop_assert_eq!(encoding.quantize(encoding.dequantize(qvalue)), qvalue);
        }

        #[test]
        fn the_trip_costs_half_a_step_inside_the_range(real in -3.0f32..5.0) {
            let encoding = Encoding::asymmetric(-3.0, 5.0);
            // The zero point is rounded, which moves the ends by half a step.
            prop_assert!((encoding.through(real) - real).abs() <= encoding.scale * 1.001);
            prop_assert_eq!(encoding.through(0.0), 0.0);
        }

        #[test]
        fn shifted_products_are_corrected(pairs in prop::collection::vec((any::<u8>(), -127i8..=127), 0..300)) {
            let (x, w): (Vec<u8>, Vec<i8>) = pairs.into_iter().unzip();
            let exact: i32 = x.iter().zip(&w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
            let shifted: i32 = x.iter().zip(&w).map(|(&x, &w)| i32::from(shift(x)) * i32::from(w)).sum();
            prop_assert_eq!(shifted + shift_correction(&w), exact);
        }

        #[test]
        fn weights_are_within_half_a_step(channel in prop::collection::vec(-2.0f32..2.0, 1..100)) {
            let (qvalues, scale) = quantize_weights(&channel);
            for (qvalue, weight) in qvalues.iter().zip(&channel) {
                prop_assert!((f32::from(*qvalue) * scale - weight).abs() <= 0.5001 * scale);
                prop_assert!(*qvalue >= -WEIGHT_MAX);
            }
        }
    }

    #[test]
    fn ties_go_to_even() {
        let halves = Encoding { scale: 2.0, zero_point: 0, low: -128, high: 127 };
        let qvalues: Vec<i32> = [1.0, 3.0, 5.0, -1.0, -3.0, -5.0].map(|real| halves.quantize(real)).into();
        assert_eq!(qvalues, [0, 2, 2, 0, -2, -2]);
    }

    #[test]
    fn beyond_the_ends_is_the_end() {
        let encoding = Encoding::signed(1.0);
        let qvalues = [1e30, f32::INFINITY, -1e30, f32::NEG_INFINITY, f32::NAN].map(|real| encoding.quantize(real));
        assert_eq!(qvalues, [127, 127, -128, -128, -128]);
    }

    #[test]
    fn nothing_but_zero_is_encoded_too() {
        for encoding in [Encoding::unsigned(0.0), Encoding::signed(0.0), Encoding::asymmetric(0.0, 0.0)] {
            assert_eq!((encoding.quantize(0.0), encoding.through(0.0)), (encoding.zero_point, 0.0));
        }
        assert_eq!(quantize_weights(&[0.0; 3]), (vec![0; 3], 1.0));
    }
}
