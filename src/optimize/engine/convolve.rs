//! The int8 convolution: quantized values, multiplied and accumulated in i32 by the kernels.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, blocks, ensure, work};
use super::input::ConvolutionInput;
use super::layer_info::LayerInfo;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use crate::kernels::{Blob, Convolve, Kernels, Packed, PlanesMut, Requantize};
use crate::model::fused::OpKind;

/// A convolution whose results are its accumulators, as f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Accumulated {
    /// Each part has the weights of some output channels.
    weights: Vec<Packed>,
    input: ConvolutionInput<u8>,
}

/// A convolution whose results are quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Requantized {
    convolution: Accumulated,
    /// For each part of the weights.
    requantize: Vec<Requantize>,
}

impl Accumulated {
    pub(super) fn new(weights: Vec<Packed>, input: ConvolutionInput<u8>) -> Self {
        Self { weights, input }
    }

    /// The parts of the weights that some planes are computed with.
    fn parts(&self, wanted: Range<usize>) -> impl Iterator<Item = Part<'_>> {
        let mut end = 0;
        self.weights.iter().enumerate().filter_map(move |(number, weights)| {
            let begin = end;
            end = begin + weights.outputs() / 4;
            let (from, to) = (wanted.start.max(begin), wanted.end.min(end));
            let planes = from.wrapping_sub(wanted.start)..to.wrapping_sub(wanted.start);
            (from < to).then(|| Part { number, weights, begin, first: from - begin, planes })
        })
    }
}

/// Weights of some output channels.
struct Part<'a> {
    /// Which of the parts it is.
    number: usize,
    weights: &'a Packed,
    /// The first plane of its channels.
    begin: usize,
    /// The first of its planes that is wanted.
    first: usize,
    /// The places of those among all that are wanted.
    planes: Range<usize>,
}

impl Requantized {
    pub(super) fn new(convolution: Accumulated, requantize: Vec<Requantize>) -> Self {
        Self { convolution, requantize }
    }
}

impl Operator for Accumulated {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && info.int8
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { weights, input } = self;
        ensure(weights.iter().all(|weights| weights.isa() == kernels.isa()), "weights for another instruction set")?;
        ensure(tiling.shape.channels.next_multiple_of(4) == 4 * self.planes(), "weights of other outputs")?;
        let read = input.check(memory, tiling, weights.iter().filter_map(Packed::furthest).max())?;
        let bytes = weights.iter().fold(0usize, |bytes, weights| bytes.saturating_add(weights.bytes()));
        Ok(work(&[bytes, blocks(tiling.shape)]).saturating_add(read))
    }

    fn planes(&self) -> usize {
        self.weights.iter().fold(0usize, |planes, weights| planes.saturating_add(weights.outputs() / 4))
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, tiling: &Tiling) -> ScratchSize {
        let most = self.weights.iter().map(Packed::outputs).max().unwrap_or(0);
        ScratchSize { accumulators: most * tiling.tile_len, ..self.input.scratch() }
    }

    fn tile_unit(&self, kernels: Kernels) -> Option<usize> {
        (!matches!(self.input, ConvolutionInput::Window { .. })).then(|| kernels.pixel_multiple())
    }

    fn cuts(&self) -> Vec<usize> {
        self.parts(0..self.planes()).flat_map(|part| part.weights.cuts().map(move |cut| part.begin + cut)).collect()
    }

    fn cost(&self, _: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        let products =
            self.parts(planes).map(|part| part.weights.cost(pixels, part.first..part.first + part.planes.len()));
        products.fold(self.input.cost(tiling, pixels), u64::saturating_add)
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        self.weights.iter_mut().map(Packed::blob).collect()
    }
}

impl Compute<f32> for Accumulated {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Tile { kernels, pixels, .. } = tile;
        let TileScratch { qvalues, raw_qvalues, accumulators, .. } = scratch;
        let input = self.input.read(tile, (qvalues.values(), raw_qvalues.values()));
        let accumulators = accumulators.values();
        for Part { weights, first, planes, .. } in self.parts(planes) {
            let outputs = 4 * planes.len();
            let operand = Convolve { input, weights, pixels, first };
            kernels.convolve_raw(&operand, &mut PlanesMut::new(accumulators, outputs, pixels, pixels));
            for (output, accumulators) in accumulators.chunks_exact(pixels).take(outputs).enumerate() {
                let plane = out.plane(planes.start + output / 4)[..4 * pixels].as_chunks_mut::<4>().0;
                plane.iter_mut().zip(accumulators).for_each(|(four, &sum)| four[output % 4] = sum as f32);
            }
        }
    }
}

impl Operator for Requantized {
    fn is(&self, info: &LayerInfo) -> bool {
        self.convolution.is(info)
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let channels = self.requantize.iter().map(Requantize::channels);
        ensure(channels.eq(self.convolution.weights.iter().map(Packed::outputs)), "affines of other outputs")?;
        self.convolution.check(kernels, memory, tiling)
    }

    fn planes(&self) -> usize {
        self.convolution.planes()
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        self.convolution.input.scratch()
    }

    fn tile_unit(&self, kernels: Kernels) -> Option<usize> {
        self.convolution.tile_unit(kernels)
    }

    fn cuts(&self) -> Vec<usize> {
        self.convolution.cuts()
    }

    fn cost(&self, kernels: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.convolution.cost(kernels, tiling, pixels, planes)
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        self.convolution.blobs()
    }
}

impl Compute<u8> for Requantized {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, u8>) {
        let input = self.convolution.input.read(tile, u8::scratch(scratch));
        for Part { number, weights, first, planes, .. } in self.convolution.parts(planes) {
            let operand = Convolve { input, weights, pixels: tile.pixels, first };
            tile.kernels.convolve(&operand, &self.requantize[number], &mut out.range(planes));
        }
    }
}
