//! AVX-512.

use core::arch::x86_64::*;

use super::fixed::Fixed;
use super::{AffineArgs, ClampRound, Pass};

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn affine(args: &AffineArgs) {
    let simple = args.bounds.len() == 1 && !args.clamp && !args.to_signed && (args.flip_in, args.flip_out) == (0, 0);
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
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn integers<const N: usize>(pass: &Pass<'_>, fixed: [&Fixed; N]) {
    // SAFETY: four integers.
    let four = |values: &[i16; 4]| unsafe { _mm512_broadcastq_epi64(_mm_loadl_epi64(values.as_ptr().cast())) };
    let fixed = fixed.map(|f| [four(&f.factor), four(&f.summand), four(&f.back)]);
    let (flip_in, flip_out) = (_mm512_set1_epi8(pass.flip_in as i8), _mm512_set1_epi8(pass.flip_out as i8));
    for block in 0..pass.pixels / 16 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe { (pass.from.add(64 * block), pass.to.add(64 * block)) };
        // SAFETY: 64 bytes of a block.
        let mut qvalues = _mm512_xor_si512(unsafe { _mm512_loadu_si512(from.cast()) }, flip_in);
        for [factor, summand, back] in fixed {
            // Times 256.
            let zero = _mm512_setzero_si512();
            let mut halves = [_mm512_unpacklo_epi8(zero, qvalues), _mm512_unpackhi_epi8(zero, qvalues)];
            for half in &mut halves {
                *half = _mm512_adds_epi16(_mm512_mulhrs_epi16(*half, factor), summand);
                *half = _mm512_mulhrs_epi16(*half, back);
            }
            qvalues = _mm512_packs_epi16(halves[0], halves[1]);
        }
        qvalues = _mm512_xor_si512(qvalues, flip_out);
        // SAFETY: 64 bytes of a block.
        unsafe { _mm512_storeu_si512(to.cast(), qvalues) };
    }
}

/// Applies the chain to a plane with floats, s8 if `SIGNED`. If `SIMPLE`, there is one affine, which ends with u8 over their full range: then the
/// saturating conversions are its bounds.
///
/// # Safety
/// As [`affine`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn floats<const SIGNED: bool, const SIMPLE: bool>(args: &AffineArgs, plane: usize, factors: &[[[f32; 4]; 2]]) {
    // In each 128 bits, packing leaves pixels i, 4 + i, 8 + i and 12 + i.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for block in 0..args.pixels / 16 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe {
            (args.input.add(plane * args.plane_stride + 64 * block), args.out.add(plane * args.out_stride + 64 * block))
        };
        let mut values = [_mm512_setzero_si512(); 4];
        for (i, value) in values.iter_mut().enumerate() {
            // SAFETY: 64 bytes of a block.
            let mut bytes = unsafe { _mm_loadu_si128(from.add(16 * i).cast()) };
            if !SIMPLE {
                bytes = _mm_xor_si128(bytes, _mm_set1_epi8(args.flip_in as i8));
            }
            let qvalues = if SIGNED { _mm512_cvtepi8_epi32(bytes) } else { _mm512_cvtepu8_epi32(bytes) };
            *value = _mm512_cvtps_epi32(affines::<SIMPLE>(_mm512_cvtepi32_ps(qvalues), factors, args.bounds));
        }
        let [low, high] = [[values[0], values[1]], [values[2], values[3]]].map(|[a, b]| _mm512_packs_epi32(a, b));
        let packed =
            if !SIMPLE && args.to_signed { _mm512_packs_epi16(low, high) } else { _mm512_packus_epi16(low, high) };
        let mut qvalues = _mm512_permutexvar_epi32(order, packed);
        if !SIMPLE {
            qvalues = _mm512_xor_si512(qvalues, _mm512_set1_epi8(args.flip_out as i8));
        }
        // SAFETY: 64 bytes of a block.
        unsafe { _mm512_storeu_si512(to.cast(), qvalues) };
    }
}

/// The affines, but for the last one's rounding.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn affines<const SIMPLE: bool>(mut value: __m512, factors: &[[[f32; 4]; 2]], bounds: &[ClampRound]) -> __m512 {
    // SAFETY: four floats.
    let four = |values: &[f32; 4]| unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(values.as_ptr())) };
    if SIMPLE {
        return _mm512_fmadd_ps(value, four(&factors[0][0]), four(&factors[0][1]));
    }
    for ([mul, add], ClampRound { low, high, round }) in factors.iter().zip(bounds) {
        value = _mm512_fmadd_ps(value, four(mul), four(add));
        value = _mm512_max_ps(_mm512_min_ps(value, _mm512_set1_ps(*high)), _mm512_set1_ps(*low));
        if *round {
            value = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
        }
    }
    value
}
