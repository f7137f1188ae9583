//! AVX-512 F and BW.

use core::arch::x86_64::*;

use super::Vector;

pub(in super::super) struct Avx512;

impl Vector for Avx512 {
    type F32 = __m512;
    type Pixel = *const f32;
    type Bytes = __m512i;
    type I16 = __m512i;

    const PIXELS: usize = 4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller ensures that 16 values can be read.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store(to: *mut f32, values: __m512) {
        // SAFETY: the caller ensures that 16 values can be written.
        unsafe { _mm512_storeu_ps(to, values) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_apart(from: *const f32, apart: usize) -> __m512 {
        // SAFETY: the caller ensures that 4 values can be read at each of the four pixels.
        let [a, b, c, d] = [0, 1, 2, 3].map(|pixel| unsafe { _mm_loadu_ps(from.add(pixel * apart)) });
        let all = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(a), b);
        _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(all, c), d)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_apart(to: *mut f32, apart: usize, values: __m512) {
        // SAFETY: the caller ensures that 4 values can be written at each of the four pixels.
        unsafe {
            _mm_storeu_ps(to, _mm512_castps512_ps128(values));
            _mm_storeu_ps(to.add(apart), _mm512_extractf32x4_ps::<1>(values));
            _mm_storeu_ps(to.add(2 * apart), _mm512_extractf32x4_ps::<2>(values));
            _mm_storeu_ps(to.add(3 * apart), _mm512_extractf32x4_ps::<3>(values));
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn splat(value: f32) -> __m512 {
        _mm512_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn repeat(values: &[f32; 4]) -> __m512 {
        // SAFETY: there are four values.
        let four = unsafe { _mm_loadu_ps(values.as_ptr()) };
        _mm512_broadcast_f32x4(four)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn clamp(values: __m512, low: __m512, high: __m512) -> __m512 {
        // A maximum with NaN returns the second operand.
        _mm512_min_ps(_mm512_max_ps(values, low), high)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn round(values: __m512) -> __m512 {
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(values)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn prefetch(value: *const f32) {
        // Of an address that does not exist it does nothing.
        _mm_prefetch::<_MM_HINT_T1>(value.cast());
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pixel(from: *const f32) -> *const f32 {
        from
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn mul_add_channel<const I: i32>(pixel: *const f32, factors: __m512, sums: __m512) -> __m512 {
        // SAFETY: the caller ensures that the pixel's values can be read.
        _mm512_fmadd_ps(_mm512_set1_ps(unsafe { *pixel.add(I as usize) }), factors, sums)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn spread_channel<const I: i32>(values: __m512) -> __m512 {
        // The index four times, two bits each.
        match I {
            0 => _mm512_permute_ps::<0x00>(values),
            1 => _mm512_permute_ps::<0x55>(values),
            2 => _mm512_permute_ps::<0xaa>(values),
            _ => _mm512_permute_ps::<0xff>(values),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn to_planes([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        // A 4x4 of 128 bits: transposed.
        let (ab, ab_high) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
        let (cd, cd_high) = (_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
        [
            _mm512_shuffle_f32x4::<0x88>(ab, cd),
            _mm512_shuffle_f32x4::<0xdd>(ab, cd),
            _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high),
            _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_quantized<const SIGNED: bool, const FLIP: bool>(from: *const u8, flip: u8) -> [__m512; 4] {
        let mut values = [_mm512_setzero_ps(); 4];
        for (i, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller ensures that 64 bytes can be read.
            let mut bytes = unsafe { _mm_loadu_si128(from.add(16 * i).cast()) };
            if FLIP {
                bytes = _mm_xor_si128(bytes, _mm_set1_epi8(flip as i8));
            }
            let wide = if SIGNED { _mm512_cvtepi8_epi32(bytes) } else { _mm512_cvtepu8_epi32(bytes) };
            *value = _mm512_cvtepi32_ps(wide);
        }
        values
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_quantized(to: *mut u8, values: [__m512; 4], signed: bool, flip: u8) {
        // In each 128 bits, packing leaves pixels i, 4 + i, 8 + i and 12 + i.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let values = values.map(|values| _mm512_cvtps_epi32(values));
        let [low, high] = [[values[0], values[1]], [values[2], values[3]]].map(|[a, b]| _mm512_packs_epi32(a, b));
        let packed = if signed { _mm512_packs_epi16(low, high) } else { _mm512_packus_epi16(low, high) };
        let bytes = _mm512_xor_si512(_mm512_permutexvar_epi32(order, packed), _mm512_set1_epi8(flip as i8));
        // SAFETY: the caller ensures that 64 bytes can be written.
        unsafe { _mm512_storeu_si512(to.cast(), bytes) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_bytes(from: *const u8, flip: u8) -> __m512i {
        // SAFETY: the caller ensures that 64 bytes can be read.
        _mm512_xor_si512(unsafe { _mm512_loadu_si512(from.cast()) }, _mm512_set1_epi8(flip as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_bytes(to: *mut u8, values: __m512i, flip: u8) {
        let bytes = _mm512_xor_si512(values, _mm512_set1_epi8(flip as i8));
        // SAFETY: the caller ensures that 64 bytes can be written.
        unsafe { _mm512_storeu_si512(to.cast(), bytes) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn widen(values: __m512i) -> [__m512i; 2] {
        let zero = _mm512_setzero_si512();
        [_mm512_unpacklo_epi8(zero, values), _mm512_unpackhi_epi8(zero, values)]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn narrow([low, high]: [__m512i; 2]) -> __m512i {
        _mm512_packs_epi16(low, high)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn repeat_i16(values: &[i16; 4]) -> __m512i {
        // SAFETY: there are four values.
        _mm512_broadcastq_epi64(unsafe { _mm_loadl_epi64(values.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn mul_round(a: __m512i, b: __m512i) -> __m512i {
        _mm512_mulhrs_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_adds_epi16(a, b)
    }
}
