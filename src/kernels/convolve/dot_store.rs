//! How the kernels with dot products store accumulators.
//!
//! Values are bounded as f32, so that each is a byte when it is converted: four vectors of them become bytes, and are brought into the order of
//! planes, by one `tbl`. All is inlined into the kernels, where accumulators are in registers: NEON is the architecture's baseline and needs not be
//! enabled.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::raw;
use super::{Destination, Requantize};

/// Writes accumulators, `[fours of channels][vectors of 4 pixels][channels]`, of the channels from `first` on and the pixels from `pixel` on.
///
/// # Safety
/// All of them must be inside the planes of `destination`.
#[inline(always)]
pub(super) unsafe fn store<const V: usize, const N: usize>(
    sums: &[[[int32x4_t; 4]; V]; N],
    destination: &Destination,
    first: usize,
    pixel: usize,
) {
    // SAFETY: each four of channels is inside the planes.
    unsafe {
        match *destination {
            Destination::Raw { start, plane_stride } => {
                for (four, acc) in sums.iter().enumerate() {
                    raw(acc, start, plane_stride, first + 4 * four, pixel);
                }
            }
            Destination::Quantized { requantize, flip, start, plane_stride } => {
                let place = start.wrapping_add(first / 4 * plane_stride + 4 * pixel);
                if Bounds::is_from_zero(requantize) {
                    quantized::<V, N, true>(sums, requantize, first, flip, place, plane_stride);
                } else {
                    quantized::<V, N, false>(sums, requantize, first, flip, place, plane_stride);
                }
            }
        }
    }
}

/// Requantizes and writes quantized values; see [`Bounds`] for `ZERO`.
///
/// # Safety
/// 16 bytes for each vector must be writable at `place` and so on in each plane; `requantize` must have the channels from `first` on.
#[inline(always)]
unsafe fn quantized<const V: usize, const N: usize, const ZERO: bool>(
    sums: &[[[int32x4_t; 4]; V]; N],
    requantize: &Requantize,
    first: usize,
    flip: u8,
    place: *mut u8,
    plane_stride: usize,
) {
    // Four pixels of four channels are a 4x4 of integers, of whose low bytes it is the transpose.
    let order = [0, 16, 32, 48, 4, 20, 36, 52, 8, 24, 40, 56, 12, 28, 44, 60];
    let bounds = Bounds::<ZERO>::new(requantize, flip, order);
    for (four, acc) in sums.iter().enumerate() {
        // SAFETY: `requantize` has these channels, and 16 bytes for each vector can be written in their plane.
        unsafe {
            let place = place.add(four * plane_stride);
            let mul = vld1q_f32(requantize.mul.as_ptr().add(first + 4 * four));
            let add = requantize.add.as_ptr().add(first + 4 * four);
            for (v, acc) in acc.iter().enumerate() {
                let [a, b, c, d] = repeated(add);
                let scaled = [
                    vfmaq_laneq_f32::<0>(a, vcvtq_f32_s32(acc[0]), mul),
                    vfmaq_laneq_f32::<1>(b, vcvtq_f32_s32(acc[1]), mul),
                    vfmaq_laneq_f32::<2>(c, vcvtq_f32_s32(acc[2]), mul),
                    vfmaq_laneq_f32::<3>(d, vcvtq_f32_s32(acc[3]), mul),
                ];
                vst1q_u8(place.add(16 * v), bounds.bytes(scaled));
            }
        }
    }
}

/// Four values, each in all lanes of a vector. They are loaded again each time, which is one instruction: copies would be four.
///
/// # Safety
/// There must be four values.
#[inline(always)]
unsafe fn repeated(values: *const f32) -> [float32x4_t; 4] {
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        let mut four = [vdupq_n_f32(0.0); 4];
        asm!(
            "ld4r {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{values}]",
            values = in(reg) values,
            out("v0") four[0], out("v1") four[1], out("v2") four[2], out("v3") four[3],
            options(readonly, nostack, preserves_flags),
        );
        four
    }
}

/// From values to bytes. With `ZERO` the lower bound is 0, which the conversion to unsigned integers is for.
#[derive(Clone, Copy)]
pub(super) struct Bounds<const ZERO: bool> {
    low: float32x4_t,
    high: float32x4_t,
    flip: uint8x16_t,
    order: uint8x16_t,
}

impl Bounds<true> {
    /// Whether the lower bound is 0.
    pub(super) fn is_from_zero(requantize: &Requantize) -> bool {
        requantize.low == 0.0
    }
}

impl<const ZERO: bool> Bounds<ZERO> {
    /// The affine's bounds. `order` has the place among the four vectors' bytes of each byte of the result.
    #[inline(always)]
    pub(super) fn new(requantize: &Requantize, flip: u8, order: [u8; 16]) -> Self {
        // SAFETY: every 64-bit ARM processor has NEON, and there are 16 bytes.
        unsafe {
            Self {
                low: vdupq_n_f32(requantize.low),
                high: vdupq_n_f32(requantize.high),
                flip: vdupq_n_u8(flip),
                order: vld1q_u8(order.as_ptr()),
            }
        }
    }

    /// The bytes of bounded and rounded values.
    #[inline(always)]
    pub(super) fn bytes(&self, values: [float32x4_t; 4]) -> uint8x16_t {
        // SAFETY: every 64-bit ARM processor has NEON.
        unsafe {
            let [a, b, c, d] = values.map(|value| {
                let value = vminq_f32(value, self.high);
                let whole = if ZERO {
                    vcvtnq_u32_f32(value)
                } else {
                    vreinterpretq_u32_s32(vcvtnq_s32_f32(vmaxq_f32(value, self.low)))
                };
                vreinterpretq_u8_u32(whole)
            });
            veorq_u8(vqtbl4q_u8(uint8x16x4_t(a, b, c, d), self.order), self.flip)
        }
    }
}
