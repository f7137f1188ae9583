//! An int8 convolution: what it reads becomes codes, the kernels convolve them, its results become codes or real numbers.
//!
//! Work is done part by part: what is read of a part's pixels stays in the cache until it is convolved, and threads take the
//! parts one after another.

use serde::{Deserialize, Serialize};

use super::Site;
use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::input::Input;
use super::layout::Place;
use super::memory::{Around, Memory, Need, Scratch, Sources, own};
use super::near::Surroundings;
use super::reads::is_signed;
use super::segments::{Kind, Segment, read_lanes, writes_codes};
use crate::error::Result;
use crate::kernels::{
    Blob, Chunks, Codes, Convolve, Kernels, Packed, PlanesMut, Read, ReadReal, Reader, RealReader, Requantize, Source,
};
use crate::model::fused::{Layer, Op, Shape, Weights, Window};
use crate::quant::Step;

/// An int8 convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Convolution {
    weights: Packed,
    input: Input,
    sink: Sink,
    to: Place,
    shape: Shape,
    /// Pixels of a part.
    chunk: usize,
}

/// What becomes of the sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Sink {
    /// Codes, in one step.
    Codes { requantize: Requantize, surroundings: Option<Surroundings> },
    /// Codes in one step, and others made of them.
    Twice { requantize: Requantize, reader: Reader },
    /// Codes after several steps.
    Rounded(RealReader, Codes),
    /// Real numbers.
    Real(RealReader),
}

impl Convolution {
    /// The convolution of a layer with int8 weights, which writes the segment `to`.
    ///
    /// # Errors
    /// Kernels refuse scales that are not finite.
    pub(super) fn new(site: Site<'_>, layer: &Layer, to: usize) -> Result<Self> {
        let Op::Convolution { window, weights: Weights::Int8 { input_zero_point, .. } } = &layer.op else {
            unreachable!("the caller looked at the weights")
        };
        let (input, chunk) = Input::codes(site, layer, window, *input_zero_point);
        let (steps, init) = products(site, layer, window, &input);
        let weights = site.kernels.pack(&steps.weights(), &init, &steps.offsets)?;
        let sink = Sink::new(site, layer, to, weights.outputs())?;
        Ok(Self { weights, input, sink, to: site.places[to], shape: layer.output, chunk })
    }

