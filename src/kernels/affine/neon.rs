//! Affines in 16-bit integers on ARM, where the last multiplication is a shift by as many bits in all channels: that is one instruction with the
//! conversion to bytes. Four vectors are loaded and stored at once.

use core::arch::aarch64::*;

use super::AffineArgs;
use super::fixed::Fixed;

/// A plane's bytes, and what those that are read and written are xored with.
struct Plane {
    from: *const u8,
    to: *mut u8,
    flip_in: u8,
    flip_out: u8,
    pixels: usize,
}

/// Applies a chain of one affine to a plane, if it has these integers and its results are a shift; else returns false.
///
/// # Safety
/// What the fields of `args` promise must hold; there must be such a plane, and `fixed` must be its own.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn shift(args: &AffineArgs, plane: usize, fixed: &[Fixed]) -> bool {
    let [fixed] = fixed else { return false };
    let middle = |signed: bool| if signed { 0 } else { 0x80 };
    // SAFETY: the caller's promise: all pixels of the plane can be read and written.
    unsafe {
        let plane = Plane {
            from: args.input.add(plane * args.plane_stride),
            to: args.out.add(plane * args.out_stride),
            flip_in: args.flip_in ^ middle(args.signed),
            flip_out: args.flip_out ^ middle(args.to_signed),
            pixels: args.pixels,
        };
        match fixed.shift() {
            Some(1) => by::<1>(&plane, fixed),
            Some(2) => by::<2>(&plane, fixed),
            Some(3) => by::<3>(&plane, fixed),
            Some(4) => by::<4>(&plane, fixed),
            Some(5) => by::<5>(&plane, fixed),
            Some(6) => by::<6>(&plane, fixed),
            Some(7) => by::<7>(&plane, fixed),
            Some(8) => by::<8>(&plane, fixed),
            _ => return false,
        }
    }
    true
}

/// Applies an affine with a shift by `BITS` to a plane.
///
/// # Safety
/// All pixels can be read and written, and are a multiple of 8.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn by<const BITS: i32>(plane: &Plane, fixed: &Fixed) {
    // SAFETY: the caller's promise.
    unsafe {
        if plane.flip_out == 0 {
            vectors::<BITS, false>(plane, fixed);
        } else {
            vectors::<BITS, true>(plane, fixed);
        }
    }
}

/// As [`by`]; only if `FLIP` is set, the bytes that are written are xored.
///
/// # Safety
/// As [`by`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn vectors<const BITS: i32, const FLIP: bool>(plane: &Plane, fixed: &Fixed) {
    let &Plane { from, to, flip_in, flip_out, pixels } = plane;
    let affine = Affine::<BITS, FLIP>::new([flip_in, flip_out], fixed);
    let (fours, bytes) = (pixels / 16, 4 * pixels);
    // SAFETY: all bytes of the pixels can be read and written; behind the vectors by four there are none or two.
    unsafe {
        for at in (0..64 * fours).step_by(64) {
            let x = vld1q_u8_x4(from.add(at));
            let y = uint8x16x4_t(affine.of(x.0), affine.of(x.1), affine.of(x.2), affine.of(x.3));
            vst1q_u8_x4(to.add(at), y);
        }
        if 64 * fours < bytes {
            let at = 64 * fours;
            let x = vld1q_u8_x2(from.add(at));
            vst1q_u8_x2(to.add(at), uint8x16x2_t(affine.of(x.0), affine.of(x.1)));
        }
    }
}

/// An affine whose results are shifted by `BITS`.
struct Affine<const BITS: i32, const FLIP: bool> {
    flips: [uint8x16_t; 2],
    factor: int16x8_t,
    summand: int16x8_t,
}

impl<const BITS: i32, const FLIP: bool> Affine<BITS, FLIP> {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new([flip_in, flip_out]: [u8; 2], fixed: &Fixed) -> Self {
        let repeat = |values: &[i16; 4]| {
            // SAFETY: there are four values.
            let four = unsafe { vld1_s16(values.as_ptr()) };
            vcombine_s16(four, four)
        };
        let flips = [vdupq_n_u8(flip_in), vdupq_n_u8(flip_out)];
        Self { flips, factor: repeat(&fixed.factor), summand: repeat(&fixed.summand) }
    }

    /// The results for 16 bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    fn of(&self, bytes: uint8x16_t) -> uint8x16_t {
        let (zero, bytes) = (vdupq_n_u8(0), veorq_u8(bytes, self.flips[0]));
        let scale = |half| vqaddq_s16(vqrdmulhq_s16(vreinterpretq_s16_u8(half), self.factor), self.summand);
        let (low, high) = (scale(vzip1q_u8(zero, bytes)), scale(vzip2q_u8(zero, bytes)));
        let results = vreinterpretq_u8_s8(vqrshrn_high_n_s16::<BITS>(vqrshrn_n_s16::<BITS>(low), high));
        if FLIP { veorq_u8(results, self.flips[1]) } else { results }
    }
}
