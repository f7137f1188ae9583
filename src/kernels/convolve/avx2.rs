//! AVX2: a vector holds 8 pixels of four channels.
//!
//! `vpmaddubsw` adds two products in 16 bits and saturates. Here it cannot: codes are shifted to -128 to 127, it multiplies
//! their magnitude (at most 128) with the weight under their sign (at most 127), and 2 * 128 * 127 = 32,512 fits.

use core::arch::x86_64::*;
use std::ops::Range;

use super::{Convolution, Requantize};

/// # Safety
/// The processor has AVX2 and FMA, and the slices are as long as [`super::Kernels::convolve`] asserts.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn convolve(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    input: &[u8],
    output: &mut [u8],
    plane: usize,
    pixels: Range<usize>,
) {
    for pixel in pixels.step_by(8) {
        for group in 0..convolution.weights.groups() {
            // SAFETY: the pixels and the group exist; the caller vouches for the slices.
            unsafe {
                let codes = tile(convolution, requantize, input.as_ptr().add(4 * pixel), group);
                _mm256_storeu_si256(output.as_mut_ptr().add(group * plane + 4 * pixel).cast(), codes);
            }
        }
    }
}

/// The codes of four outputs at 8 pixels.
///
/// # Safety
/// As [`convolve`]; `x` is the place of the first pixel.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn tile(convolution: &Convolution<'_>, requantize: &Requantize<'_>, x: *const u8, group: usize) -> __m256i {
    let Convolution { weights, offsets, start } = convolution;
    let ones = _mm256_set1_epi16(1);
    let half = _mm256_set1_epi8(i8::MIN);
    // SAFETY: every address is inside a slice whose length the caller vouches for.
    unsafe {
        let from = |o: usize| start.get_unchecked(4 * group + o) + weights.shifts.get_unchecked(4 * group + o);
        let mut sums: [__m256i; 4] = std::array::from_fn(|o| _mm256_set1_epi32(from(o)));
        let w = weights.codes.as_ptr().add(group * weights.steps * 16);
        for (step, &offset) in offsets.iter().enumerate() {
            let x = _mm256_xor_si256(_mm256_loadu_si256(x.add(offset).cast()), half);
            let magnitude = _mm256_abs_epi8(x);
            for (o, sum) in sums.iter_mut().enumerate() {
                let w = _mm256_set1_epi32(w.add(step * 16 + 4 * o).cast::<i32>().read_unaligned());
                let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w, x));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let Requantize { mul, add, low, high } = *requantize;
        let (low, high) = (_mm256_set1_ps(low), _mm256_set1_ps(high));
        let code = |o: usize| {
            let (mul, add) = (*mul.get_unchecked(4 * group + o), *add.get_unchecked(4 * group + o));
            let value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[o]), _mm256_set1_ps(mul), _mm256_set1_ps(add));
            // The second operand is what `max` gives for NaN.
            let value = _mm256_min_ps(_mm256_max_ps(value, low), high);
            _mm256_and_si256(_mm256_cvtps_epi32(value), _mm256_set1_epi32(0xff))
        };
        let low = _mm256_or_si256(code(0), _mm256_slli_epi32::<8>(code(1)));
        let high = _mm256_or_si256(_mm256_slli_epi32::<16>(code(2)), _mm256_slli_epi32::<24>(code(3)));
        _mm256_or_si256(low, high)
    }
}