    /// Its weights, which are stored apart.
    pub(super) fn blob(&mut self) -> Blob<'_> {
        self.weights.blob()
    }

    /// Whether it can be run by `kernels` in `room`; about how many multiply-adds it takes.
    pub(super) fn check(&self, kernels: Kernels, room: (usize, usize)) -> Checked<u64> {
        let Self { weights, input, sink, to, shape, chunk } = self;
        ensure(weights.isa() == kernels.isa(), "weights for another instruction set")?;
        let outputs = weights.outputs();
        check::shape(*shape)?;
        ensure(shape.channels.next_multiple_of(4) == outputs, "weights of other outputs")?;
        let real = matches!(sink, Sink::Real(_));
        to.check(if real { room.1 } else { room.0 }, *shape)?;
        let planes = outputs / 4;
        let copied = matches!(sink, Sink::Codes { surroundings: Some(_), .. });
        ensure(copied || to.planes == planes, "planes of other outputs")?;
        let memory = Readable::all(room).but(real, to.range());
        let read = input.check(&memory, false, (*shape, *chunk), weights.furthest())?;
        product(&[outputs, *chunk])?;
        let after = sink.check(to, planes, *shape)?;
        let macs = work(&[weights.bytes(), blocks(*shape)]);
        Ok(macs.saturating_add(read).saturating_add(after))
    }

    /// Scratch that a thread needs.
    pub(super) fn need(&self) -> Need {
        let results = self.weights.outputs() * self.chunk;
        let need = self.input.need_codes();
        match self.sink {
            Sink::Codes { .. } => need,
            Sink::Twice { .. } => Need { spare_codes: results, ..need },
            Sink::Rounded(..) | Sink::Real(_) => Need { spare_reals: results, sums: results, ..need },
        }
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, reals, scratches, team, .. } = memory;
        let kernels = *kernels;
        let (bytes, reals) = (bytes.values(), reals.values());
        let Place { pitch, planes, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(kernels.grain());
        if let Sink::Real(reader) = &self.sink {
            let (out, around) = Around::split(reals, self.to.range());
            let sources = Sources { bytes: Around::whole(bytes), reals: around };
            let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], planes, pitch, end), 4 * self.chunk);
            team.run(&|member| {
                let mut scratch = own(scratches, member);
                while let Some((begin, mut part)) = chunks.take() {
                    let what = self.sums(kernels, sources, begin, part.len(), &mut scratch);
                    kernels.read_real(reader, &what, &mut part);
                }
            });
            return;
        }
        let (out, around) = Around::split(bytes, self.to.range());
        if let Sink::Codes { surroundings: Some(surroundings), .. } = &self.sink {
            surroundings.write_around(out, pitch);
        }
        let sources = Sources { bytes: around, reals: Around::whole(reals) };
        let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], planes, pitch, end), 4 * self.chunk);
        team.run(&|member| {
            let mut scratch = own(scratches, member);
            while let Some((begin, mut part)) = chunks.take() {
                let len = part.len();
                match &self.sink {
                    Sink::Codes { requantize, surroundings } => {
                        let Scratch { codes, raw_codes, .. } = &mut *scratch;
                        let (codes, raw) = (codes.values(), raw_codes.values());
                        let input = self.input.read_codes(kernels, sources, self.part(begin, len), codes, raw);
                        let what = Convolve { input, weights: &self.weights, pixels: len / 4 };
                        kernels.convolve(&what, requantize, &mut part.first(self.weights.outputs() / 4));
                        if let Some(surroundings) = surroundings {
                            surroundings.write_beside(kernels, begin, &mut part);
                        }
                    }
                    Sink::Twice { requantize, reader } => {
                        let Scratch { codes, raw_codes, spare_codes, .. } = &mut *scratch;
                        let (codes, raw) = (codes.values(), raw_codes.values());
                        let input = self.input.read_codes(kernels, sources, self.part(begin, len), codes, raw);
                        let what = Convolve { input, weights: &self.weights, pixels: len / 4 };
                        let (spare, planes) = (spare_codes.values(), self.weights.outputs() / 4);
                        kernels.convolve(&what, requantize, &mut PlanesMut::new(spare, planes, len, len));
                        let what = Read { input: spare, pitch: len, planes: 0..planes, pixels: len / 4 };
                        kernels.read(reader, &what, &mut part);
                    }
                    Sink::Rounded(reader, codes) => {
                        let what = self.sums(kernels, sources, begin, len, &mut scratch);
                        kernels.read_rounded(reader, &what, *codes, &mut part);
                    }
                    Sink::Real(_) => unreachable!("it has returned"),
                }
            }
        });
    }

    /// First pixel, number of pixels and first row of a part.
    fn part(&self, begin: usize, len: usize) -> (usize, usize, usize) {
        (begin / 4, len / 4, begin / 4 / self.shape.width)
    }

    /// The sums of a part as real numbers in planes.
    fn sums<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        scratch: &'a mut Scratch,
    ) -> ReadReal<'a> {
        let Scratch { codes, raw_codes, spare_reals, sums, .. } = scratch;
        let (outputs, pixels) = (self.weights.outputs(), len / 4);
        let input = self.input.read_codes(kernels, sources, self.part(begin, len), codes.values(), raw_codes.values());
        let what = Convolve { input, weights: &self.weights, pixels };
        let sums = sums.values();
        kernels.convolve_raw(&what, &mut PlanesMut::new(sums, outputs, pixels, pixels));
        let reals = spare_reals.values();
        for (output, sums) in sums.chunks_exact(pixels).take(outputs).enumerate() {
            let plane = &mut reals[output / 4 * len..][..len];
            plane.as_chunks_mut::<4>().0.iter_mut().zip(sums).for_each(|(four, &sum)| four[output % 4] = sum as f32);
        }
        ReadReal { input: Source::Real(reals), pitch: len, planes: 0..outputs / 4, pixels }
    }
}

