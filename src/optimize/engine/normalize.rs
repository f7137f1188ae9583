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

/// Values of the pixels that are normalized at once.
const VALUES: usize = 16;
const PIXELS: usize = VALUES / 4;

impl Normalize {
    /// The operator for a layer, and the pixels of a tile.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, epsilon: f32) -> (Self, usize) {
        let gather = Gather::new(&layer.reads, lowering.segments, lowering.places);
        let mut held = vec![[false; 4]; gather.planes()];
        read_lanes(&layer.reads, lowering.segments).into_iter().for_each(|lane| held[lane / 4][lane % 4] = true);
        let tile_len = tile_len::<f32>(layer, 4 * held.len());
        (Self { gather, held, epsilon }, tile_len)
    }

    /// The values in one place of each plane, with 0 in lanes without a channel.
    #[inline(always)]
    fn column<'a>(&'a self, values: &'a [f32], stride: usize) -> impl Iterator<Item = [f64; VALUES]> + 'a {
        self.held
            .iter()
            .zip(values.chunks(stride))
            .map(|(held, plane)| std::array::from_fn(|at| if held[at % 4] { f64::from(plane[at]) } else { 0.0 }))
    }

    /// Normalizes `VALUES` values of each plane of `values`, which are `stride` apart, into the same place of `out`.
    #[inline(always)]
    fn block(&self, values: &[f32], stride: usize, channels: f64, mut write: impl FnMut(usize, [f32; VALUES])) {
        let mean = self.average(values, stride, channels, [0.0; PIXELS], |value| value);
        let variance = self.average(values, stride, channels, mean, |value| value * value);
        let factor = variance.map(|variance| 1.0 / (variance + f64::from(self.epsilon)).sqrt());
        for (number, column) in self.column(values, stride).enumerate() {
            write(number, std::array::from_fn(|at| ((column[at] - mean[at / 4]) * factor[at / 4]) as f32));
        }
    }

    /// The average over each pixel's channels of a function of the value less `minus`.
    #[inline(always)]
    fn average(
        &self,
        values: &[f32],
        stride: usize,
        channels: f64,
        minus: [f64; PIXELS],
        of: impl Fn(f64) -> f64,
    ) -> [f64; PIXELS] {
        let mut sums = [0.0; VALUES];
        for (held, column) in self.held.iter().zip(self.column(values, stride)) {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += if held[at % 4] { of(column[at] - minus[at / 4]) } else { 0.0 };
            }
        }
        std::array::from_fn(|pixel| sums[4 * pixel..][..4].iter().sum::<f64>() / channels)
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
        let held = self.held.iter().flatten().filter(|held| **held).count();
        ensure(self.held.len() == planes && held == shape.channels, "planes of other results")?;
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
        let (stride, channels) = (4 * pixels, self.held.iter().flatten().filter(|held| **held).count() as f64);
        self.gather.read(kernels, sources, (first, pixels), planes, values, stride);
        kernels.vectorize(
            #[inline(always)]
            || {
                for at in (0..stride).step_by(VALUES) {
                    let write = |plane: usize, results: [f32; VALUES]| {
                        out.plane(plane)[at..][..VALUES].copy_from_slice(&results);
                    };
                    self.block(&values[at..], stride, channels, write);
                }
            },
        );
    }
}
