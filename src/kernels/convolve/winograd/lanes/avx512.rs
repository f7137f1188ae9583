//! AVX-512 F and BW.

use core::arch::x86_64::*;

use super::Lanes;

pub(in super::super) struct Avx512;

impl Lanes for Avx512 {
    type Words = __m512i;

    const LANES: usize = 16;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load(from: *const i32) -> __m512i {
        // SAFETY: the caller ensures that 16 words can be read.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store(to: *mut i32, words: __m512i) {
        // SAFETY: the caller ensures that 16 words can be written.
        unsafe { _mm512_storeu_si512(to.cast(), words) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_fours(from: *const i32) -> [__m512i; 4] {
        let even = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 2, 6, 10, 14, 18, 22, 26, 30);
        let odd = _mm512_setr_epi32(1, 5, 9, 13, 17, 21, 25, 29, 3, 7, 11, 15, 19, 23, 27, 31);
        // SAFETY: the caller ensures that 64 words can be read.
        let [a, b, c, d] = unsafe { [0, 16, 32, 48].map(|i| _mm512_loadu_si512(from.add(i).cast())) };
        // Of eight lanes each the words 0 and 2, and the words 1 and 3.
        let (low_even, high_even) = (_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(c, even, d));
        let (low_odd, high_odd) = (_mm512_permutex2var_epi32(a, odd, b), _mm512_permutex2var_epi32(c, odd, d));
        [
            _mm512_shuffle_i64x2::<0x44>(low_even, high_even),
            _mm512_shuffle_i64x2::<0x44>(low_odd, high_odd),
            _mm512_shuffle_i64x2::<0xee>(low_even, high_even),
            _mm512_shuffle_i64x2::<0xee>(low_odd, high_odd),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_fours(to: *mut i32, [a, b, c, d]: [__m512i; 4]) {
        // Lanes 0 to 3 and 4 to 7 of two vectors, alternating; then the same of all four.
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        for (half, index) in [first, second].into_iter().enumerate() {
            let (ab, cd) = (_mm512_permutex2var_epi32(a, index, b), _mm512_permutex2var_epi32(c, index, d));
            // SAFETY: the caller ensures that 64 words can be written.
            unsafe {
                _mm512_storeu_si512(to.add(32 * half).cast(), _mm512_permutex2var_epi64(ab, low, cd));
                _mm512_storeu_si512(to.add(32 * half + 16).cast(), _mm512_permutex2var_epi64(ab, high, cd));
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn splat(word: i32) -> __m512i {
        _mm512_set1_epi32(word)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // Of three bits the second where the first is set, else the third.
        _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        _mm512_xor_si512(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pairs(pixels: __m512i) -> [__m512i; 2] {
        [_mm512_and_si512(pixels, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(pixels)]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn add16(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn sub16(a: __m512i, b: __m512i) -> __m512i {
        _mm512_sub_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn double16(a: __m512i) -> __m512i {
        _mm512_add_epi16(a, a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn fourfold16(a: __m512i) -> __m512i {
        _mm512_slli_epi16::<2>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_pairs(to: *mut i32, pairs: __m512i) {
        // SAFETY: the caller ensures that 16 words can be written.
        unsafe { Self::store(to, pairs) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn sub(a: __m512i, b: __m512i) -> __m512i {
        _mm512_sub_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn double(a: __m512i) -> __m512i {
        _mm512_add_epi32(a, a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn fourfold(a: __m512i) -> __m512i {
        _mm512_slli_epi32::<2>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn mul(a: __m512i, b: __m512i) -> __m512i {
        _mm512_mullo_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn shift6(a: __m512i) -> __m512i {
        _mm512_srai_epi32::<6>(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn to_f32(a: __m512i) -> __m512i {
        _mm512_castps_si512(_mm512_cvtepi32_ps(a))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn requantize(a: __m512i, mul: f32, add: f32, [low, high]: [f32; 2]) -> __m512i {
        let scaled = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), _mm512_set1_ps(mul), _mm512_set1_ps(add));
        _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(scaled, _mm512_set1_ps(high)), _mm512_set1_ps(low)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pack([a, b, c, d]: [__m512i; 4], signed: bool) -> __m512i {
        // Four pixels of four channels are a 4x4 of bytes in each 128 bits: transposed.
        let transpose = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let (low, high) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        let bytes = if signed { _mm512_packs_epi16(low, high) } else { _mm512_packus_epi16(low, high) };
        _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(transpose))
    }
}
