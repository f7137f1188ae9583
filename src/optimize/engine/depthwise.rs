//! The depthwise convolution of f32 values: each channel by itself, so that vectors hold channels as they lie in memory. As one of many
//! groups it would be computed from four channels, three of them times 0.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, blocks, ensure, work};
use super::input::ConvolutionInput;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use super::segments::read_lanes;
use crate::kernels::{Kernels, PlanesMut};
use crate::model::fused::{Layer, OpKind, Window};
use crate::quant::Affine;

/// A depthwise convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Depthwise {
    /// For each plane and tap the offset of the tap's first pixel, and the weights of four channels.
    taps: Vec<(u32, [f32; 4])>,
    /// For each plane.
    biases: Vec<[f32; 4]>,
    /// The least and the greatest result.
    bounds: [f32; 2],
    input: ConvolutionInput<f32>,
}

/// Values that are computed at once, of 8 pixels: [`Kernels::pixel_multiple`] is a multiple of that.
const VALUES: usize = 32;

impl Depthwise {
    /// The operator for a layer with as many groups as channels; `None` where results would lie in other lanes than what they are computed
    /// from.
    pub(super) fn new(
        lowering: Lowering<'_>,
        layer: &Layer,
        window: &Window,
        (values, add_bias): (&[f32], &Affine),
        input: &ConvolutionInput<f32>,
    ) -> Option<Self> {
        let lanes = read_lanes(&layer.reads, lowering.segments);
        let aligned = lanes.iter().enumerate().all(|(channel, &lane)| channel == lane);
        if !aligned || layer.output.channels != lanes.len() {
            return None;
        }
        let planes = lanes.len().div_ceil(4);
        let four = |of: &dyn Fn(usize) -> f32, plane: usize| {
            std::array::from_fn(|lane| if 4 * plane + lane < lanes.len() { of(4 * plane + lane) } else { 0.0 })
        };
        let tap = |plane: usize, tap: usize| {
            let place = [tap / window.kernel[1], tap % window.kernel[1]];
            let weights = four(&|channel| values[channel * window.len() + tap], plane);
            (input.offset(place, plane) as u32, weights)
        };
        Some(Self {
            taps: (0..planes).flat_map(|plane| (0..window.len()).map(move |at| tap(plane, at))).collect(),
            biases: (0..planes).map(|plane| four(&|channel| add_bias.add[channel], plane)).collect(),
            bounds: [add_bias.low, add_bias.high],
            input: input.clone(),
        })
    }
}

impl Operator for Depthwise {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && !info.int8
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { taps, biases, input, .. } = self;
        ensure(tiling.shape.channels.div_ceil(4) == biases.len(), "weights of other outputs")?;
        ensure(!taps.is_empty() && taps.len().is_multiple_of(biases.len()), "weights of some taps")?;
        let read = input.check(memory, tiling, taps.iter().map(|(offset, _)| *offset).max())?;
        Ok(work(&[4, taps.len(), blocks(tiling.shape)]).saturating_add(read))
    }

    fn planes(&self) -> usize {
        self.biases.len()
    }

    fn planes_at_once(&self) -> usize {
        self.biases.len()
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        self.input.scratch()
    }
}

impl Compute<f32> for Depthwise {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let input = self.input.read(tile, f32::scratch(scratch));
        let taps = self.taps.chunks_exact(self.taps.len() / self.biases.len());
        for (plane, (taps, bias)) in taps.zip(&self.biases).enumerate() {
            let out = &mut out.plane(plane)[..4 * tile.pixels];
            tile.kernels.vectorize(
                #[inline(always)]
                || convolve(input, taps, (bias, self.bounds), out),
            );
        }
    }
}

/// Convolves a plane. Bounds are a loop of their own: in the same one the compiler would not use vectors.
#[inline(always)]
fn convolve(input: &[f32], taps: &[(u32, [f32; 4])], (bias, [low, high]): (&[f32; 4], [f32; 2]), out: &mut [f32]) {
    for (block, out) in out.as_chunks_mut::<VALUES>().0.iter_mut().enumerate() {
        let mut sums = [0.0_f32; VALUES];
        for (offset, weights) in taps {
            let x = &input[*offset as usize + VALUES * block..][..VALUES];
            let weights: [f32; VALUES] = std::array::from_fn(|at| weights[at % 4]);
            for ((sum, x), weight) in sums.iter_mut().zip(x).zip(&weights) {
                *sum = x.mul_add(*weight, *sum);
            }
        }
        out.iter_mut().zip(&sums).enumerate().for_each(|(at, (out, sum))| *out = sum + bias[at % 4]);
    }
    if low > f32::NEG_INFINITY || high < f32::INFINITY {
        for value in out {
            let x = if *value > low { *value } else { low };
            *value = if x < high { x } else { high };
        }
    }
}
