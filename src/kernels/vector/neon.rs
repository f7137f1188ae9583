//! NEON of ARMv8.0 and later.

use core::arch::aarch64::*;

use super::super::convolve::narrow;

use super::Vector;

pub(in super::super) struct Neon;

impl Vector for Neon {
    type F32 = float32x4_t;
    type Pixel = float32x4_t;
    type Bytes = int8x16_t;
    type I16 = int16x8_t;

    const PIXELS: usize = 1;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: the caller ensures that 4 values can be read.
        unsafe { vld1q_f32(from) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(to: *mut f32, values: float32x4_t) {
        // SAFETY: the caller ensures that 4 values can be written.
        unsafe { vst1q_f32(to, values) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_apart(from: *const f32, _: usize) -> float32x4_t {
        // SAFETY: the caller ensures that the values of the one pixel can be read.
        unsafe { vld1q_f32(from) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_apart(to: *mut f32, _: usize, values: float32x4_t) {
        // SAFETY: the caller ensures that the values of the one pixel can be written.
        unsafe { vst1q_f32(to, values) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splat(value: f32) -> float32x4_t {
        vdupq_n_f32(value)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn repeat(values: &[f32; 4]) -> float32x4_t {
        // SAFETY: there are four values.
        unsafe { vld1q_f32(values.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vfmaq_f32(c, a, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn clamp(values: float32x4_t, low: float32x4_t, high: float32x4_t) -> float32x4_t {
        // `maxnm` returns the other operand if one is NaN.
        vminnmq_f32(vmaxnmq_f32(values, low), high)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn round(values: float32x4_t) -> float32x4_t {
        vrndnq_f32(values)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn prefetch(_: *const f32) {}

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pixel(from: *const f32) -> float32x4_t {
        // SAFETY: the caller ensures that 4 values can be read.
        unsafe { vld1q_f32(from) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn mul_add_channel<const I: i32>(
        pixel: float32x4_t,
        factors: float32x4_t,
        sums: float32x4_t,
    ) -> float32x4_t {
        vfmaq_laneq_f32::<I>(sums, factors, pixel)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn to_planes(pixels: [float32x4_t; 4]) -> [float32x4_t; 4] {
        pixels
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_quantized<const SIGNED: bool, const FLIP: bool>(from: *const u8, flip: u8) -> [float32x4_t; 4] {
        // SAFETY: the caller ensures that 16 bytes can be read.
        let mut bytes = unsafe { vld1q_u8(from) };
        if FLIP {
            bytes = veorq_u8(bytes, vdupq_n_u8(flip));
        }
        let [low, high] = if SIGNED {
            let bytes = vreinterpretq_s8_u8(bytes);
            [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
        } else {
            [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes))]
        };
        let wide =
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)];
        wide.map(|values| vcvtq_f32_s32(values))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_quantized(to: *mut u8, values: [float32x4_t; 4], signed: bool, flip: u8) {
        let bytes = narrow(values.map(|values| vcvtnq_s32_f32(values)), signed);
        // SAFETY: the caller ensures that 16 bytes can be written.
        unsafe { vst1q_u8(to, veorq_u8(bytes, vdupq_n_u8(flip))) };
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_bytes(from: *const u8, flip: u8) -> int8x16_t {
        // SAFETY: the caller ensures that 16 bytes can be read.
        vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(from) }, vdupq_n_u8(flip)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_bytes(to: *mut u8, values: int8x16_t, flip: u8) {
        let bytes = veorq_u8(vreinterpretq_u8_s8(values), vdupq_n_u8(flip));
        // SAFETY: the caller ensures that 16 bytes can be written.
        unsafe { vst1q_u8(to, bytes) };
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn widen(values: int8x16_t) -> [int16x8_t; 2] {
        let zero = vdupq_n_s8(0);
        [vzip1q_s8(zero, values), vzip2q_s8(zero, values)].map(|half| vreinterpretq_s16_s8(half))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn narrow([low, high]: [int16x8_t; 2]) -> int8x16_t {
        vqmovn_high_s16(vqmovn_s16(low), high)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn repeat_i16(values: &[i16; 4]) -> int16x8_t {
        // SAFETY: there are four values.
        let four = unsafe { vld1_s16(values.as_ptr()) };
        vcombine_s16(four, four)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn mul_round(a: int16x8_t, b: int16x8_t) -> int16x8_t {
        vqrdmulhq_s16(a, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(a: int16x8_t, b: int16x8_t) -> int16x8_t {
        vqaddq_s16(a, b)
    }
}
