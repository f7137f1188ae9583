//! An int8 convolution: what it reads becomes codes, the kernels convolve them, its results become codes.

use super::map::{Buffer, Kind, Map};
use super::{Scratch, codes};
use crate::kernels::{BLOCK, Convolution as View, Kernels, Packed, Reading, Requantize};
use crate::model::fused::{FusedNetwork, Layer, Op, Read, Shape, Window};
use crate::quant::Step;

/// Pixels of a strip: what is read of them stays in the cache until it is convolved.
const STRIP: usize = 12 * BLOCK;

/// A packed convolution.
#[derive(Debug)]
pub(super) struct Convolution {
    weights: Packed,
    start: Vec<i32>,
    input: Input,
    output: Output,
}

/// What is convolved.
#[derive(Debug)]
enum Input {
    /// The one segment that is read, as it is.
    AsIs { offsets: Vec<usize> },
    /// Points, strip by strip.
    Points { readings: Vec<Reading>, offsets: Vec<usize> },
    /// Codes with padding, at every phase of the stride: pixel (y, x) of the padded picture is at
    /// (y / stride, x / stride) of phase (y % stride, x % stride).
    Phases { readings: Vec<Reading>, offsets: Vec<usize>, phases: Phases },
}

#[derive(Debug, Clone, Copy)]
struct Phases {
    window: Window,
    shape: Shape,
    output: Shape,
    zero_point: u8,
    groups: usize,
    pitch: usize,
    plane: usize,
}

/// What becomes of the sums.
#[derive(Debug)]
enum Output {
    /// Codes, by one step.
    Codes { mul: Vec<f32>, add: Vec<f32>, low: f32, high: f32, more: Option<Reading> },
    /// The sums, perhaps after steps that give no codes.
    Sums(Vec<Step>),
}

/// Whether a convolution can read its segment without a copy: codes with zero point 0, and as many results as values.
pub(super) fn reads_as_is(network: &FusedNetwork, layer: &Layer) -> bool {
    let (Op::Convolution { window, .. }, [read]) = (&layer.op, layer.reads.as_slice()) else { return false };
    let shape = network.shape(read.segment);
    let is_unsigned = read.segment >= network.inputs.len()
        && network.layers[read.segment - network.inputs.len()].write.last().is_some_and(|step| step.low >= 0.0);
    codes(layer).is_some_and(|(_, zero_point)| zero_point == 0)
        && read.steps.is_empty()
        && is_unsigned
        && network.holds_codes(read.segment)
        && window.stride == [1, 1]
        && (layer.output.height, layer.output.width) == (shape.height, shape.width)
}

impl Convolution {
    /// The convolution of `layer`, if kernels can do it; `maps` are those of the segments it reads, `to` is its own.
    pub(super) fn new(network: &FusedNetwork, layer: &Layer, maps: &[Map], to: &Map) -> Option<Self> {
        let Op::Convolution { window, .. } = &layer.op else { return None };
        let (values, zero_point) = codes(layer)?;
        let shape = network.input_shape(layer);
        let widths: Vec<usize> = layer.reads.iter().map(|read| maps[read.segment].shape.channels).collect();
        // Segments are padded to groups of four channels, each for itself.
        let groups: Vec<usize> = widths.iter().map(|width| width.div_ceil(4)).collect();
        let all: usize = groups.iter().sum();
        let mut places = vec![None; 4 * all];
        let (mut group, mut channel) = (0, 0);
        for (width, groups) in widths.iter().zip(&groups) {
            for i in 0..*width {
                places[4 * group + i] = Some(channel + i);
            }
            (group, channel) = (group + groups, channel + width);
        }
        let taps = window.len();
        let outputs = layer.output.channels;
        let weight = |output: usize, step: usize, i: usize| {
            let (tap, group) = (step / all, step % all);
            places[4 * group + i].map_or(0, |channel| values[(output * shape.channels + channel) * taps + tap])
        };
        let weights = Packed::new(outputs, taps * all, weight);
        let sum = |weights: &[i8]| weights.iter().map(|&w| i32::from(w)).sum::<i32>();
        let mut start: Vec<i32> =
            values.chunks_exact(shape.channels * taps).map(|weights| -zero_point * sum(weights)).collect();
        start.resize(4 * weights.groups(), 0);
        let input = Self::input(network, layer, window, maps, to, zero_point)?;
        let output = Self::output(layer, to, 4 * weights.groups());
        Some(Self { weights, start, input, output })
    }

