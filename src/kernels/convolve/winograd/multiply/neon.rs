//! NEON of ARMv8.0: `smlal` multiplies s16 by one s16 and adds to i32.
//!
//! A vector is a channel of 8 tiles, another one the weights of up to 8 output channels for it. Accumulators are kept for 8 output channels.

use core::arch::aarch64::*;

use super::super::{OutputArgs, SIDE};
use super::{Operands, blocks, for_operands};

/// Tiles of a vector.
const LANES: usize = 8;

/// Multiplies.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have NEON.
#[target_feature(enable = "neon")]
pub(in super::super) unsafe fn multiply(args: &OutputArgs<'_>) {
    let blocks = blocks(args);
    let tiles = args.height.div_ceil(SIDE) * args.packed.columns();
    // SAFETY: `args` was checked; the operands are those of so many outputs.
    unsafe {
        for_operands(args, 8, |operands, outputs| {
            for block in 0..blocks {
                // The last block may have half as many tiles.
                match (outputs, tiles - block * LANES > LANES / 2) {
                    (8, true) => run8::<true>(operands, block),
                    (8, false) => run8::<false>(operands, block),
                    (_, true) => run4::<true>(operands, block),
                    (_, false) => run4::<false>(operands, block),
                }
            }
        });
    }
}

/// Adds the products of a channel of 8 tiles, or of the first 4 if not `WHOLE`, and its weight for each output channel.
macro_rules! add_products {
    ($acc:ident, $x:expr, $w:expr, $($lane:literal)+) => {
        $(
            let acc = &mut $acc[$lane % $acc.len()];
            acc[0] = vmlal_laneq_s16::<$lane>(acc[0], vget_low_s16($x), $w);
            if WHOLE {
                acc[1] = vmlal_high_laneq_s16::<$lane>(acc[1], $x, $w);
            }
        )+
    };
}

/// The sums of 8 output channels and a block of tiles.
///
/// # Safety
/// The operands must be those of 8 output channels, with such a block.
#[target_feature(enable = "neon")]
unsafe fn run8<const WHOLE: bool>(operands: Operands, block: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[vdupq_n_s32(0); 2]; 8];
    let mut x = activations.wrapping_add(block * pairs * LANES).cast::<i16>();
    let mut w = weights.cast::<i16>();
    for _ in 0..pairs {
        // SAFETY: each block has a vector for each of both channels of a pair, and a block of output channels 8 weights for each.
        let (x0, x1, w0, w1) = unsafe { (vld1q_s16(x), vld1q_s16(x.add(LANES)), vld1q_s16(w), vld1q_s16(w.add(8))) };
        add_products!(acc, x0, w0, 0 1 2 3 4 5 6 7);
        add_products!(acc, x1, w1, 0 1 2 3 4 5 6 7);
        (x, w) = (x.wrapping_add(2 * LANES), w.wrapping_add(16));
    }
    // SAFETY: each output channel has sums for all blocks.
    unsafe { store::<8, WHOLE>(acc, sums.add(block * LANES), tiles) };
}

/// As [`run8`], for 4 output channels.
///
/// # Safety
/// The operands must be those of 4 output channels, with such a block.
#[target_feature(enable = "neon")]
unsafe fn run4<const WHOLE: bool>(operands: Operands, block: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[vdupq_n_s32(0); 2]; 4];
    let mut x = activations.wrapping_add(block * pairs * LANES).cast::<i16>();
    let mut w = weights.cast::<i16>();
    for _ in 0..pairs {
        // SAFETY: each block has a vector for each of both channels of a pair, and a block of output channels 4 weights for each.
        let (x0, x1, both) = unsafe { (vld1q_s16(x), vld1q_s16(x.add(LANES)), vld1q_s16(w)) };
        add_products!(acc, x0, both, 0 1 2 3);
        add_products!(acc, x1, both, 4 5 6 7);
        (x, w) = (x.wrapping_add(2 * LANES), w.wrapping_add(8));
    }
    // SAFETY: each output channel has sums for all blocks.
    unsafe { store::<4, WHOLE>(acc, sums.add(block * LANES), tiles) };
}

/// Writes sums of a block of tiles, of the first 4 if not `WHOLE`.
///
/// # Safety
/// From `to` on, 8 sums of each output channel can be written, `tiles` apart.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store<const O: usize, const WHOLE: bool>(acc: [[int32x4_t; 2]; O], to: *mut i32, tiles: usize) {
    for (o, [low, high]) in acc.into_iter().enumerate() {
        // SAFETY: the caller promises it.
        unsafe {
            vst1q_s32(to.add(o * tiles), low);
            if WHOLE {
                vst1q_s32(to.add(o * tiles + 4), high);
            }
        }
    }
}
