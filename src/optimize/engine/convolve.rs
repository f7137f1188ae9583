//! The int8 convolution: what it reads becomes quantized values, which the kernels multiply and accumulate in i32.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::LayerInfo;
use super::check::{Checked, Readable, blocks, ensure, work};
use super::element::Element;
use super::halo::HaloWriter;
use super::input::ConvolutionInput;
use super::k_steps;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::results::{F32Results, QuantizedResults};
use super::segments::{Storage, writes_quantized};
use super::task::Results;
use crate::error::Result;
use crate::kernels::{AffineChain, AffineChainF32, Blob, Convolve, Kernels, Packed, PlanesMut, QuantType, Requantize};
use crate::model::fused::{Layer, OpKind, Window};
use crate::quant::Affine;

/// The weights of an int8 convolution, as those of [`ConvolutionWeights`](crate::model::fused::ConvolutionWeights).
#[derive(Clone, Copy)]
pub(super) struct Int8Weights<'a> {
    pub(super) values: &'a [i8],
    pub(super) zero_points: &'a [i16],
    pub(super) input_zero_point: i32,
}

/// A convolution that gives f32 values: its accumulators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Accumulated {
    weights: Packed,
    input: ConvolutionInput<u8>,
}

/// A convolution that gives quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Requantized {
    convolution: Accumulated,
    requantize: Requantize,
}

/// How a layer is run that writes the segment `to`, and how many pixels a tile has.
///
/// # Errors
/// Kernels refuse scales that are not finite.
pub(super) fn lower(
    lowering: Lowering<'_>,
    layer: &Layer,
    to: usize,
    window: &Window,
    weights: Int8Weights<'_>,
) -> Result<(Results, usize)> {
    let (input, tile_len) = ConvolutionInput::quantized(lowering, layer, window, weights.input_zero_point);
    let weights = k_steps::pack(lowering, layer, window, weights, &input)?;
    let outputs = weights.outputs();
    let convolution = Accumulated { weights, input };
    let affines: Vec<Affine> = layer.epilogue.iter().map(|affine| padded(affine, outputs)).collect();
    let segment = &lowering.segments[to];
    let qvalues = match segment.kind {
        Storage::Quantized(qvalues) => qvalues,
        Storage::F32 => {
            let results = F32Results::Affine(convolution.into(), AffineChainF32::new(outputs, &affines));
            return Ok((Results::F32(results), tile_len));
        }
    };
    let results = if writes_quantized(layer) {
        let flip = if lowering.kernels.shifted() { 0x80 } else { 0 };
        let halo = segment.halo.as_ref().map(|halo| HaloWriter::new(segment, halo, &lowering.places[to], flip));
        let requantize = Requantize::new(&affines[0], qvalues)?;
        QuantizedResults::AsIs(Requantized { convolution, requantize }.into(), halo)
    } else if let Some((requantize, chain)) = in_two_parts(&affines, qvalues) {
        QuantizedResults::Affine(Requantized { convolution, requantize }.into(), chain)
    } else {
        QuantizedResults::Rounded(convolution.into(), AffineChainF32::new(outputs, &affines), qvalues)
    };
    Ok((Results::Quantized(results), tile_len))
}

/// An affine of channels that are filled up.
pub(super) fn padded(affine: &Affine, channels: usize) -> Affine {
    let mut affine = affine.clone();
    affine.mul.resize(channels, 0.0);
    affine.add.resize(channels, 0.0);
    affine
}

/// The first affine as the convolution's, and a chain of the others, where all their results are quantized values.
fn in_two_parts(affines: &[Affine], to: QuantType) -> Option<(Requantize, AffineChain)> {
    let (first, rest) = affines.split_first()?;
    if rest.is_empty() || !first.gives_bytes() {
        return None;
    }
    let qvalues = if first.low < 0.0 { QuantType::Signed } else { QuantType::Unsigned };
    Some((Requantize::new(first, qvalues).ok()?, AffineChain::new(rest, qvalues, to).ok()?))
}

impl Operator for Accumulated {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && info.int8
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { weights, input } = self;
        ensure(weights.isa() == kernels.isa(), "weights for another instruction set")?;
        ensure(tiling.shape.channels.next_multiple_of(4) == weights.outputs(), "weights of other outputs")?;
        let read = input.check(memory, tiling, weights.furthest())?;
        Ok(work(&[weights.bytes(), blocks(tiling.shape)]).saturating_add(read))
    }

    fn planes(&self) -> usize {
        self.weights.outputs() / 4
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, tiling: &Tiling) -> ScratchSize {
        ScratchSize { accumulators: self.weights.outputs() * tiling.tile_len, ..self.input.scratch() }
    }

    fn blob(&mut self) -> Option<Blob<'_>> {
        Some(self.weights.blob())
    }
}

impl Compute<f32> for Accumulated {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Tile { kernels, pixels, .. } = tile;
        let outputs = self.weights.outputs();
        let TileScratch { qvalues, raw_qvalues, accumulators, .. } = scratch;
        let input = self.input.read(tile, (qvalues.values(), raw_qvalues.values()));
        let accumulators = accumulators.values();
        let operand = Convolve { input, weights: &self.weights, pixels };
        kernels.convolve_raw(&operand, &mut PlanesMut::new(accumulators, outputs, pixels, pixels));
        for (output, accumulators) in accumulators.chunks_exact(pixels).take(outputs).enumerate() {
            let plane = out.plane(output / 4)[..4 * pixels].as_chunks_mut::<4>().0;
            plane.iter_mut().zip(accumulators).for_each(|(four, &sum)| four[output % 4] = sum as f32);
        }
    }
}

impl Operator for Requantized {
    fn is(&self, info: &LayerInfo) -> bool {
        self.convolution.is(info)
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        ensure(self.requantize.channels() == self.convolution.weights.outputs(), "affines of other outputs")?;
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

    fn blob(&mut self) -> Option<Blob<'_>> {
        self.convolution.blob()
    }
}

impl Compute<u8> for Requantized {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, u8>) {
        let Accumulated { weights, input } = &self.convolution;
        let input = input.read(tile, u8::scratch(scratch));
        tile.kernels.convolve(&Convolve { input, weights, pixels: tile.pixels }, &self.requantize, out);
    }
}
