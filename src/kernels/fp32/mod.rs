//! The f32 kernels, for networks or parts of them without quantized values.
//!
//! Planes, pixel blocks and k-steps are those of the int8 kernels, with f32 in place of bytes: `[channels / 4][pixels][4]`,
//! with strides and offsets in values. All instruction sets give the same bits here too: each multiplication is fused with its
//! addition, and the order of sums is fixed.

use super::{Blob, CHANNEL_BLOCK, Kernels, PlanesMut, Weights};

mod affine;
mod bounds;
mod convolve;
mod depthwise;
#[cfg(test)]
mod tests;
mod winograd;

use bounds::Bounds;
use convolve::OUTPUT_BLOCK;

pub use affine::{AffineChainF32, ChainInputF32, Operand};
pub use convolve::{BiasClamp, ConvolveF32, F32_PIXELS, PackedF32};
pub use depthwise::DepthwiseF32;
pub use winograd::{PackedWinograd, WINOGRAD_POSITIONS, WINOGRAD_ROWS, WinogradInput, winograd_weights};
