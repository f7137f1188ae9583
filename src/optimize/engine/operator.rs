//! The interface between the engine and its operators, which compute their results tile by tile.
//!
//! A new operator is a file beside this one that implements [`Operator`] and [`Compute`], a name in one of the
//! [lists](super::operators), and a case where layers are [lowered](super::lower).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, work};
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

/// The shape of a layer's results, and the length of tiles. How threads share them is in [`divide`](super::divide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tiling {
    /// The shape.
    pub(super) shape: Shape,
    /// Pixels of a tile; the last may have fewer.
    pub(super) tile_len: usize,
}

/// The instructions that a pixel of a plane takes where nothing else is known.
const PIXEL_COST: usize = 8;

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

    /// Planes behind which a tile may end, in order, the last one too.
    fn cuts(&self) -> Vec<usize> {
        let planes = self.planes();
        if self.planes_at_once() == 1 { (1..=planes).collect() } else { vec![planes] }
    }

    /// About how many instructions these planes of a tile of so many pixels take.
    fn cost(&self, _: Kernels, _: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        work(&[PIXEL_COST, pixels, planes.len()])
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