impl Sink {
    fn new(site: Site<'_>, layer: &Layer, to: usize, outputs: usize) -> Result<Self> {
        let (segment, place) = (&site.segments[to], &site.places[to]);
        let padded = |step: &Step| {
            let mut step = step.clone();
            step.mul.resize(outputs, 0.0);
            step.add.resize(outputs, 0.0);
            step
        };
        let steps: Vec<Step> = layer.write.iter().map(padded).collect();
        let codes = match segment.kind {
            Kind::Codes(codes) => codes,
            Kind::Real => return Ok(Self::Real(RealReader::new(outputs, &steps))),
        };
        if !writes_codes(layer) {
            return Ok(
                Self::twice(&steps, codes).unwrap_or_else(|| Self::Rounded(RealReader::new(outputs, &steps), codes))
            );
        }
        let flip = if site.kernels.shifted() { 0x80 } else { 0 };
        let surroundings = segment.near.as_ref().map(|near| Surroundings::new(segment, near, place, flip));
        Ok(Self::Codes { requantize: Requantize::new(&steps[0], codes)?, surroundings })
    }
}

impl Sink {
    /// Whether it takes `planes` planes of results of this shape; about how many multiply-adds it takes.
    fn check(&self, to: &Place, planes: usize, shape: Shape) -> Checked<u64> {
        let (has, steps) = match self {
            Self::Codes { requantize, surroundings } => {
                if let Some(surroundings) = surroundings {
                    surroundings.check(to, planes, shape)?;
                }
                ensure(requantize.channels() == 4 * planes, "steps of other outputs")?;
                return Ok(surroundings.as_ref().map_or(0, Surroundings::work));
            }
            Self::Twice { requantize, reader } => {
                ensure(requantize.channels() == 4 * planes, "steps of other outputs")?;
                (reader.planes(), reader.steps())
            }
            Self::Rounded(reader, _) | Self::Real(reader) => (reader.planes(), reader.steps()),
        };
        ensure(has == planes, "steps of other outputs")?;
        Ok(work(&[4, planes, blocks(shape), 1 + steps]))
    }

    /// The first step in the convolution, the others after it, where all results are codes.
    fn twice(steps: &[Step], to: Codes) -> Option<Self> {
        let (first, rest) = steps.split_first()?;
        if rest.is_empty() || !first.gives_bytes() {
            return None;
        }
        let codes = if first.low < 0.0 { Codes::Signed } else { Codes::Unsigned };
        let requantize = Requantize::new(first, codes).ok()?;
        Some(Self::Twice { requantize, reader: Reader::new(rest, codes, to).ok()? })
    }
}

/// The steps of a convolution: where each looks, and its weights, `[steps][outputs][4]`.
struct Steps {
    outputs: usize,
    offsets: Vec<u32>,
    weights: Vec<i8>,
}

impl Steps {
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

/// All products of a convolution, and what the sums start from so that codes count from their zero point.
fn products(site: Site<'_>, layer: &Layer, window: &Window, input: &Input) -> (Steps, Vec<i32>) {
    let Op::Convolution { weights: Weights::Int8 { values, zero_points, input_zero_point }, .. } = &layer.op else {
        unreachable!("the caller looked at the weights")
    };
    let lanes = read_lanes(layer, site.segments);
    let outputs = layer.output.channels;
    let padded = outputs.next_multiple_of(4);
    let mut steps = Steps { outputs: padded, offsets: Vec::new(), weights: Vec::new() };
    let mut init = vec![0i32; padded];
    let mut first = 0;
    for read in &layer.reads {
        let Segment { planes, .. } = site.segments[read.segment];
        // Codes reach the kernels as u8: signed ones are 128 too high.
        let high = input_zero_point + if is_signed(read, site.segments) { 128 } else { 0 };
        for plane in first..first + planes {
            let channels = [0, 1, 2, 3].map(|i| lanes.iter().position(|&lane| lane == 4 * plane + i));
            for tap in 0..window.len() {
                let weight = |output: usize, i: usize| {
                    let Some(channel) = channels[i].filter(|_| output < outputs) else { return 0 };
                    let value = i32::from(values[(output * lanes.len() + channel) * window.len() + tap]);
                    value - zero_points.get(output).map_or(0, |&zero_point| i32::from(zero_point))
                };
                let place = [tap / window.kernel[1], tap % window.kernel[1]];
                steps.push(input.offset(place, plane), weight);
                for (output, init) in init.iter_mut().enumerate() {
                    *init -= high * (0..4).map(|i| weight(output, i)).sum::<i32>();
                }
            }
        }
        first += planes;
    }
    (steps, init)
}
