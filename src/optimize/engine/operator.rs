//! The interface between the engine and its operators, which compute their results tile by tile.
//!
//! A new operator is a file beside this one that implements [`Operator`] and [`Compute`], a name in one of the
//! [lists](super::operators), and a case where layers are [lowered](super::lower).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable};
use super::layer_info::LayerInfo;
use super::memory::{ScratchSize, Sources, TileScratch};
use crate::kernels::{Blob, Kernels, PlanesMut};
use crate::model::fused::Shape;

/// A tile: a range of the pixels of a layer's results, and the memory that can be read for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The kernels that compute it.
    pub(super) kernels: Kernels,
    /// All segments, without the range that the layer writes.
    pub(super) sources: Sources<'a>,
    /// The first pixel.
    pub(super) first: usize,
    /// Number of pixels, a multiple of [`Kernels::pixel_multiple`].
    pub(super) pixels: usize,
    /// Number of them that are inside the image.
    pub(super) inside: usize,
    /// The row of the first pixel.
    pub(super) row: usize,
}

/// The shape of a layer's results, and their division into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tiling {
    /// The shape.
    pub(super) shape: Shape,
    /// Pixels of a tile; the last may have fewer.
    pub(super) tile_len: usize,
}

impl Tiling {
    /// Pixels of a tile, a multiple of `unit`: there are as many tiles for each of the threads, about equally long and no longer than these.
    pub(super) fn shared(&self, threads: usize, unit: usize) -> usize {
        let area = self.shape.area();
        let tiles = area.div_ceil(self.tile_len).next_multiple_of(threads);
        area.div_ceil(unit).div_ceil(tiles) * unit
    }
}

/// An operator of a layer. Its results are planes of four channels.
pub(super) trait Operator {
    /// Whether `info` describes this operator.
    fn is(&self, info: &LayerInfo) -> bool;

    /// Checks that `kernels` can compute such tiles from `memory`; returns the approximate multiply-adds of all of them.
    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64>;

    /// Number of planes of its results.
    fn planes(&self) -> usize;

    /// Number of planes computed in one call: all, or one.
    fn planes_at_once(&self) -> usize;

    /// The scratch that a tile needs.
    fn scratch(&self, tiling: &Tiling) -> ScratchSize;

    /// How many tiles it takes at a time where no other thread waits for one: those that read and write segments only, and each time the weights.
    fn tiles_together(&self, _: &Tiling) -> usize {
        1
    }

    /// The pixels that shorter tiles may be multiples of, so that there are as many for each thread. `None` if all are as long as the tiling's.
    fn tile_unit(&self, _: Kernels) -> Option<usize> {
        None
    }

    /// How it computes, in one word, where there is another way.
    fn algorithm(&self) -> &'static str {
        "direct"
    }

    /// Its weights, which are stored apart from the engine.
    fn blobs(&mut self) -> Vec<Blob<'_>> {
        Vec::new()
    }
}

/// An operator whose results are of type `T`: quantized values, or f32.
pub(super) trait Compute<T>: Operator {
    /// Computes the planes `planes` of a tile.
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, T>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_tiles_evenly() {
        let shared = |width: usize, tile_len: usize, threads: usize, unit: usize| {
            Tiling { shape: Shape { channels: 8, height: width, width }, tile_len }.shared(threads, unit)
        };
        assert_eq!([1, 2, 4].map(|threads| shared(16, 256, threads, 8)), [256, 128, 64]);
        assert_eq!([2, 3, 4].map(|threads| shared(14, 112, threads, 8)), [104, 72, 56]);
        // More threads than tiles can be made for.
        assert_eq!([4, 16].map(|threads| shared(7, 64, threads, 16)), [16, 16]);
        for (width, tile_len, threads, unit) in [(56, 256, 4, 8), (28, 160, 4, 16), (33, 48, 3, 8), (5, 16, 64, 16)] {
            let len = shared(width, tile_len, threads, unit);
            assert!(len <= tile_len && len.is_multiple_of(unit) && len > 0, "{width}, {tile_len}, {threads}, {unit}");
        }
    }
}