    fn input(
        network: &FusedNetwork,
        layer: &Layer,
        window: &Window,
        maps: &[Map],
        to: &Map,
        zero_point: i32,
    ) -> Option<Input> {
        let shape = network.input_shape(layer);
        let readings: Vec<Reading> =
            layer.reads.iter().map(|read| Reading::new(maps[read.segment].shape.channels, &read.steps)).collect();
        let groups: usize = readings.iter().map(Reading::groups).sum();
        let taps = || (0..window.kernel[0]).flat_map(|y| (0..window.kernel[1]).map(move |x| (y, x)));
        if reads_as_is(network, layer) {
            let from = &maps[layer.reads[0].segment];
            let [top, left, ..] = window.padding;
            let place = |group: usize, y: usize, x: usize| {
                4 * (group * from.plane + from.first + y * from.pitch + x - top * from.pitch - left)
            };
            let offsets = taps().flat_map(|(y, x)| (0..groups).map(move |group| place(group, y, x))).collect();
            return (from.pitch == to.pitch).then_some(Input::AsIs { offsets });
        }
        // A step without codes at its end cannot be convolved: the network has no such reading of an int8 convolution.
        if !layer.reads_codes(network) {
            return None;
        }
        if *window == Window::ONE && maps[layer.reads[0].segment].pitch == to.pitch {
            return Some(Input::Points { readings, offsets: (0..groups).map(|group| 4 * group * STRIP).collect() });
        }
        let [down, right] = window.stride;
        let pitch = layer.output.width + (window.kernel[1] - 1) / right;
        let rows = layer.output.height + (window.kernel[0] - 1) / down;
        // Behind the last row the kernels read on to the end of a block, at every tap.
        let plane = (rows * pitch + BLOCK + (window.kernel[1] - 1) / right).next_multiple_of(BLOCK);
        let phases =
            Phases { window: *window, shape, output: layer.output, zero_point: zero_point as u8, groups, pitch, plane };
        let place = |group: usize, y: usize, x: usize| {
            let phase = (group * down + y % down) * right + x % right;
            4 * (phase * plane + y / down * pitch + x / right)
        };
        let offsets = taps().flat_map(|(y, x)| (0..groups).map(move |group| place(group, y, x))).collect();
        Some(Input::Phases { readings, offsets, phases })
    }

    fn output(layer: &Layer, to: &Map, padded: usize) -> Output {
        match layer.write.split_first() {
            Some((first, rest)) if first.round && to.kind != Kind::Real => {
                let pad = |values: &[f32]| {
                    let mut values = values.to_vec();
                    values.resize(padded, 0.0);
                    values
                };
                let more = (!rest.is_empty()).then(|| Reading::new(layer.output.channels, rest));
                Output::Codes { mul: pad(&first.mul), add: pad(&first.add), low: first.low, high: first.high, more }
            }
            _ => Output::Sums(layer.write.clone()),
        }
    }

    /// Bytes of codes that are made for it.
    pub(super) fn code_bytes(&self) -> usize {
        match &self.input {
            Input::AsIs { .. } => 0,
            Input::Points { readings, .. } => 4 * STRIP * readings.iter().map(Reading::groups).sum::<usize>(),
            Input::Phases { phases, .. } => 4 * phases.plane * phases.phases(),
        }
    }

    /// Bytes of results in another pitch than the segment's, and of codes before they are split into phases.
    pub(super) fn result_bytes(&self) -> usize {
        match &self.input {
            Input::Phases { phases, .. } => {
                let results = self.weights.groups() * phases.pixels();
                let codes = phases.groups * (phases.shape.area() * 2 + 64 * phases.shape.height);
                4 * results.max(codes)
            }
            Input::AsIs { .. } | Input::Points { .. } => 0,
        }
    }

    /// Runs the convolution on the segments `from` and writes the segment `to`.
    pub(super) fn run(
        &self,
        kernels: Kernels,
        reads: &[Read],
        from: (&[Map], &[Buffer]),
        (to, written): (&Map, &mut Buffer),
        scratch: &mut Scratch,
    ) {
        let (maps, segments) = from;
        let view = |offsets| View { weights: &self.weights, offsets, start: &self.start };
        match &self.input {
            Input::AsIs { offsets } => {
                let bytes = &segments[reads[0].segment].bytes;
                self.write(kernels, &view(offsets), bytes, (to, written), 0..to.pixels(), 0);
            }
            Input::Points { readings, offsets } => {
                let mut start = 0;
                while start < to.pixels() {
                    let pixels = (to.pixels() - start).min(STRIP);
                    let mut group = 0;
                    for (read, reading) in reads.iter().zip(readings) {
                        let map = &maps[read.segment];
                        let source = (map.source(&segments[read.segment]), 4 * map.plane, map.first + start);
                        let strip = &mut scratch.codes[4 * group * STRIP..];
                        kernels.read(reading, source, (strip, 4 * STRIP, 0), pixels);
                        group += reading.groups();
                    }
                    self.write(kernels, &view(offsets), &scratch.codes, (to, written), 0..pixels, start);
                    start += pixels;
                }
            }
            Input::Phases { readings, offsets, phases } => {
                phases.fill(kernels, reads, readings, from, scratch);
                self.write_pitched(kernels, &view(offsets), phases, (to, written), scratch);
            }
        }
        if let Output::Codes { more: Some(more), .. } = &self.output {
            let before = written.bytes.clone();
            let source = (crate::kernels::Source::Unsigned(&before), 4 * to.plane, to.first);
            // The first step's codes may be signed: the second reads them as what they are.
            let source =
                if self.is_signed() { (crate::kernels::Source::Signed(&before), source.1, source.2) } else { source };
            kernels.read(more, source, (&mut written.bytes, 4 * to.plane, to.first), to.pixels());
        }
        if to.kind != Kind::Real {
            to.clear_margins(&mut written.bytes);
        }
    }

