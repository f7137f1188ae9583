//! From one quantization to another with nothing in between: as ONNX computes it, value by value.

use super::wide::Wide;
use crate::quant::Affine;

/// Values that may come out on the other side of a tie before more than one affine is taken for it. Scales without a common measure
/// have one such value now and then; where one is 0.9 or half of the other, every tenth or second value is half-way.
const FEW: usize = 2;

/// `DequantizeLinear` of whole numbers, bounds perhaps, `QuantizeLinear`; all with one number for all channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rescale {
    /// Scale and zero point of what is read, and the least and greatest of it.
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

    /// For how many values `affines` give something else.
    fn wrong(&self, affines: &[Affine], wide: &Wide) -> usize {
        let bound = |value: f32| value.max(wide.low as f32).min(wide.high as f32);
        let wrong = |value: &f32| {
            let found = affines.iter().fold(*value, |value, affine| affine.apply(0, value));
            found != bound(self.exact(*value))
        };
        (self.range.0..=self.range.1).map(|value| value as f32).filter(wrong).count()
    }

    /// The affines of `wide`, which this is: one, if that gives the same but for few values; else the fewest that are nearest.
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
            // Bounds lie on one of the values, or the last affine has them.
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
