//! The kernels for f32 values, f32, where a network or a part of it has no quantized values.
//!
//! Planes, blocks of pixels and steps are those of the int8 kernels, with values in place of bytes: `[channels / 4][pixels][4]`,
//! distances and offsets counted in values. Here too all instruction sets give the same bits: each multiplication is fused
//! with its addition, and sums have one order.

use super::{Blob, CHANNEL_BLOCK, Kernels, PlanesMut};

mod affine;
mod bounds;
mod convolve;
#[cfg(test)]
mod tests;

use bounds::Bounds;

pub use affine::{AffineChainF32, ChainInputF32, Operand};
pub use convolve::{BiasClamp, ConvolveF32, PackedF32};
