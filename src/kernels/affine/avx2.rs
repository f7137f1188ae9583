//! AVX2 with FMA.

use core::arch::x86_64::*;

use super::fixed::Fixed;
use super::{AffineArgs, ClampRound, Pass};

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
unsafe fn integers<const N: usize>(pass: &Pass<'_>, fixed: [&Fixed; N]) {
    // SAFETY: four integers.
    let four = |values: &[i16; 4]| unsafe { _mm256_broadcastq_epi64(_mm_loadl_epi64(values.as_ptr().cast())) };
    let fixed = fixed.map(|f| [four(&f.factor), four(&f.summand), four(&f.back)]);
    let (flip_in, flip_out) = (_mm256_set1_epi8(pass.flip_in as i8), _mm256_set1_epi8(pass.flip_out as i8));
    for half in 0..pass.pixels / 8 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe { (pass.from.add(32 * half), pass.to.add(32 * half)) };
        // SAFETY: 32 bytes of half a block.
        let mut qvalues = _mm256_xor_si256(unsafe { _mm256_loadu_si256(from.cast()) }, flip_in);
        for [factor, summand, back] in fixed {
            // Times 256.
            let zero = _mm256_setzero_si256();
            let mut halves = [_mm256_unpacklo_epi8(zero, qvalues), _mm256_unpackhi_epi8(zero, qvalues)];
            for half in &mut halves {
                *half = _mm256_adds_epi16(_mm256_mulhrs_epi16(*half, factor), summand);
                *half = _mm256_mulhrs_epi16(*half, back);
            }
            qvalues = _mm256_packs_epi16(halves[0], halves[1]);
        }
        qvalues = _mm256_xor_si256(qvalues, flip_out);
        // SAFETY: 32 bytes of half a block.
        unsafe { _mm256_storeu_si256(to.cast(), qvalues) };
    }
}

/// Applies the chain to a plane with floats, s8 if `SIGNED`. If `SIMPLE`, there is one affine, which ends with u8 over their full range: then the
/// saturating conversions are its bounds.
///
/// # Safety
/// As [`affine`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn floats<const SIGNED: bool, const SIMPLE: bool>(args: &AffineArgs, plane: usize, factors: &[[[f32; 4]; 2]]) {
    // In each 128 bits, packing leaves pixels i, 2 + i, 4 + i and 6 + i.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for half in 0..args.pixels / 8 {
        // SAFETY: all blocks of all planes can be read and written.
        let (from, to) = unsafe {
            (args.input.add(plane * args.plane_stride + 32 * half), args.out.add(plane * args.out_stride + 32 * half))
        };
        let mut values = [_mm256_setzero_si256(); 4];
        for (i, value) in values.iter_mut().enumerate() {
            // SAFETY: 32 bytes of half a block.
            let mut bytes = unsafe { _mm_loadl_epi64(from.add(8 * i).cast()) };
            if !SIMPLE {
                bytes = _mm_xor_si128(bytes, _mm_set1_epi8(args.flip_in as i8));
            }
            let qvalues = if SIGNED { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) };
            *value = _mm256_cvtps_epi32(affines::<SIMPLE>(_mm256_cvtepi32_ps(qvalues), factors, args.bounds));
        }
        let [low, high] = [[values[0], values[1]], [values[2], values[3]]].map(|[a, b]| _mm256_packs_epi32(a, b));
        let packed =
            if !SIMPLE && args.to_signed { _mm256_packs_epi16(low, high) } else { _mm256_packus_epi16(low, high) };
        let mut qvalues = _mm256_permutevar8x32_epi32(packed, order);
        if !SIMPLE {
            qvalues = _mm256_xor_si256(qvalues, _mm256_set1_epi8(args.flip_out as i8));
        }
        // SAFETY: 32 bytes of half a block.
        unsafe { _mm256_storeu_si256(to.cast(), qvalues) };
    }
}

/// The affines, but for the last one's rounding.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn affines<const SIMPLE: bool>(mut value: __m256, factors: &[[[f32; 4]; 2]], bounds: &[ClampRound]) -> __m256 {
    // SAFETY: four floats.
    let four = |values: &[f32; 4]| unsafe { _mm256_broadcast_ps(&_mm_loadu_ps(values.as_ptr())) };
    if SIMPLE {
        return _mm256_fmadd_ps(value, four(&factors[0][0]), four(&factors[0][1]));
    }
    for ([mul, add], ClampRound { low, high, round }) in factors.iter().zip(bounds) {
        value = _mm256_fmadd_ps(value, four(mul), four(add));
        value = _mm256_max_ps(_mm256_min_ps(value, _mm256_set1_ps(*high)), _mm256_set1_ps(*low));
        if *round {
            value = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
        }
    }
    value
}
