//! How the ARM kernels store accumulators.

use core::arch::aarch64::*;

use super::{Destination, Requantize};

/// Writes accumulators, `[vectors of 4 pixels][channels]`, of the 4 channels from `first` on and the pixels from `pixel` on.
///
/// # Safety
/// All of them must be inside the planes of `destination`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store<const V: usize>(
    acc: &[[int32x4_t; 4]; V],
    destination: &Destination,
    first: usize,
    pixel: usize,
) {
    match *destination {
        // SAFETY: the caller's promise.
        Destination::Raw { start, plane_stride } => unsafe { raw(acc, start, plane_stride, first, pixel) },
        Destination::Quantized { requantize, flip, start, plane_stride } => {
            // SAFETY: the tile is inside the plane of these four channels, 16 bytes for each vector, and `requantize` has the channels.
            unsafe {
                let place = start.wrapping_add(first / 4 * plane_stride + 4 * pixel);
                match (requantize.qvalues().is_signed(), requantize.clamp) {
                    (false, false) => qvalues::<V, false, false>(acc, requantize, first, flip, place),
                    (false, true) => qvalues::<V, false, true>(acc, requantize, first, flip, place),
                    (true, false) => qvalues::<V, true, false>(acc, requantize, first, flip, place),
                    (true, true) => qvalues::<V, true, true>(acc, requantize, first, flip, place),
                }
            }
        }
    }
}

/// Writes accumulators as they are, those of each channel to its plane.
///
/// # Safety
/// The 4 pixels of each vector must be inside the planes, the first of all of which would begin at `start`.
#[inline(always)]
pub(super) unsafe fn raw<const V: usize>(
    acc: &[[int32x4_t; 4]; V],
    start: *mut i32,
    plane_stride: usize,
    first: usize,
    pixel: usize,
) {
    for (v, acc) in acc.iter().enumerate() {
        for (o, acc) in acc.iter().enumerate() {
            // SAFETY: the 4 pixels of vector `v` are inside the channel's plane.
            unsafe { vst1q_s32(start.wrapping_add((first + o) * plane_stride + pixel + 4 * v), *acc) };
        }
    }
}

/// Requantizes and writes quantized values.
///
/// # Safety
/// 16 bytes for each vector must be writable at `place`; `requantize` must have the 4 channels from `first` on.
#[target_feature(enable = "neon")]
unsafe fn qvalues<const V: usize, const SIGNED: bool, const CLAMP: bool>(
    acc: &[[int32x4_t; 4]; V],
    requantize: &Requantize,
    first: usize,
    flip: u8,
    place: *mut u8,
) {
    let (low, high) = (vdupq_n_f32(requantize.low), vdupq_n_f32(requantize.high));
    let flip = vdupq_n_u8(flip);
    // Four pixels of four channels are a 4x4 of bytes, which is transposed.
    // SAFETY: 16 bytes; the caller's promise.
    let (transpose, mul, add) = unsafe {
        (
            vld1q_u8([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15].as_ptr()),
            vld1q_f32(requantize.mul.as_ptr().add(first)),
            vld1q_f32(requantize.add.as_ptr().add(first)),
        )
    };
    for (v, acc) in acc.iter().enumerate() {
        let acc = acc.map(|acc| vcvtq_f32_s32(acc));
        let mut scaled = [
            vfmaq_laneq_f32::<0>(vdupq_laneq_f32::<0>(add), acc[0], mul),
            vfmaq_laneq_f32::<1>(vdupq_laneq_f32::<1>(add), acc[1], mul),
            vfmaq_laneq_f32::<2>(vdupq_laneq_f32::<2>(add), acc[2], mul),
            vfmaq_laneq_f32::<3>(vdupq_laneq_f32::<3>(add), acc[3], mul),
        ];
        if CLAMP {
            scaled = scaled.map(|scaled| vmaxq_f32(vminq_f32(scaled, high), low));
        }
        // Saturates beyond i32.
        let value = scaled.map(|scaled| vcvtnq_s32_f32(scaled));
        let qvalues = veorq_u8(vqtbl1q_u8(narrow(value, SIGNED), transpose), flip);
        // SAFETY: 16 bytes for each vector can be written at `place`.
        unsafe { vst1q_u8(place.add(16 * v), qvalues) };
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
