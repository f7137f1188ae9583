//! ARMv8.0, and all that came later.

use core::arch::aarch64::*;

use super::super::convolve::narrow;
use super::fixed::Fixed;
use super::{AffineArgs, ClampRound, Pass};

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn affine(args: &AffineArgs) {
    let simple = args.bounds.len() == 1 && !args.clamp && !args.to_signed && args.flip_in == 0;
    for (plane, (factors, fixed)) in args.factors.chunks_exact(args.bounds.len()).zip(args.fixed).enumerate() {
        for pass in args.passes(plane) {
            // SAFETY: a pass reads and writes all pixels of one plane, which `args` says can be.
            unsafe {
                match pass.fixed {
                    [one] => integers(&pass, [one]),
                    [one, two] => integers(&pass, [one, two]),
                    _ => unreachable!("one or two"),
                }
            }
        }
        if !fixed.is_empty() {
            continue;
        }
        // SAFETY: all pixels of this plane can be read and written, and `factors` are the plane's.
        unsafe {
            match (args.signed, simple) {
                (true, true) => floats::<true, true>(args, plane, factors),
                (true, false) => floats::<true, false>(args, plane, factors),
                (false, true) => floats::<false, true>(args, plane, factors),
                (false, false) => floats::<false, false>(args, plane, factors),
            }
        }
    }
}

/// Does a pass, with the integers of its affines.
///
/// # Safety
/// As [`affine`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn integers<const N: usize>(pass: &Pass<'_>, fixed: [&Fixed; N]) {
    // SAFETY: four integers.
    let four = |values: &[i16; 4]| unsafe { vld1_s16(values.as_ptr()) };
    let four = |values| vcombine_s16(four(values), four(values));
    let fixed = fixed.map(|f| [four(&f.factor), four(&f.summand), four(&f.back)]);
    let (flip_in, flip_out) = (vdupq_n_u8(pass.flip_in), vdupq_n_u8(pass.flip_out));
    for quarter in 0..pass.pixels / 4 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe { (pass.from.add(16 * quarter), pass.to.add(16 * quarter)) };
        // SAFETY: 16 bytes of a block.
        let mut qvalues = vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(from) }, flip_in));
        for [factor, summand, back] in fixed {
            // Times 256.
            let zero = vdupq_n_s8(0);
            let mut halves =
                [vzip1q_s8(zero, qvalues), vzip2q_s8(zero, qvalues)].map(|half| vreinterpretq_s16_s8(half));
            for half in &mut halves {
                *half = vqrdmulhq_s16(vqaddq_s16(vqrdmulhq_s16(*half, factor), summand), back);
            }
            qvalues = vqmovn_high_s16(vqmovn_s16(halves[0]), halves[1]);
        }
        let qvalues = veorq_u8(vreinterpretq_u8_s8(qvalues), flip_out);
        // SAFETY: 16 bytes of a block.
        unsafe { vst1q_u8(to, qvalues) };
    }
}

/// Applies the chain to a plane with floats, s8 if `SIGNED`. If `SIMPLE`, there is one affine, which ends with u8 over their full range: then the
/// saturating conversions are its bounds.
///
/// # Safety
/// As [`affine`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn floats<const SIGNED: bool, const SIMPLE: bool>(args: &AffineArgs, plane: usize, factors: &[[[f32; 4]; 2]]) {
    for quarter in 0..args.pixels / 4 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe {
            (
                args.input.add(plane * args.plane_stride + 16 * quarter),
                args.out.add(plane * args.out_stride + 16 * quarter),
            )
        };
        // SAFETY: 16 bytes of a block.
        let mut bytes = unsafe { vld1q_u8(from) };
        if !SIMPLE {
            bytes = veorq_u8(bytes, vdupq_n_u8(args.flip_in));
        }
        let mut value = extend::<SIGNED>(bytes);
        for value in &mut value {
            *value = vcvtnq_s32_f32(affines::<SIMPLE>(vcvtq_f32_s32(*value), factors, args.bounds));
        }
        let qvalues = veorq_u8(narrow(value, !SIMPLE && args.to_signed), vdupq_n_u8(args.flip_out));
        // SAFETY: 16 bytes of a block.
        unsafe { vst1q_u8(to, qvalues) };
    }
}

/// 16 quantized values as integers.
#[inline]
#[target_feature(enable = "neon")]
fn extend<const SIGNED: bool>(bytes: uint8x16_t) -> [int32x4_t; 4] {
    let [low, high] = if SIGNED {
        let bytes = vreinterpretq_s8_u8(bytes);
        [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
    } else {
        [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes))]
    };
    [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
}

/// The affines, but for the last one's rounding.
#[inline]
#[target_feature(enable = "neon")]
fn affines<const SIMPLE: bool>(
    mut value: float32x4_t,
    factors: &[[[f32; 4]; 2]],
    bounds: &[ClampRound],
) -> float32x4_t {
    // SAFETY: four floats.
    let four = |values: &[f32; 4]| unsafe { vld1q_f32(values.as_ptr()) };
    if SIMPLE {
        return vfmaq_f32(four(&factors[0][1]), value, four(&factors[0][0]));
    }
    for ([mul, add], ClampRound { low, high, round }) in factors.iter().zip(bounds) {
        value = vfmaq_f32(four(add), value, four(mul));
        value = vmaxq_f32(vminq_f32(value, vdupq_n_f32(*high)), vdupq_n_f32(*low));
        if *round {
            value = vrndnq_f32(value);
        }
    }
    value
}
