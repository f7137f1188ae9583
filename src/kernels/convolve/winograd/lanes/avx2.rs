//! AVX2 with FMA.

use core::arch::x86_64::*;

use super::Lanes;

pub(in super::super) struct Avx2;

impl Lanes for Avx2 {
    type Words = __m256i;

    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(from: *const i32) -> __m256i {
        // SAFETY: the caller ensures that 8 words can be read.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store(to: *mut i32, words: __m256i) {
        // SAFETY: the caller ensures that 8 words can be written.
        unsafe { _mm256_storeu_si256(to.cast(), words) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_fours(from: *const i32) -> [__m256i; 4] {
        let mut rows = [_mm256_setzero_si256(); 4];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller ensures that 32 words can be read.
            *row = unsafe { _mm256_loadu2_m128i(from.add(4 * (i + 4)).cast(), from.add(4 * i).cast()) };
        }
        transpose(rows)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_fours(to: *mut i32, words: [__m256i; 4]) {
        for (i, row) in transpose(words).into_iter().enumerate() {
            // SAFETY: the caller ensures that 32 words can be written.
            unsafe { _mm256_storeu2_m128i(to.add(4 * (i + 4)).cast(), to.add(4 * i).cast(), row) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splat(word: i32) -> __m256i {
        _mm256_set1_epi32(word)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn select(mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        _mm256_xor_si256(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn pairs(pixels: __m256i) -> [__m256i; 2] {
        [_mm256_and_si256(pixels, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(pixels)]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add16(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sub16(a: __m256i, b: __m256i) -> __m256i {
        _mm256_sub_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn double16(a: __m256i) -> __m256i {
        _mm256_add_epi16(a, a)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn fourfold16(a: __m256i) -> __m256i {
        _mm256_slli_epi16::<2>(a)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_pairs(to: *mut i32, pairs: __m256i) {
        // SAFETY: the caller ensures that 8 words can be written.
        unsafe { Self::store(to, pairs) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sub(a: __m256i, b: __m256i) -> __m256i {
        _mm256_sub_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn double(a: __m256i) -> __m256i {
        _mm256_add_epi32(a, a)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn fourfold(a: __m256i) -> __m256i {
        _mm256_slli_epi32::<2>(a)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn mul(a: __m256i, b: __m256i) -> __m256i {
        _mm256_mullo_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn shift6(a: __m256i) -> __m256i {
        _mm256_srai_epi32::<6>(a)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn to_f32(a: __m256i) -> __m256i {
        _mm256_castps_si256(_mm256_cvtepi32_ps(a))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn requantize(a: __m256i, mul: f32, add: f32, [low, high]: [f32; 2]) -> __m256i {
        let scaled = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(mul), _mm256_set1_ps(add));
        _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(scaled, _mm256_set1_ps(high)), _mm256_set1_ps(low)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn pack([a, b, c, d]: [__m256i; 4], signed: bool) -> __m256i {
        // Four pixels of four channels are a 4x4 of bytes in each 128 bits: transposed.
        let transpose = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let (low, high) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let bytes = if signed { _mm256_packs_epi16(low, high) } else { _mm256_packus_epi16(low, high) };
        _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(transpose))
    }
}

/// Transposes the 4x4 words in each 128 bits.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}
