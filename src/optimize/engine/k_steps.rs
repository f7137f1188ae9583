//! The K dimension of an int8 convolution: groups of four channels of one tap, with their weights.

use super::convolve::Int8Weights;
use super::gather::is_signed;
use super::input::ConvolutionInput;
use super::lowering::Lowering;
use super::segments::{Segment, read_lanes};
use crate::error::Result;
use crate::kernels::Packed;
use crate::model::fused::{Layer, Window};

/// Where each step along K reads, and its weights, `[steps][outputs][4]`.
struct KSteps {
    outputs: usize,
    offsets: Vec<u32>,
    weights: Vec<i8>,
}

impl KSteps {
    /// Adds a step. Weights beyond those of kernels, -127 to 127, are spread over several steps at the same place.
    fn push(&mut self, offset: usize, weight: impl Fn(usize, usize) -> i32) {
        let mut left: Vec<i32> = (0..4 * self.outputs).map(|i| weight(i / 4, i % 4)).collect();
        loop {
            self.offsets.push(offset as u32);
            for left in &mut left {
                let part = (*left).clamp(-127, 127);
                self.weights.push(part as i8);
                *left -= part;
            }
            if left.iter().all(|left| *left == 0) {
                return;
            }
        }
    }

    /// The weights, `[outputs][steps][4]`.
    fn weights(&self) -> Vec<i8> {
        let (steps, outputs) = (self.offsets.len(), self.outputs);
        let four = |output: usize, step: usize| &self.weights[4 * (step * outputs + output)..][..4];
        (0..outputs).flat_map(|output| (0..steps).flat_map(move |step| four(output, step))).copied().collect()
    }
}

/// Packs all products of a convolution, and what the accumulators start from so that quantized values count from their zero point.
///
/// # Errors
/// None for a network that was checked.
pub(super) fn pack(
    lowering: Lowering<'_>,
    layer: &Layer,
    window: &Window,
    weights: Int8Weights<'_>,
    input: &ConvolutionInput<u8>,
) -> Result<Packed> {
    let Int8Weights { values, zero_points, input_zero_point } = weights;
    let lanes = read_lanes(layer, lowering.segments);
    let outputs = layer.output.channels;
    let padded = outputs.next_multiple_of(4);
    let mut steps = KSteps { outputs: padded, offsets: Vec::new(), weights: Vec::new() };
    let mut init = vec![0i32; padded];
    let mut first = 0;
    for read in &layer.reads {
        let Segment { planes, .. } = lowering.segments[read.segment];
        // Quantized values reach the kernels as u8: signed ones are 128 too high.
        let high = input_zero_point + if is_signed(read, lowering.segments) { 128 } else { 0 };
        for plane in first..first + planes {
            let channels = [0, 1, 2, 3].map(|i| lanes.iter().position(|&lane| lane == 4 * plane + i));
            for tap in 0..window.len() {
                let weight = |output: usize, i: usize| {
                    let Some(channel) = channels[i].filter(|_| output < outputs) else { return 0 };
                    let value = i32::from(values[(output * lanes.len() + channel) * window.len() + tap]);
                    value - zero_points.get(output).map_or(0, |&zero_point| i32::from(zero_point))
                };
                steps.push(input.offset([tap / window.kernel[1], tap % window.kernel[1]], plane), weight);
                for (output, init) in init.iter_mut().enumerate() {
                    *init -= high * (0..4).map(|i| weight(output, i)).sum::<i32>();
                }
            }
        }
        first += planes;
    }
    lowering.kernels.pack(&steps.weights(), &init, &steps.offsets)
}
