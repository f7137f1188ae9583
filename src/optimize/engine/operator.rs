//! What a lowered operator is to the engine: something that computes its results tile by tile.
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

/// A range of the pixels of a layer's results, and what can be read for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The kernels to compute it with.
    pub(super) kernels: Kernels,
    /// Everything but what the layer writes.
    pub(super) sources: Sources<'a>,
    /// The first pixel.
    pub(super) first: usize,
    /// Number of pixels, a multiple of [`Kernels::pixel_multiple`].
    pub(super) pixels: usize,
    /// The row of the first pixel.
    pub(super) row: usize,
}

/// The shape of a layer's results, and how many pixels of them are a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tiling {
    /// The shape.
    pub(super) shape: Shape,
    /// Pixels of a tile; the last may have fewer.
    pub(super) tile_len: usize,
}

/// An operator of a layer. Its results are planes of four channels.
pub(super) trait Operator {
    /// Whether this is said of such an operator.
    fn is(&self, info: &LayerInfo) -> bool;

    /// Whether `kernels` can compute such tiles with what they can read in `memory`; about how many multiply-adds all of them take.
    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64>;

    /// Planes of its results.
    fn planes(&self) -> usize;

    /// Planes that are computed in one call: all, or each alone.
    fn planes_at_once(&self) -> usize;

    /// Scratch that a tile takes.
    fn scratch(&self, tiling: &Tiling) -> ScratchSize;

    /// Its weights, which are stored apart.
    fn blobs(&mut self) -> Vec<Blob<'_>> {
        Vec::new()
    }
}

/// An operator whose results are of type `T`: quantized values, or f32.
pub(super) trait Compute<T>: Operator {
    /// Computes these planes of a tile.
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, T>);
}
