//! Weights and steps as the kernels take them.

use half::f16;

use crate::kernels::cuda::{NONE, Step};
use crate::quant;

/// Weights `[outputs, channels, taps]` as `dense.cu` reads them: `[steps][outputs / 8][8 outputs][4 groups][4 channels]`. A step is four
/// groups of four channels; the groups of the first tap come first. `lanes` tells which channel each of a tap's is.
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
    for step in 0..(taps * groups).div_ceil(4) {
        for column in 0..outputs.next_multiple_of(4).div_ceil(8) {
            for lane in 0..32 {
                let (output, place) = (8 * column + lane / 4, 4 * step + lane % 4);
                packed.extend((0..4).map(|i| f16::from_f32(weight(output, place, i))));
            }
        }
    }
    packed
}

/// Factors and summands of all steps.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) values: Vec<f32>,
}

impl Params {
    pub(super) const NO_STEP: Step = Step { first: NONE, count: 0, low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// At most one step, made to have a multiple of four channels by `filled`.
    pub(super) fn step(
        &mut self,
        steps: &[quant::Step],
        filled: impl Fn(&quant::Step) -> quant::Step,
    ) -> Result<Step, &'static str> {
        match steps {
            [] => Ok(Self::NO_STEP),
            [step] if step.round => Err("values are rounded to codes"),
            [step] => {
                let quant::Step { mul, add, low, high, .. } = filled(step);
                Ok(self.push(&mul, &add, low, high))
            }
            _ => Err("more than one step follows another"),
        }
    }

    /// The step of a convolution's sums: its bias, and what comes then.
    pub(super) fn biased(
        &mut self,
        bias: &[f32],
        steps: &[quant::Step],
        channels: usize,
    ) -> Result<Step, &'static str> {
        let (mut mul, mut add) = (vec![1.0; bias.len()], bias.to_vec());
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        match steps {
            [] => {}
            [step] if step.round => return Err("values are rounded to codes"),
            [step] => {
                add.iter_mut().enumerate().for_each(|(i, add)| *add = *add * step.mul[i] + step.add[i]);
                mul.clone_from(&step.mul);
                (low, high) = (step.low, step.high);
            }
            _ => return Err("more than one step follows another"),
        }
        mul.resize(channels, 0.0);
        add.resize(channels, 0.0);
        Ok(self.push(&mul, &add, low, high))
    }

    fn push(&mut self, mul: &[f32], add: &[f32], low: f32, high: f32) -> Step {
        let (first, count) = (self.values.len() as u32, mul.len() as u32);
        self.values.extend_from_slice(mul);
        self.values.extend_from_slice(add);
        Step { first, count, low, high }
    }
}
