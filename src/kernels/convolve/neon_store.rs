//! What kernels for ARM do with accumulators.

use core::arch::aarch64::*;

use super::Output;

/// Writes the tile of the 4 channels from `first` on and of the 8 pixels from `pixel` on.
///
/// # Safety
/// The tile must be inside the planes of `output`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(acc: &[[int32x4_t; 2]; 4], output: &Output, first: usize, pixel: usize) {
    match *output {
        Output::Raw { start, pitch } => {
            for (o, acc) in acc.iter().enumerate() {
                for (v, acc) in acc.iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe { vst1q_s32(start.add((first + o) * pitch + pixel + 4 * v), *acc) };
                }
            }
        }
        Output::Codes { requantize, flip, start, pitch } => {
            let four = |values: &[f32]| -> [f32; 4] { values[first..first + 4].try_into().expect("four") };
            let (mul, add) = (four(&requantize.mul), four(&requantize.add));
            let (low, high) = (vdupq_n_f32(requantize.low), vdupq_n_f32(requantize.high));
            let mut values = [vdupq_n_s16(0); 4];
            for o in 0..4 {
                let mut value = [vdupq_n_s32(0); 2];
                for v in 0..2 {
                    let mut real = vfmaq_f32(vdupq_n_f32(add[o]), vcvtq_f32_s32(acc[o][v]), vdupq_n_f32(mul[o]));
                    if requantize.clamp {
                        real = vmaxq_f32(vminq_f32(real, high), low);
                    }
                    // Beyond i32 this saturates.
                    value[v] = vcvtnq_s32_f32(real);
                }
                values[o] = vqmovn_high_s32(vqmovn_s32(value[0]), value[1]);
            }
            let flip = vdup_n_u8(flip);
            let codes = if requantize.codes().is_signed() {
                values.map(|value| veor_u8(vreinterpret_u8_s8(vqmovn_s16(value)), flip))
            } else {
                values.map(|value| veor_u8(vqmovun_s16(value), flip))
            };
            let codes = uint8x8x4_t(codes[0], codes[1], codes[2], codes[3]);
            // SAFETY: the caller's promise.
            unsafe { vst4_u8(start.add(first / 4 * pitch + 4 * pixel), codes) };
        }
    }
}

/// 16 integers as bytes, saturating to s8 or u8.
#[inline]
#[target_feature(enable = "neon")]
pub(in super::super) fn narrow(value: [int32x4_t; 4], signed: bool) -> uint8x16_t {
    let low = vqmovn_high_s32(vqmovn_s32(value[0]), value[1]);
    let high = vqmovn_high_s32(vqmovn_s32(value[2]), value[3]);
    if signed {
        vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(low), high))
    } else {
        vqmovun_high_s16(vqmovun_s16(low), high)
    }
}
