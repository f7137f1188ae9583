//! One affine without function with NEON, from quantized values to f32 or, rounded, the other way: values stay in registers.

use core::arch::aarch64::*;

use super::{AffineChainF32, CHANNEL_BLOCK, ChainInputF32, ChainStep, ClampRound, LANES, Operand, PlanesMut};

/// Bytes of a vector.
const VECTOR: usize = 16;

/// Applies the chain, whose operand was checked, if it is one that this is for; else returns false.
pub(super) fn bounded_sums(
    chain: &AffineChainF32,
    operand: &ChainInputF32<'_>,
    shifted: bool,
    out: &mut PlanesMut<'_, f32>,
) -> bool {
    let Operand::Quantized(qvalues, kind) = operand.input else { return false };
    let [ChainStep { bounds, .. }] = chain.affines.as_slice() else { return false };
    if !chain.is_bounded_sum() || !orders_zeros(bounds) {
        return false;
    }
    let (flip, len) = (kind.flip(shifted), CHANNEL_BLOCK * operand.pixels);
    for plane in 0..operand.planes.len() {
        let factors = &chain.factors[operand.planes.start + plane];
        let (qvalues, out) = (&qvalues[plane * operand.plane_stride..][..len], &mut out.plane(plane)[..len]);
        if kind.is_signed() {
            of_plane::<true>(qvalues, flip, factors, bounds, out);
        } else {
            of_plane::<false>(qvalues, flip, factors, bounds, out);
        }
    }
    true
}

/// Whether the greater of a value and the lower bound, and so on, are those that the definition's comparisons give: to these instructions -0.0 is
/// less than 0.0.
fn orders_zeros(ClampRound { low, high, .. }: &ClampRound) -> bool {
    low.to_bits() != (-0.0f32).to_bits() && *high != 0.0
}

/// Applies the affine to a plane's values, of which there are whole vectors.
fn of_plane<const SIGNED: bool>(
    qvalues: &[u8],
    flip: u8,
    [mul, add]: &[[f32; LANES]; 2],
    ClampRound { low, high, .. }: &ClampRound,
    out: &mut [f32],
) {
    // SAFETY: every 64-bit ARM processor has NEON; there are as many values as are loaded and stored.
    unsafe {
        let (mul, add) = (vld1q_f32(mul.as_ptr()), vld1q_f32(add.as_ptr()));
        let (flip, low, high) = (vdupq_n_u8(flip), vdupq_n_f32(*low), vdupq_n_f32(*high));
        let places = [0, 1, 2, 3].map(places::<SIGNED>);
        for (qvalues, out) in qvalues.as_chunks::<VECTOR>().0.iter().zip(out.as_chunks_mut::<VECTOR>().0) {
            let bytes = veorq_u8(vld1q_u8(qvalues.as_ptr()), flip);
            let value = |places| {
                let wide = vqtbl1q_u8(bytes, places);
                let value = if SIGNED {
                    vcvtq_n_f32_s32::<24>(vreinterpretq_s32_u8(wide))
                } else {
                    vcvtq_f32_u32(vreinterpretq_u32_u8(wide))
                };
                vminnmq_f32(vmaxnmq_f32(vfmaq_f32(add, value, mul), low), high)
            };
            let [a, b, c, d] = places;
            vst1q_f32_x4(out.as_mut_ptr(), float32x4x4_t(value(a), value(b), value(c), value(d)));
        }
    }
}

/// As [`bounded_sums`], from f32 values to whole numbers, whose low bytes are xored with `flip`.
pub(super) fn rounded_sums(
    chain: &AffineChainF32,
    operand: &ChainInputF32<'_>,
    flip: u8,
    out: &mut PlanesMut<'_, u8>,
) -> bool {
    let Operand::F32(values) = operand.input else { return false };
    let [ChainStep { function, bounds }] = chain.affines.as_slice() else { return false };
    if !function.is_identity() || !bounds.round {
        return false;
    }
    let len = CHANNEL_BLOCK * operand.pixels;
    for plane in 0..operand.planes.len() {
        let factors = &chain.factors[operand.planes.start + plane];
        let values = &values[plane * operand.plane_stride..][..len];
        to_bytes(values, factors, bounds, flip, &mut out.plane(plane)[..len]);
    }
    true
}

/// Applies the affine to a plane's values, of which there are whole vectors, and rounds them.
fn to_bytes(
    values: &[f32],
    [mul, add]: &[[f32; LANES]; 2],
    ClampRound { low, high, .. }: &ClampRound,
    flip: u8,
    out: &mut [u8],
) {
    let low_bytes: [u8; VECTOR] = std::array::from_fn(|i| 4 * i as u8);
    // SAFETY: every 64-bit ARM processor has NEON; there are as many values as are loaded and stored.
    unsafe {
        let (mul, add) = (vld1q_f32(mul.as_ptr()), vld1q_f32(add.as_ptr()));
        let (flip, low, high) = (vdupq_n_u8(flip), vdupq_n_f32(*low), vdupq_n_f32(*high));
        let low_bytes = vld1q_u8(low_bytes.as_ptr());
        for (values, out) in values.as_chunks::<VECTOR>().0.iter().zip(out.as_chunks_mut::<VECTOR>().0) {
            let whole = |value| {
                let sum = vminnmq_f32(vmaxnmq_f32(vfmaq_f32(add, value, mul), low), high);
                vreinterpretq_u8_s32(vcvtnq_s32_f32(sum))
            };
            let float32x4x4_t(a, b, c, d) = vld1q_f32_x4(values.as_ptr());
            let whole = uint8x16x4_t(whole(a), whole(b), whole(c), whole(d));
            vst1q_u8(out.as_mut_ptr(), veorq_u8(vqtbl4q_u8(whole, low_bytes), flip));
        }
    }
}

/// From 16 bytes to the integers of a pixel's four: signed ones in the highest byte of each, which gives them 2^24 times too high.
fn places<const SIGNED: bool>(pixel: u8) -> uint8x16_t {
    let mut places = [u8::MAX; VECTOR];
    let byte = if SIGNED { 3 } else { 0 };
    (0..4).for_each(|channel| places[4 * channel + byte] = 4 * pixel + channel as u8);
    // SAFETY: every 64-bit ARM processor has NEON, and there are 16 bytes.
    unsafe { vld1q_u8(places.as_ptr()) }
}
