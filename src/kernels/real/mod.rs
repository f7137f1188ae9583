//! The kernels for real numbers, f32, where a network or a part of it has no codes.
//!
//! Planes, blocks of pixels and steps are those of the int8 kernels, with values in place of bytes: `[channels / 4][pixels][4]`,
//! distances and offsets counted in values. Here too all instruction sets give the same bits: each multiplication is fused
//! with its addition, and sums have one order.

use super::{Blob, GROUP, Kernels, PlanesMut};

mod bounds;
mod convolve;
mod read;
#[cfg(test)]
mod tests;

use bounds::Bounds;

pub use convolve::{ConvolveReal, Finish, PackedReal};
pub use read::{ReadReal, RealReader, Source};
