//! The dot products of ARM: a vector holds 4 pixels of four channels, one instruction multiplies them with the four weights of an
//! output and adds them up.
//!
//! `sdot` takes codes shifted to -128 to 127; `usdot` (I8MM) takes them as they are. Both are written as assembly, as Rust's own
//! functions for them are not stable.

use core::arch::aarch64::*;
use core::arch::asm;
use std::ops::Range;

use super::neon::codes;
use super::{Convolution, Requantize};

/// Vectors of pixels that are worked on together.
const VECTORS: usize = 2;

/// With `UNSIGNED` by `usdot`, else by `sdot`.
///
/// # Safety
/// The processor has I8MM or the dot products respectively, and the slices are as long as [`super::Kernels::convolve`] asserts.
pub(super) unsafe fn convolve<const UNSIGNED: bool>(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    input: &[u8],
    output: &mut [u8],
    plane: usize,
    pixels: Range<usize>,
) {
    let groups = convolution.weights.groups();
    for pixel in pixels.step_by(4 * VECTORS) {
        let mut group = 0;
        while group < groups {
            let together = (groups - group).min(3);
            // SAFETY: the pixels and the groups exist; the caller vouches for processor and slices.
            unsafe {
                let x = input.as_ptr().add(4 * pixel);
                let y = output.as_mut_ptr().add(group * plane + 4 * pixel);
                match together {
                    3 => tile::<UNSIGNED, 3>(convolution, requantize, x, y, plane, group),
                    2 => tile::<UNSIGNED, 2>(convolution, requantize, x, y, plane, group),
                    _ => tile::<UNSIGNED, 1>(convolution, requantize, x, y, plane, group),
                }
            }
            group += together;
        }
    }
}

/// `G` groups of four outputs at 8 pixels.
///
/// # Safety
/// As [`convolve`]; `x` and `y` are the places of the first pixel.
#[inline(always)]
unsafe fn tile<const UNSIGNED: bool, const G: usize>(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    x: *const u8,
    y: *mut u8,
    plane: usize,
    group: usize,
) {
    let Convolution { weights, offsets, start } = convolution;
    // SAFETY: every address is inside a slice whose length the caller vouches for.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); VECTORS]; 4]; G];
        for (g, sums) in sums.iter_mut().enumerate() {
            for (o, sums) in sums.iter_mut().enumerate() {
                let at = 4 * (group + g) + o;
                let shift = if UNSIGNED { 0 } else { *weights.shifts.get_unchecked(at) };
                *sums = [vdupq_n_s32(start.get_unchecked(at) + shift); VECTORS];
            }
        }
        let w = weights.codes.as_ptr().add(group * weights.steps * 16);
        for (step, &offset) in offsets.iter().enumerate() {
            let x: [uint8x16_t; VECTORS] = std::array::from_fn(|v| {
                let x = vld1q_u8(x.add(offset + 16 * v));
                if UNSIGNED { x } else { veorq_u8(x, vdupq_n_u8(0x80)) }
            });
            for (g, [a, b, c, d]) in sums.iter_mut().enumerate() {
                let w = vld1q_s8(w.add((g * weights.steps + step) * 16));
                for (v, x) in x.into_iter().enumerate() {
                    dot::<UNSIGNED, 0>(&mut a[v], x, w);
                    dot::<UNSIGNED, 1>(&mut b[v], x, w);
                    dot::<UNSIGNED, 2>(&mut c[v], x, w);
                    dot::<UNSIGNED, 3>(&mut d[v], x, w);
                }
            }
        }
        for (g, [a, b, c, d]) in sums.into_iter().enumerate() {
            for v in 0..VECTORS {
                let codes = codes(requantize, group + g, [a[v], b[v], c[v], d[v]]);
                vst1q_u8(y.add(g * plane + 16 * v), codes);
            }
        }
    }
}

/// Adds to each sum the products of its four codes with the weights of output `O`.
///
/// # Safety
/// As [`convolve`].
#[inline(always)]
unsafe fn dot<const UNSIGNED: bool, const O: i32>(sum: &mut int32x4_t, x: uint8x16_t, w: int8x16_t) {
    // SAFETY: the instructions work on registers only; the caller vouches that the processor has them.
    unsafe {
        if UNSIGNED {
            asm!(
                ".arch_extension i8mm",
                "usdot {sum:v}.4s, {x:v}.16b, {w:v}.4b[{o}]",
                sum = inout(vreg) *sum, x = in(vreg) x, w = in(vreg) w, o = const O,
                options(pure, nomem, nostack, preserves_flags)
            );
        } else {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {x:v}.16b, {w:v}.4b[{o}]",
                sum = inout(vreg) *sum, x = in(vreg) x, w = in(vreg) w, o = const O,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}
