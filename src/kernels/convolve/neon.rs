//! NEON: a vector holds 4 pixels of four channels.
//!
//! `smull` and `smlal` add two products in 16 bits without saturating: codes are shifted to -128 to 127, weights are at most 127,
//! and 2 * 128 * 127 = 32,512 fits. `sadalp` adds neighbours of those to sums of 32 bits.

use core::arch::aarch64::*;
use std::ops::Range;

use super::{Convolution, Requantize};

/// Vectors of pixels that are worked on together.
const VECTORS: usize = 2;

pub(super) fn convolve(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    input: &[u8],
    output: &mut [u8],
    plane: usize,
    pixels: Range<usize>,
) {
    for pixel in pixels.step_by(4 * VECTORS) {
        for group in 0..convolution.weights.groups() {
            // SAFETY: NEON is part of every 64-bit ARM processor; the pixels and the group exist, and
            // `Kernels::convolve` asserted the lengths of the slices.
            unsafe {
                let x = input.as_ptr().add(4 * pixel);
                let y = output.as_mut_ptr().add(group * plane + 4 * pixel);
                tile(convolution, requantize, x, y, group);
            }
        }
    }
}

/// Four outputs at 8 pixels.
///
/// # Safety
/// `x` and `y` are the places of the first pixel in slices as long as [`super::Kernels::convolve`] asserts.
#[inline]
unsafe fn tile(convolution: &Convolution<'_>, requantize: &Requantize<'_>, x: *const u8, y: *mut u8, group: usize) {
    let Convolution { weights, offsets, start } = convolution;
    // SAFETY: every address is inside a slice whose length the caller vouches for.
    unsafe {
        // Of each output and vector the sums of the first two pixels, each in two halves, and of the other two.
        let mut sums = [[[vdupq_n_s32(0); 2]; VECTORS]; 4];
        let w = weights.codes.as_ptr().add(group * weights.steps * 16);
        let half = vdupq_n_u8(0x80);
        let load = |step: usize, v: usize| {
            let offset = *offsets.get_unchecked(step);
            vreinterpretq_s8_u8(veorq_u8(vld1q_u8(x.add(offset + 16 * v)), half))
        };
        let weight = |step: usize| vreinterpretq_s32_s8(vld1q_s8(w.add(16 * step)));
        let spread = |w: int32x4_t| {
            [vdup_laneq_s32::<0>(w), vdup_laneq_s32::<1>(w), vdup_laneq_s32::<2>(w), vdup_laneq_s32::<3>(w)]
                .map(|w| vreinterpret_s8_s32(w))
        };
        let mut step = 0;
        while step + 2 <= weights.steps {
            let (first, second) = (spread(weight(step)), spread(weight(step + 1)));
            for v in 0..VECTORS {
                let (a, b) = (load(step, v), load(step + 1, v));
                for (o, sums) in sums.iter_mut().enumerate() {
                    let low = vmlal_s8(vmull_s8(vget_low_s8(a), first[o]), vget_low_s8(b), second[o]);
                    let high = vmlal_s8(vmull_s8(vget_high_s8(a), first[o]), vget_high_s8(b), second[o]);
                    sums[v] = [vpadalq_s16(sums[v][0], low), vpadalq_s16(sums[v][1], high)];
                }
            }
            step += 2;
        }
        if step < weights.steps {
            let first = spread(weight(step));
            for v in 0..VECTORS {
                let a = load(step, v);
                for (o, sums) in sums.iter_mut().enumerate() {
                    let (low, high) = (vmull_s8(vget_low_s8(a), first[o]), vmull_s8(vget_high_s8(a), first[o]));
                    sums[v] = [vpadalq_s16(sums[v][0], low), vpadalq_s16(sums[v][1], high)];
                }
            }
        }
        for v in 0..VECTORS {
            let sum = |o: usize| {
                let from = start.get_unchecked(4 * group + o) + weights.shifts.get_unchecked(4 * group + o);
                vaddq_s32(vpaddq_s32(sums[o][v][0], sums[o][v][1]), vdupq_n_s32(from))
            };
            let codes = codes(requantize, group, [sum(0), sum(1), sum(2), sum(3)]);
            vst1q_u8(y.add(16 * v), codes);
        }
    }
}

/// The codes of four outputs at 4 pixels.
///
/// # Safety
/// There is a factor and a summand for each output of the group.
#[inline(always)]
pub(super) unsafe fn codes(requantize: &Requantize<'_>, group: usize, sums: [int32x4_t; 4]) -> uint8x16_t {
    let Requantize { mul, add, low, high } = *requantize;
    // SAFETY: as the caller says; NEON is part of every 64-bit ARM processor.
    unsafe {
        let code = |o: usize| {
            let (mul, add) = (*mul.get_unchecked(4 * group + o), *add.get_unchecked(4 * group + o));
            let value = vfmaq_f32(vdupq_n_f32(add), vcvtq_f32_s32(sums[o]), vdupq_n_f32(mul));
            // `maxnm` gives the number where the other is NaN.
            vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(value, vdupq_n_f32(low)), vdupq_n_f32(high)))
        };
        let two = vsliq_n_s32::<8>(code(0), code(1));
        let four = vsliq_n_s32::<24>(vsliq_n_s32::<16>(two, code(2)), code(3));
        vreinterpretq_u8_s32(four)
    }
}
