//! What a lowered operator is to the engine: something that computes its results tile by tile.
//!
//! A new operator is a file beside this one that implements [`Operator`] and [`Compute`], an entry in one of the two lists below, and a
//! case in [`Task::new`](super::task::Task::new).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::LayerInfo;
use super::check::{Checked, Readable};
use super::convolve::{Accumulated, Requantized};
use super::convolve_f32::ConvolutionF32;
use super::memory::{ScratchSize, Sources, TileScratch};
use super::pool::{MaxPool, PoolF32, SumPool};
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
    fn blob(&mut self) -> Option<Blob<'_>> {
        None
    }
}

/// An operator whose results are of type `T`: quantized values, or f32.
pub(super) trait Compute<T>: Operator {
    /// Computes these planes of a tile.
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, T>);
}

/// A list of the operators with one type of results.
macro_rules! operators {
    ($(#[$doc:meta])* $list:ident: $element:ty, $($operator:ident),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) enum $list {
            $($operator($operator)),+
        }

        impl $list {
            pub(super) fn get(&self) -> &dyn Compute<$element> {
                match self {
                    $(Self::$operator(operator) => operator),+
                }
            }

            pub(super) fn get_mut(&mut self) -> &mut dyn Compute<$element> {
                match self {
                    $(Self::$operator(operator) => operator),+
                }
            }
        }

        $(impl From<$operator> for $list {
            fn from(operator: $operator) -> Self {
                Self::$operator(operator)
            }
        })+
    };
}

operators! {
    /// The operators that give quantized values.
    QuantizedOperator: u8, Requantized, MaxPool
}

operators! {
    /// The operators that give f32 values.
    F32Operator: f32, Accumulated, ConvolutionF32, PoolF32, SumPool
}
