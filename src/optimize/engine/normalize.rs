//! Normalizes each pixel over its channels (LayerNorm), in f64 so that the order of channels does not matter.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure};
use super::gather::Gather;
use super::input::tile_len;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use super::segments::read_lanes;
use crate::kernels::{Kernels, PlanesMut};
use crate::model::fused::{Layer, OpKind};

/// Normalizes pixels. Results have the lanes of what is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Normalize {
    gather: Gather<f32>,
    /// For each plane which of its lanes hold channels.
    held: Vec<[bool; 4]>,
    epsilon: f32,
}

/// Values of a plane that are normalized at once.
const VALUES: usize = 128;

/// A number for each of these values.
type Block = [f64; VALUES];

impl Normalize {
    /// The operator for a layer, and the pixels of a tile.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, epsilon: f32) -> (Self, usize) {
        let gather = Gather::new(&layer.reads, lowering.segments, lowering.places);
        let mut held = vec![[false; 4]; gather.planes()];
        read_lanes(&layer.reads, lowering.segments).into_iter().for_each(|lane| held[lane / 4][lane % 4] = true);
        let tile_len = tile_len::<f32>(layer, 4 * held.len());
        (Self { gather, held, epsilon }, tile_len)
    }

    /// Normalizes values of each plane, whose first parts of `len` values are `stride` apart from `values` on, and writes each plane's.
    #[inline(always)]
    fn block(&self, values: &[f32], stride: usize, len: usize, mut write: impl FnMut(usize, &[f32])) {
        let mean = self.average(values, stride, &[0.0; VALUES][..len], |value| value);
        let variance = self.average(values, stride, &mean[..len], |value| value * value);
        let factor = variance.map(|variance| 1.0 / (variance + f64::from(self.epsilon)).sqrt());
        let mut results = [0.0; VALUES];
        for (plane, (held, values)) in self.held.iter().zip(values.chunks(stride)).enumerate() {
            let each = results.iter_mut().zip(&values[..len]).zip(mean.iter().zip(&factor));
            each.for_each(|((result, &x), (mean, factor))| *result = ((f64::from(x) - mean) * factor) as f32);
            if *held != [true; 4] {
                results.iter_mut().enumerate().filter(|(at, _)| !held[at % 4]).for_each(|(_, result)| *result = 0.0);
            }
            write(plane, &results[..len]);
        }
    }

    /// The average over each pixel's channels of a function of the value less `minus`, for all four lanes of the pixel.
    #[inline(always)]
    fn average(&self, values: &[f32], stride: usize, minus: &[f64], of: impl Fn(f64) -> f64) -> Block {
        let mut sums = [0.0; VALUES];
        for (held, values) in self.held.iter().zip(values.chunks(stride)) {
            let each = sums.iter_mut().zip(values).zip(minus);
            if *held == [true; 4] {
                each.for_each(|((sum, &x), minus)| *sum += of(f64::from(x) - minus));
            } else {
                let each = each.enumerate().filter(|(at, _)| held[at % 4]);
                each.for_each(|(_, ((sum, &x), minus))| *sum += of(f64::from(x) - minus));
            }
        }
        let channels = self.channels() as f64;
        for pixel in sums.as_chunks_mut::<4>().0 {
            *pixel = [pixel.iter().sum::<f64>() / channels; 4];
        }
        sums
    }

    /// Number of channels.
    fn channels(&self) -> usize {
        self.held.iter().flatten().filter(|held| **held).count()
    }
}

impl Operator for Normalize {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Normalize && info.macs == 0
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Tiling { shape, tile_len } = *tiling;
        check::parts(shape, tile_len)?;
        let planes = self.gather.check(memory, blocks(shape))?;
        ensure(self.held.len() == planes && self.channels() == shape.channels, "planes of other results")?;
        Ok(self.gather.work(blocks(shape)).saturating_mul(4))
    }

    fn planes(&self) -> usize {
        self.held.len()
    }

    fn planes_at_once(&self) -> usize {
        self.held.len()
    }

    fn scratch(&self, tiling: &Tiling) -> ScratchSize {
        f32::scratch_size((4 * tiling.tile_len * self.held.len(), 0))
    }
}

impl Compute<f32> for Normalize {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Tile { kernels, sources, first, pixels, .. } = tile;
        let (values, _) = f32::scratch(scratch);
        let stride = 4 * pixels;
        self.gather.read(kernels, sources, (first, pixels), planes, values, stride);
        kernels.vectorize(
            #[inline(always)]
            || {
                for at in (0..stride).step_by(VALUES) {
                    let len = VALUES.min(stride - at);
                    let write = |plane: usize, results: &[f32]| out.plane(plane)[at..][..len].copy_from_slice(results);
                    self.block(&values[at..], stride, len, write);
                }
            },
        );
    }
}
