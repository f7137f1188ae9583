//! NEON of ARMv8.0 and later. A vector is two of 128 bits, so that a channel of a block's eight tiles is one of s16.

use core::arch::aarch64::*;

use super::super::super::narrow;
use super::Lanes;

pub(in super::super) struct Neon;

impl Lanes for Neon {
    type Words = [int32x4_t; 2];

    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(from: *const i32) -> [int32x4_t; 2] {
        // SAFETY: the caller ensures that 8 words can be read.
        unsafe { [vld1q_s32(from), vld1q_s32(from.add(4))] }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(to: *mut i32, [a, b]: [int32x4_t; 2]) {
        // SAFETY: the caller ensures that 8 words can be written.
        unsafe {
            vst1q_s32(to, a);
            vst1q_s32(to.add(4), b);
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_fours(from: *const i32) -> [[int32x4_t; 2]; 4] {
        // SAFETY: the caller ensures that 32 words can be read.
        let (a, b) = unsafe { (vld4q_s32(from), vld4q_s32(from.add(16))) };
        [[a.0, b.0], [a.1, b.1], [a.2, b.2], [a.3, b.3]]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_fours(to: *mut i32, [a, b, c, d]: [[int32x4_t; 2]; 4]) {
        // SAFETY: the caller ensures that 32 words can be written.
        unsafe {
            vst4q_s32(to, int32x4x4_t(a[0], b[0], c[0], d[0]));
            vst4q_s32(to.add(16), int32x4x4_t(a[1], b[1], c[1], d[1]));
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splat(word: i32) -> [int32x4_t; 2] {
        [vdupq_n_s32(word); 2]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn select(mask: [int32x4_t; 2], a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        let half = |i: usize| vbslq_s32(vreinterpretq_u32_s32(mask[i]), a[i], b[i]);
        [half(0), half(1)]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn xor(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [veorq_s32(a[0], b[0]), veorq_s32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pairs([a, b]: [int32x4_t; 2]) -> [[int32x4_t; 2]; 2] {
        let even = |a| vreinterpretq_s32_u16(vandq_u16(vreinterpretq_u16_s32(a), vdupq_n_u16(0xff)));
        let odd = |a| vreinterpretq_s32_u16(vshrq_n_u16::<8>(vreinterpretq_u16_s32(a)));
        [[even(a), even(b)], [odd(a), odd(b)]]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add16(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [with_s16(a[0], b[0], |a, b| vaddq_s16(a, b)), with_s16(a[1], b[1], |a, b| vaddq_s16(a, b))]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn sub16(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [with_s16(a[0], b[0], |a, b| vsubq_s16(a, b)), with_s16(a[1], b[1], |a, b| vsubq_s16(a, b))]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn double16([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [with_s16(a, a, |a, b| vaddq_s16(a, b)), with_s16(b, b, |a, b| vaddq_s16(a, b))]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn fourfold16([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [with_s16(a, a, |a, _| vshlq_n_s16::<2>(a)), with_s16(b, b, |a, _| vshlq_n_s16::<2>(a))]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_pairs(to: *mut i32, [a, b]: [int32x4_t; 2]) {
        // The first channel of eight tiles, then the second.
        let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
        // SAFETY: the caller ensures that 8 words can be written.
        unsafe {
            vst1q_s16(to.cast(), vuzp1q_s16(a, b));
            vst1q_s16(to.add(4).cast(), vuzp2q_s16(a, b));
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn sub(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn double([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vaddq_s32(a, a), vaddq_s32(b, b)]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn fourfold([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vshlq_n_s32::<2>(a), vshlq_n_s32::<2>(b)]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn mul(a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vmulq_s32(a[0], b[0]), vmulq_s32(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn shift6([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vshrq_n_s32::<6>(a), vshrq_n_s32::<6>(b)]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn to_f32([a, b]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vreinterpretq_s32_f32(vcvtq_f32_s32(a)), vreinterpretq_s32_f32(vcvtq_f32_s32(b))]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn requantize([a, b]: [int32x4_t; 2], mul: f32, add: f32, [low, high]: [f32; 2]) -> [int32x4_t; 2] {
        let one = |a| {
            let scaled = vfmaq_n_f32(vdupq_n_f32(add), vcvtq_f32_s32(a), mul);
            // Saturates beyond i32.
            vcvtnq_s32_f32(vmaxq_f32(vminq_f32(scaled, vdupq_n_f32(high)), vdupq_n_f32(low)))
        };
        [one(a), one(b)]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pack([a, b, c, d]: [[int32x4_t; 2]; 4], signed: bool) -> [int32x4_t; 2] {
        // SAFETY: there are 16 bytes.
        let transpose = unsafe { vld1q_u8([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15].as_ptr()) };
        let half = |i: usize| vreinterpretq_s32_u8(vqtbl1q_u8(narrow([a[i], b[i], c[i], d[i]], signed), transpose));
        [half(0), half(1)]
    }
}

/// An operation on s16.
#[inline]
#[target_feature(enable = "neon")]
fn with_s16(a: int32x4_t, b: int32x4_t, work: impl Fn(int16x8_t, int16x8_t) -> int16x8_t) -> int32x4_t {
    vreinterpretq_s32_s16(work(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)))
}
