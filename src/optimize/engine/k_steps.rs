//! The K dimension of a convolution: k-steps of four channels of one tap, with their weights.

use std::ops::Range;

use super::input::ConvolutionInput;
use super::lowering::{Int8Weights, Lowering};
use super::pick::Pick;
use super::prologue::is_signed;
use super::segments::{read_lanes, read_planes};
use crate::error::Result;
use crate::kernels::{Packed, PackedF32, PackedWinograd, PackedWinogradInt8, WINOGRAD_POSITIONS, winograd_weights};
use crate::model::fused::{Layer, Read, Window};

/// Each k-step's offset, and its weights, `[steps][outputs][4]`.
struct KSteps {
    outputs: usize,
    offsets: Vec<u32>,
    weights: Vec<i8>,
}

impl KSteps {
    /// Adds a k-step. Weights beyond the kernels' range of -127 to 127 are split over several k-steps with the same offset.
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

/// The channels of a convolution that are packed together: whole groups, with outputs that fill planes.
struct Part {
    outputs: Range<usize>,
    inputs: Range<usize>,
}

/// The lanes of a layer's input channels, and which channels each output is computed from.
struct Channels {
    /// The channel in each lane, plane by plane.
    planes: Vec<[Option<usize>; 4]>,
    groups: usize,
    inputs: usize,
    outputs: usize,
}

impl Channels {
    fn new(lowering: Lowering<'_>, layer: &Layer, groups: usize, pick: Option<&Pick>) -> Self {
        let lanes = read_lanes(&layer.reads, lowering.segments);
        let planes: usize = layer.reads.iter().map(|read| read_planes(read, lowering.segments).len()).sum();
        let mut channels = vec![[None; 4]; planes];
        lanes.iter().enumerate().for_each(|(channel, &lane)| channels[lane / 4][lane % 4] = Some(channel));
        if let Some(pick) = pick {
            let picked = |lane: usize| channels[lane / 4][lane % 4];
            channels = pick.planes().iter().map(|lanes| lanes.map(picked)).collect();
        }
        Self { planes: channels, groups, inputs: lanes.len(), outputs: layer.output.channels }
    }

    /// The parts, as small as whole planes of results allow.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let (inputs, outputs) = (self.inputs / self.groups, self.outputs / self.groups);
        let together = if self.groups == 1 { 1 } else { (1..=4).find(|n| n * outputs % 4 == 0).unwrap_or(4) };
        (0..self.groups).step_by(together).map(move |first| {
            let end = self.groups.min(first + together);
            Part { outputs: first * outputs..end * outputs, inputs: first * inputs..end * inputs }
        })
    }

    /// The planes that a part reads.
    fn planes_of(&self, part: &Part) -> impl Iterator<Item = usize> {
        let inputs = part.inputs.clone();
        let read = move |lanes: &[Option<usize>; 4]| lanes.iter().flatten().any(|channel| inputs.contains(channel));
        self.planes.iter().enumerate().filter(move |(_, lanes)| read(lanes)).map(|(plane, _)| plane)
    }

    /// The index of an output's weight for a lane in `[out, in / groups, taps]`, without the tap; `None` if the output does not
    /// use that lane.
    fn weight(&self, output: usize, plane: usize, lane: usize) -> Option<usize> {
        let (inputs, outputs) = (self.inputs / self.groups, self.outputs / self.groups);
        let channel =
            self.planes[plane][lane].filter(|channel| output < self.outputs && channel / inputs == output / outputs)?;
        Some(output * inputs + channel % inputs)
    }
}

/// By how much the values of each plane are too high when they reach the kernels, as u8: by the zero point, and signed ones by 128.
fn highs(lowering: Lowering<'_>, layer: &Layer, input_zero_point: i32) -> Vec<i32> {
    let high = |read: &Read| input_zero_point + if is_signed(read, lowering.segments) { 128 } else { 0 };
    let of = |read| std::iter::repeat_n(high(read), read_planes(read, lowering.segments).len());
    layer.reads.iter().flat_map(of).collect()
}

/// Packs a convolution's weights, each part of the outputs by itself, with initial accumulators that subtract the zero point.
///
/// # Errors
/// Only if the network did not pass [`FusedNetwork::check`](crate::model::fused::FusedNetwork::check).
pub(super) fn pack_int8(
    lowering: Lowering<'_>,
    layer: &Layer,
    (window, groups): (&Window, usize),
    weights: Int8Weights<'_>,
    input: &ConvolutionInput<u8>,
) -> Result<Vec<Packed>> {
    let Int8Weights { values, zero_points, input_zero_point } = weights;
    let channels = Channels::new(lowering, layer, groups, input.pick());
    let highs = highs(lowering, layer, input_zero_point);
    let read_from = |plane: usize, lane: usize| match input.pick() {
        Some(pick) => pick.planes()[plane][lane] / 4,
        None => plane,
    };
    let pack = |part: Part| {
        let outputs = part.outputs.len().next_multiple_of(4);
        let mut steps = KSteps { outputs, offsets: Vec::new(), weights: Vec::new() };
        let mut init = vec![0i32; outputs];
        for plane in channels.planes_of(&part) {
            for tap in 0..window.len() {
                let weight = |output: usize, lane: usize| {
                    let output = part.outputs.start + output;
                    let Some(at) = channels.weight(output, plane, lane) else { return 0 };
                    let value = i32::from(values[at * window.len() + tap]);
                    value - zero_points.get(output).map_or(0, |&zero_point| i32::from(zero_point))
                };
                steps.push(input.offset([tap / window.kernel[1], tap % window.kernel[1]], plane), weight);
                for (output, init) in init.iter_mut().enumerate() {
                    *init -= (0..4).map(|lane| highs[read_from(plane, lane)] * weight(output, lane)).sum::<i32>();
                }
            }
        }
        lowering.kernels.pack(&steps.weights(), &init, &steps.offsets)
    };
    channels.parts().map(pack).collect()
}

