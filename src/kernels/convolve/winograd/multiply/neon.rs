//! NEON of ARMv8.0: `smlal` multiplies s16 by one s16 and adds to i32.
//!
//! A vector is a channel of 8 tiles, another one the weights of up to 8 output channels for it. Accumulators are kept for 8 output channels.

use core::arch::aarch64::*;

use super::super::OutputArgs;
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
    // SAFETY: `args` was checked; the operands are those of so many outputs.
    unsafe {
        for_operands(args, 8, |operands, outputs| {
            for block in 0..blocks {
                if outputs == 8 {
                    run8(operands, block);
                } else {
                    run4(operands, block);
                }
            }
        });
    }
}

/// Adds the products of a channel of 8 tiles and its weight for one output channel.
macro_rules! add_products {
    ($acc:ident, $x:ident, $w:ident, $($o:literal)+) => {
        $(
            $acc[$o][0] = vmlal_laneq_s16::<$o>($acc[$o][0], vget_low_s16($x), $w);
            $acc[$o][1] = vmlal_high_laneq_s16::<$o>($acc[$o][1], $x, $w);
        )+
    };
}

/// The sums of 8 output channels and a block of tiles.
///
/// # Safety
/// The operands must be those of 8 output channels, with such a block.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn run8(operands: Operands, block: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[vdupq_n_s32(0); 2]; 8];
    // SAFETY: each block has a vector for each of both channels of a pair.
    let x = unsafe { activations.add(block * pairs * LANES).cast::<i16>() };
    let weights = weights.cast::<i16>();
    for channel in 0..2 * pairs {
        // SAFETY: a block of output channels has a weight for each of them and each channel.
        let (x, w) = unsafe { (vld1q_s16(x.add(LANES * channel)), vld1q_s16(weights.add(8 * channel))) };
        add_products!(acc, x, w, 0 1 2 3 4 5 6 7);
    }
    // SAFETY: each output channel has sums for all blocks.
    unsafe { store(acc, sums.add(block * LANES), tiles) };
}

/// As [`run8`], for 4 output channels.
///
/// # Safety
/// The operands must be those of 4 output channels, with such a block.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn run4(operands: Operands, block: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[vdupq_n_s32(0); 2]; 4];
    // SAFETY: each block has a vector for each of both channels of a pair.
    let x = unsafe { activations.add(block * pairs * LANES).cast::<i16>() };
    let weights = weights.cast::<i16>();
    for channel in 0..2 * pairs {
        // SAFETY: a block of output channels has a weight for each of them and each channel.
        let (x, w) = unsafe { (vld1q_s16(x.add(LANES * channel)), vld1_s16(weights.add(4 * channel))) };
        let w = vcombine_s16(w, w);
        add_products!(acc, x, w, 0 1 2 3);
    }
    // SAFETY: each output channel has sums for all blocks.
    unsafe { store(acc, sums.add(block * LANES), tiles) };
}

/// Writes sums of a block of tiles.
///
/// # Safety
/// From `to` on, 8 sums of each output channel can be written, `tiles` apart.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store<const O: usize>(acc: [[int32x4_t; 2]; O], to: *mut i32, tiles: usize) {
    for (o, [low, high]) in acc.into_iter().enumerate() {
        // SAFETY: the caller promises it.
        unsafe {
            vst1q_s32(to.add(o * tiles), low);
            vst1q_s32(to.add(o * tiles + 4), high);
        }
    }
}
