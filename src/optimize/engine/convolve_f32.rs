//! The convolution of f32 values.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::LayerInfo;
use super::check::{Checked, Readable, blocks, ensure, work};
use super::convolve::padded;
use super::element::Element;
use super::input::ConvolutionInput;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::results::{F32Results, QuantizedResults};
use super::segments::{Storage, read_lanes};
use super::task::Results;
use crate::error::Result;
use crate::kernels::{AffineChainF32, BiasClamp, Blob, ConvolveF32, Kernels, PackedF32, PlanesMut};
use crate::model::fused::{Layer, OpKind, Window};
use crate::quant::Affine;

/// A float convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConvolutionF32 {
    weights: PackedF32,
    /// Adds the bias.
    bias_clamp: BiasClamp,
    input: ConvolutionInput<f32>,
}

/// How a layer with these weights and biases is run that writes the segment `to`, and how many pixels a tile has.
///
/// # Errors
/// None for a network that was checked.
pub(super) fn lower(
    lowering: Lowering<'_>,
    layer: &Layer,
    to: usize,
    window: &Window,
    (values, bias): (&[f32], &[f32]),
) -> Result<(Results, usize)> {
    let (input, tile_len) = ConvolutionInput::f32(lowering, layer, window);
    let weights = pack(lowering, layer, window, values, &input);
    let outputs = weights.outputs();
    let (mul, add) = (vec![1.0; bias.len()], bias.to_vec());
    let add_bias = Affine { mul, add, low: f32::NEG_INFINITY, high: f32::INFINITY, round: false };
    let bias_clamp = BiasClamp::new(&padded(&add_bias, outputs))?;
    let operator = ConvolutionF32 { weights, bias_clamp, input }.into();
    let affines: Vec<Affine> = layer.epilogue.iter().map(|affine| padded(affine, outputs)).collect();
    let chain = || AffineChainF32::new(outputs, &affines);
    let results = match lowering.segments[to].kind {
        Storage::Quantized(qvalues) => Results::Quantized(QuantizedResults::Rounded(operator, chain(), qvalues)),
        Storage::F32 if affines.is_empty() => Results::F32(F32Results::AsIs(operator)),
        Storage::F32 => Results::F32(F32Results::Affine(operator, chain())),
    };
    Ok((results, tile_len))
}

/// Packs weights, `[out, in, kernel height, kernel width]`, as steps of four channels of a tap.
fn pack(
    lowering: Lowering<'_>,
    layer: &Layer,
    window: &Window,
    values: &[f32],
    input: &ConvolutionInput<f32>,
) -> PackedF32 {
    let lanes = read_lanes(layer, lowering.segments);
    let planes: usize = layer.reads.iter().map(|read| lowering.segments[read.segment].planes).sum();
    let mut channels = vec![None; 4 * planes];
    lanes.iter().enumerate().for_each(|(channel, &lane)| channels[lane] = Some(channel));
    let taps = window.len();
    let outputs = layer.output.channels.next_multiple_of(4);
    let steps = || (0..planes).flat_map(|plane| (0..taps).map(move |tap| (plane, tap)));
    let place = |tap: usize| [tap / window.kernel[1], tap % window.kernel[1]];
    let offsets: Vec<u32> = steps().map(|(plane, tap)| input.offset(place(tap), plane) as u32).collect();
    let weight = |output: usize, plane: usize, tap: usize, i: usize| match channels[4 * plane + i] {
        Some(channel) if output < layer.output.channels => values[(output * lanes.len() + channel) * taps + tap],
        _ => 0.0,
    };
    let of = |output| steps().flat_map(move |(plane, tap)| (0..4).map(move |i| (output, plane, tap, i)));
    let packed: Vec<f32> =
        (0..outputs).flat_map(of).map(|(output, plane, tap, i)| weight(output, plane, tap, i)).collect();
    lowering.kernels.pack_f32(&packed, &offsets)
}

impl Operator for ConvolutionF32 {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && !info.int8
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { weights, bias_clamp, input } = self;
        let outputs = weights.outputs();
        ensure(tiling.shape.channels.next_multiple_of(4) == outputs, "weights of other outputs")?;
        ensure(bias_clamp.channels() == outputs, "biases of other outputs")?;
        let read = input.check(memory, tiling, weights.furthest())?;
        Ok(work(&[weights.len(), blocks(tiling.shape)]).saturating_add(read))
    }

    fn planes(&self) -> usize {
        self.weights.outputs() / 4
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        self.input.scratch()
    }

    fn blob(&mut self) -> Option<Blob<'_>> {
        Some(self.weights.blob())
    }
}

impl Compute<f32> for ConvolutionF32 {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let input = self.input.read(tile, f32::scratch(scratch));
        let operand = ConvolveF32 { input, weights: &self.weights, pixels: tile.pixels };
        tile.kernels.convolve_f32(&operand, &self.bias_clamp, out);
    }
}
