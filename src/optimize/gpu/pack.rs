//! Weights and affines in the form that the kernels take.

use half::f16;

use crate::kernels::cuda::{AffineParams, NONE};
use crate::quant;

/// Weights `[outputs, channels, taps]` as `dense.cu` reads them: `[k-steps][outputs / 8][8 outputs][4 groups][4 channels]`. A k-step is
/// four groups of four channels; the groups of the first tap come first. `lanes` gives the channel of each value of a tap.
pub(super) fn pack(values: &[f32], taps: usize, lanes: &[Option<usize>], outputs: usize) -> Vec<f16> {
    let channels = lanes.iter().flatten().count();
    let groups = lanes.len() / 4;
    let weight = |output: usize, place: usize, i: usize| {
        let (tap, group) = (place / groups, place % groups);
        match lanes.get(4 * group + i) {
            Some(&Some(channel)) if output < outputs && tap < taps => {
                values[(output * channels + channel) * taps + tap]
            }
            _ => 0.0,
        }
    };
    let mut packed = Vec::new();
    for k_step in 0..(taps * groups).div_ceil(4) {
        for column in 0..outputs.next_multiple_of(4).div_ceil(8) {
            for lane in 0..32 {
                let (output, place) = (8 * column + lane / 4, 4 * k_step + lane % 4);
                packed.extend((0..4).map(|i| f16::from_f32(weight(output, place, i))));
            }
        }
    }
    packed
}

/// Factors and summands of all affines.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) values: Vec<f32>,
}

impl Params {
    pub(super) const NO_STEP: AffineParams =
        AffineParams { first: NONE, count: 0, low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// At most one affine, padded to a multiple of four channels by `filled`.
    pub(super) fn affine(
        &mut self,
        affines: &[quant::Affine],
        filled: impl Fn(&quant::Affine) -> quant::Affine,
    ) -> Result<AffineParams, &'static str> {
        match affines {
            [] => Ok(Self::NO_STEP),
            [affine] if affine.round => Err("values are rounded to quantized values"),
            [affine] if !affine.function.is_identity() => Err("a function other than ReLU is applied"),
            [affine] => {
                let quant::Affine { mul, add, low, high, .. } = filled(affine);
                Ok(self.push(&mul, &add, low, high))
            }
            _ => Err("more than one affine follows another"),
        }
    }

    /// The affine of a convolution's sums: its bias, then its epilogue.
    pub(super) fn biased(
        &mut self,
        bias: &[f32],
        affines: &[quant::Affine],
        channels: usize,
    ) -> Result<AffineParams, &'static str> {
        let (mut mul, mut add) = (vec![1.0; bias.len()], bias.to_vec());
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        match affines {
            [] => {}
            [affine] if affine.round => return Err("values are rounded to quantized values"),
            [affine] if !affine.function.is_identity() => return Err("a function other than ReLU is applied"),
            [affine] => {
                add.iter_mut().enumerate().for_each(|(i, add)| *add = *add * affine.mul[i] + affine.add[i]);
                mul.clone_from(&affine.mul);
                (low, high) = (affine.low, affine.high);
            }
            _ => return Err("more than one affine follows another"),
        }
        mul.resize(channels, 0.0);
        add.resize(channels, 0.0);
        Ok(self.push(&mul, &add, low, high))
    }

    fn push(&mut self, mul: &[f32], add: &[f32], low: f32, high: f32) -> AffineParams {
        let (first, count) = (self.values.len() as u32, mul.len() as u32);
        self.values.extend_from_slice(mul);
        self.values.extend_from_slice(add);
        AffineParams { first, count, low, high }
    }
}
