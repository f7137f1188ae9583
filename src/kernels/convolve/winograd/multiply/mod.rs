//! Products of the vector kernels: at each position by itself, transformed activations times weights, summed over channels.

use std::ops::Range;

use super::packed::block;
use super::{OutputArgs, POSITIONS, SIDE};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::multiply as avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512vnni::multiply as avx512vnni;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::multiply as neon;

/// The operands at one position of some output channels.
#[derive(Clone, Copy)]
struct Operands {
    /// `[blocks of tiles][pairs of channels][lanes]`.
    activations: *const i32,
    /// `[blocks of output channels][pairs of channels][output channels of the block]`, each two s16.
    weights: *const i32,
    /// Number of pairs of channels.
    pairs: usize,
    /// `[output channels][tiles]`, `tiles` apart.
    sums: *mut i32,
    tiles: usize,
}

/// Calls `kernel` with the operands of each position and some output channels, and their number: `most` where there are so many left, else those
/// of a block.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[inline(always)]
unsafe fn for_operands(args: &OutputArgs<'_>, most: usize, kernel: impl Fn(Operands, usize)) {
    let (packed, layout) = (args.packed, args.packed.layout());
    let (outputs, pairs) = (packed.outputs(), 2 * packed.planes());
    for position in 0..POSITIONS {
        let Range { start: mut first, end } = args.outputs;
        while first < end {
            let left = end - first;
            let width = if left >= most { most } else { left.min(block(packed.isa())) };
            // SAFETY: these are parts of the scratch, and of the weights.
            let operands = unsafe {
                Operands {
                    activations: args.scratch.add(position * layout.input_stride),
                    weights: packed.weights().as_ptr().cast::<i32>().add(pairs * (position * outputs + first)),
                    pairs,
                    sums: args.scratch.add(layout.sums + position * layout.sums_stride + first * layout.tiles),
                    tiles: layout.tiles,
                }
            };
            kernel(operands, width);
            first += width;
        }
    }
}

/// The blocks of tiles that have results.
fn blocks(args: &OutputArgs<'_>) -> usize {
    (args.height.div_ceil(SIDE) * args.packed.columns()).div_ceil(args.packed.layout().lanes)
}
