//! The convolution of f32 values.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, blocks, ensure, work};
use super::input::ConvolutionInput;
use super::layer_info::LayerInfo;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use crate::kernels::{BiasClamp, Blob, ConvolveF32, F32_PIXELS, Kernels, PIXEL_BLOCK, PackedF32, PlanesMut};
use crate::model::fused::OpKind;

/// A float convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConvolutionF32 {
    /// Each part has the weights of some output channels.
    weights: Vec<PackedF32>,
    /// Adds the bias, for each part of the weights.
    bias_clamp: Vec<BiasClamp>,
    input: ConvolutionInput<f32>,
}

impl ConvolutionF32 {
    pub(super) fn new(weights: Vec<PackedF32>, bias_clamp: Vec<BiasClamp>, input: ConvolutionInput<f32>) -> Self {
        Self { weights, bias_clamp, input }
    }
}

impl Operator for ConvolutionF32 {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && !info.int8
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { weights, bias_clamp, input } = self;
        ensure(tiling.shape.channels.next_multiple_of(4) == 4 * self.planes(), "weights of other outputs")?;
        let channels = bias_clamp.iter().map(BiasClamp::channels);
        ensure(channels.eq(weights.iter().map(PackedF32::outputs)), "biases of other outputs")?;
        let read = input.check(memory, tiling, weights.iter().filter_map(PackedF32::furthest).max())?;
        let len = weights.iter().fold(0usize, |len, weights| len.saturating_add(weights.len()));
        Ok(work(&[len, blocks(tiling.shape)]).saturating_add(read))
    }

    fn planes(&self) -> usize {
        self.weights.iter().fold(0usize, |planes, weights| planes.saturating_add(weights.outputs() / 4))
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        self.input.scratch()
    }

    fn tile_unit(&self, _: Kernels) -> Option<usize> {
        (!matches!(self.input, ConvolutionInput::Window { .. })).then_some(PIXEL_BLOCK)
    }

    fn cost(&self, _: Kernels, tiling: &Tiling, pixels: usize, _: Range<usize>) -> u64 {
        let products = self.weights.iter().map(|weights| work(&[weights.len(), pixels]) / 4);
        products.fold(self.input.cost(tiling, pixels), u64::saturating_add)
    }

    fn tiles_together(&self, tiling: &Tiling) -> usize {
        self.input.tiles_together(tiling)
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        self.weights.iter_mut().map(PackedF32::blob).collect()
    }
}

impl Compute<f32> for ConvolutionF32 {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let input = self.input.read(tile, f32::scratch(scratch));
        // Behind the image, nothing is computed that need not be.
        let pixels = tile.inside.next_multiple_of(F32_PIXELS);
        let mut plane = 0;
        for (weights, bias_clamp) in self.weights.iter().zip(&self.bias_clamp) {
            let planes = plane..plane + weights.outputs() / 4;
            plane = planes.end;
            let operand = ConvolveF32 { input, weights, pixels };
            tile.kernels.convolve_f32(&operand, bias_clamp, &mut out.range(planes));
        }
    }
}