    fn is_signed(&self) -> bool {
        matches!(self.output, Output::Codes { low, .. } if low < 0.0)
    }

    /// Convolves `pixels` of the input and writes them from pixel `at` of the segment on.
    fn write(
        &self,
        kernels: Kernels,
        view: &View<'_>,
        input: &[u8],
        (to, written): (&Map, &mut Buffer),
        pixels: std::ops::Range<usize>,
        at: usize,
    ) {
        let place = 4 * (to.first + at);
        match &self.output {
            Output::Codes { mul, add, low, high, .. } => {
                let requantize = Requantize { mul, add, low: *low, high: *high };
                kernels.convolve(view, &requantize, input, &mut written.bytes[place..], 4 * to.plane, pixels);
            }
            Output::Sums(steps) => {
                kernels.sums(view, input, &mut written.reals[place..], 4 * to.plane, pixels.clone());
                if !steps.is_empty() {
                    let reading = Reading::new(to.shape.channels, steps);
                    let before = written.reals.clone();
                    let source = (crate::kernels::Source::Real(&before), 4 * to.plane, to.first + at);
                    let target = (&mut written.reals[..], 4 * to.plane, to.first + at);
                    kernels.read_real(&reading, source, target, pixels.len());
                }
            }
        }
    }

    /// As [`write`](Self::write), with the results' rows moved to the segment's pitch.
    fn write_pitched(
        &self,
        kernels: Kernels,
        view: &View<'_>,
        phases: &Phases,
        (to, written): (&Map, &mut Buffer),
        scratch: &mut Scratch,
    ) {
        // A map of the results as they come: the convolution's own rows, without margins.
        let shape = Shape { height: 1, width: phases.pixels(), ..to.shape };
        let flat = Map { shape, kind: to.kind, pitch: shape.width, first: 0, plane: shape.width };
        let mut results = Buffer { bytes: std::mem::take(&mut scratch.results), reals: Vec::new() };
        if to.kind == Kind::Real {
            results.reals.resize(flat.len(), 0.0);
        }
        self.write(kernels, view, &scratch.codes, (&flat, &mut results), 0..phases.pixels(), 0);
        for group in 0..to.groups() {
            for row in 0..to.shape.height {
                let (source, target) = (4 * (group * flat.plane + row * phases.pitch), to.at(group, row, 0));
                let width = 4 * to.shape.width;
                match to.kind {
                    Kind::Real => {
                        written.reals[target..target + width].copy_from_slice(&results.reals[source..source + width])
                    }
                    Kind::Unsigned | Kind::Signed => {
                        written.bytes[target..target + width].copy_from_slice(&results.bytes[source..source + width])
                    }
                }
            }
        }
        scratch.results = results.bytes;
    }
}

impl Phases {
    fn phases(&self) -> usize {
        self.groups * self.window.stride[0] * self.window.stride[1]
    }

    /// Results, from the first to the last, as whole blocks.
    fn pixels(&self) -> usize {
        ((self.output.height - 1) * self.pitch + self.output.width).next_multiple_of(BLOCK)
    }

    /// Writes the codes of all that is read into `scratch.codes`, phase by phase.
    fn fill(
        &self,
        kernels: Kernels,
        reads: &[Read],
        readings: &[Reading],
        (maps, segments): (&[Map], &[Buffer]),
        scratch: &mut Scratch,
    ) {
        let bytes = 4 * self.plane * self.phases();
        scratch.codes[..bytes].fill(self.zero_point);
        let [down, right] = self.window.stride;
        let [top, left, ..] = self.window.padding;
        let mut first = 0;
        for (read, reading) in reads.iter().zip(readings) {
            let map = &maps[read.segment];
            let pixels = map.pixels();
            let source = (map.source(&segments[read.segment]), 4 * map.plane, map.first);
            kernels.read(reading, source, (&mut scratch.results, 4 * pixels, 0), pixels);
            for group in 0..reading.groups() {
                for row in 0..self.shape.height {
                    let codes = &scratch.results[4 * (group * pixels + row * map.pitch)..][..4 * self.shape.width];
                    let y = row + top;
                    if y / down * self.pitch + self.pitch > self.plane {
                        continue; // Below what any window reaches.
                    }
                    for (column, code) in codes.as_chunks::<4>().0.iter().enumerate() {
                        let x = column + left;
                        if x / right >= self.pitch {
                            continue; // To the right of what any window reaches.
                        }
                        let phase = ((first + group) * down + y % down) * right + x % right;
                        let at = 4 * (phase * self.plane + y / down * self.pitch + x / right);
                        scratch.codes[at..at + 4].copy_from_slice(code);
                    }
                }
            }
            first += reading.groups();
        }
    }
}
