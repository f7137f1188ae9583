//! ARMv8.0, and all that came later: a vector is a step of one pixel.
//!
//! A tile keeps accumulators for 4 output channels of 4 vectors. While the vectors of a block of pixels are near, all blocks of
//! output channels go over them.

use core::arch::aarch64::*;

use super::ConvolveF32Args;

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn convolve(args: &ConvolveF32Args) {
    let (low, high) = (vdupq_n_f32(args.bias_clamp.bounds.low), vdupq_n_f32(args.bias_clamp.bounds.high));
    for pixel in (0..args.pixels).step_by(4) {
        for (first, weights) in args.packed.blocks() {
            // SAFETY: `args` was checked, and the pixels are inside its range.
            let acc = unsafe { tile(args.input.add(4 * pixel), args.packed.offsets(), weights) };
            // SAFETY: four floats for each block of channels.
            let four = |values: &[f32]| unsafe { vld1q_f32(values[first..first + 4].as_ptr()) };
            let (mul, add) = (four(&args.bias_clamp.mul), four(&args.bias_clamp.add));
            for v in 0..4 {
                // Neighbours are added: of each channel two chains, then the two sums.
                let halves = [vpaddq_f32(acc[0][v], acc[1][v]), vpaddq_f32(acc[2][v], acc[3][v])];
                let value = vfmaq_f32(add, vpaddq_f32(halves[0], halves[1]), mul);
                // `maxnm` gives the number where the other is NaN.
                let value = vminnmq_f32(vmaxnmq_f32(value, low), high);
                // SAFETY: all pixels of all planes can be written.
                unsafe { vst1q_f32(args.out.add(first / 4 * args.plane_stride + 4 * (pixel + v)), value) };
            }
        }
    }
}

/// The chains of 4 output channels and 4 pixels.
///
/// # Safety
/// 16 values must be readable from `input` plus each offset on; there must be 16 weights for each offset.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile(input: *const f32, offsets: &[u32], weights: &[f32]) -> [[float32x4_t; 4]; 4] {
    let mut acc = [[vdupq_n_f32(0.0); 4]; 4];
    let mut weights = weights.as_ptr();
    for &offset in offsets {
        let (mut x, mut w) = ([vdupq_n_f32(0.0); 4], [vdupq_n_f32(0.0); 4]);
        for i in 0..4 {
            // SAFETY: 16 values can be read from `input` plus the offset on, and each offset has 16 weights.
            (x[i], w[i]) = unsafe { (vld1q_f32(input.add(offset as usize + 4 * i)), vld1q_f32(weights.add(4 * i))) };
        }
        for o in 0..4 {
            for v in 0..4 {
                acc[o][v] = vfmaq_f32(acc[o][v], x[v], w[o]);
            }
        }
        weights = weights.wrapping_add(16);
    }
    acc
}