/// As [`pack_int8`], for f32 weights `[out, in / groups, kernel height, kernel width]`.
pub(super) fn pack_f32(
    lowering: Lowering<'_>,
    layer: &Layer,
    (window, groups): (&Window, usize),
    values: &[f32],
    input: &ConvolutionInput<f32>,
) -> Vec<PackedF32> {
    let channels = Channels::new(lowering, layer, groups, input.pick());
    let taps = window.len();
    let pack = |part: Part| {
        let planes: Vec<usize> = channels.planes_of(&part).collect();
        let steps = || planes.iter().flat_map(|&plane| (0..taps).map(move |tap| (plane, tap)));
        let place = |tap: usize| [tap / window.kernel[1], tap % window.kernel[1]];
        let offsets: Vec<u32> = steps().map(|(plane, tap)| input.offset(place(tap), plane) as u32).collect();
        let weight = |output: usize, plane: usize, tap: usize, lane: usize| {
            channels.weight(output, plane, lane).map_or(0.0, |at| values[at * taps + tap])
        };
        let outputs = part.outputs.start..part.outputs.start + part.outputs.len().next_multiple_of(4);
        let of = |output| steps().flat_map(move |(plane, tap)| (0..4).map(move |lane| (output, plane, tap, lane)));
        let packed: Vec<f32> =
            outputs.flat_map(of).map(|(output, plane, tap, lane)| weight(output, plane, tap, lane)).collect();
        lowering.kernels.pack_f32(&packed, &offsets)
    };
    channels.parts().map(pack).collect()
}

/// As [`pack_f32`], for windows of 3x3 by Winograd's algorithm without groups, in chunks of at most `rows` rows of `columns` tiles.
pub(super) fn pack_winograd(
    lowering: Lowering<'_>,
    layer: &Layer,
    values: &[f32],
    [rows, columns]: [usize; 2],
) -> PackedWinograd {
    let channels = Channels::new(lowering, layer, 1, None);
    let (planes, outputs) = (channels.planes.len(), layer.output.channels.next_multiple_of(4));
    let mut weights = vec![0.0; WINOGRAD_POSITIONS * outputs * planes * 4];
    let windows = values.as_chunks::<9>().0;
    for (output, plane) in (0..outputs).flat_map(|output| (0..planes).map(move |plane| (output, plane))) {
        for lane in 0..4 {
            let Some(at) = channels.weight(output, plane, lane) else { continue };
            for (position, weight) in winograd_weights(&windows[at]).into_iter().enumerate() {
                weights[4 * ((position * outputs + output) * planes + plane) + lane] = weight;
            }
        }
    }
    lowering.kernels.pack_winograd(&weights, planes, rows, columns)
}

/// As [`pack_int8`], for windows of 3x3 by Winograd's algorithm without groups, in chunks of at most `rows` rows of `columns` tiles. `None` if
/// that would not be exact.
pub(super) fn pack_winograd_int8(
    lowering: Lowering<'_>,
    layer: &Layer,
    weights: Int8Weights<'_>,
    chunk: [usize; 2],
) -> Option<PackedWinogradInt8> {
    let Int8Weights { values, zero_points, input_zero_point } = weights;
    let channels = Channels::new(lowering, layer, 1, None);
    let highs = highs(lowering, layer, input_zero_point);
    let (planes, outputs) = (channels.planes.len(), layer.output.channels.next_multiple_of(4));
    let mut windows = vec![[0; 9]; outputs * planes * 4];
    let mut init = vec![0i32; outputs];
    let stored = values.as_chunks::<9>().0;
    for (output, plane) in (0..outputs).flat_map(|output| (0..planes).map(move |plane| (output, plane))) {
        let zero_point = zero_points.get(output).map_or(0, |&zero_point| i32::from(zero_point));
        for lane in 0..4 {
            let Some(at) = channels.weight(output, plane, lane) else { continue };
            let window = stored[at].map(|weight| i32::from(weight) - zero_point);
            init[output] -= highs[plane] * window.iter().sum::<i32>();
            windows[4 * (output * planes + plane) + lane] = window;
        }
    }
    lowering.kernels.pack_winograd_int8(&windows, &init, planes, chunk)
}
