//! AVX2 with FMA.

use core::arch::x86_64::*;

use super::Vector;

pub(in super::super) struct Avx2;

impl Vector for Avx2 {
    type F32 = __m256;
    type Pixel = *const f32;
    type Bytes = __m256i;
    type I16 = __m256i;

    const PIXELS: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the caller ensures that 8 values can be read.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store(to: *mut f32, values: __m256) {
        // SAFETY: the caller ensures that 8 values can be written.
        unsafe { _mm256_storeu_ps(to, values) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_apart(from: *const f32, apart: usize) -> __m256 {
        // SAFETY: the caller ensures that 4 values can be read at each of the two pixels.
        unsafe { _mm256_loadu2_m128(from.add(apart), from) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_apart(to: *mut f32, apart: usize, values: __m256) {
        // SAFETY: the caller ensures that 4 values can be written at each of the two pixels.
        unsafe { _mm256_storeu2_m128(to.add(apart), to, values) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splat(value: f32) -> __m256 {
        _mm256_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat(values: &[f32; 4]) -> __m256 {
        // SAFETY: there are four values.
        let four = unsafe { _mm_loadu_ps(values.as_ptr()) };
        _mm256_broadcast_ps(&four)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn clamp(values: __m256, low: __m256, high: __m256) -> __m256 {
        // A maximum with NaN returns the second operand.
        _mm256_min_ps(_mm256_max_ps(values, low), high)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn round(values: __m256) -> __m256 {
        _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(values)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn prefetch(value: *const f32) {
        // Of an address that does not exist it does nothing.
        _mm_prefetch::<_MM_HINT_T1>(value.cast());
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn pixel(from: *const f32) -> *const f32 {
        from
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn mul_add_channel<const I: i32>(pixel: *const f32, factors: __m256, sums: __m256) -> __m256 {
        // SAFETY: the caller ensures that the pixel's values can be read.
        _mm256_fmadd_ps(_mm256_set1_ps(unsafe { *pixel.add(I as usize) }), factors, sums)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn spread_channel<const I: i32>(values: __m256) -> __m256 {
        // The index four times, two bits each.
        match I {
            0 => _mm256_permute_ps::<0x00>(values),
            1 => _mm256_permute_ps::<0x55>(values),
            2 => _mm256_permute_ps::<0xaa>(values),
            _ => _mm256_permute_ps::<0xff>(values),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn to_planes([a, b, ..]: [__m256; 4]) -> [__m256; 4] {
        let (low, high) = (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
        [low, high, low, high]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_quantized<const SIGNED: bool, const FLIP: bool>(from: *const u8, flip: u8) -> [__m256; 4] {
        let mut values = [_mm256_setzero_ps(); 4];
        for (i, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller ensures that 32 bytes can be read.
            let mut bytes = unsafe { _mm_loadl_epi64(from.add(8 * i).cast()) };
            if FLIP {
                bytes = _mm_xor_si128(bytes, _mm_set1_epi8(flip as i8));
            }
            let wide = if SIGNED { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) };
            *value = _mm256_cvtepi32_ps(wide);
        }
        values
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_quantized(to: *mut u8, values: [__m256; 4], signed: bool, flip: u8) {
        // In each 128 bits, packing leaves pixels i, 2 + i, 4 + i and 6 + i.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let values = values.map(|values| _mm256_cvtps_epi32(values));
        let [low, high] = [[values[0], values[1]], [values[2], values[3]]].map(|[a, b]| _mm256_packs_epi32(a, b));
        let packed = if signed { _mm256_packs_epi16(low, high) } else { _mm256_packus_epi16(low, high) };
        let bytes = _mm256_xor_si256(_mm256_permutevar8x32_epi32(packed, order), _mm256_set1_epi8(flip as i8));
        // SAFETY: the caller ensures that 32 bytes can be written.
        unsafe { _mm256_storeu_si256(to.cast(), bytes) };
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_bytes(from: *const u8, flip: u8) -> __m256i {
        // SAFETY: the caller ensures that 32 bytes can be read.
        _mm256_xor_si256(unsafe { _mm256_loadu_si256(from.cast()) }, _mm256_set1_epi8(flip as i8))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_bytes(to: *mut u8, values: __m256i, flip: u8) {
        let bytes = _mm256_xor_si256(values, _mm256_set1_epi8(flip as i8));
        // SAFETY: the caller ensures that 32 bytes can be written.
        unsafe { _mm256_storeu_si256(to.cast(), bytes) };
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn widen(values: __m256i) -> [__m256i; 2] {
        let zero = _mm256_setzero_si256();
        [_mm256_unpacklo_epi8(zero, values), _mm256_unpackhi_epi8(zero, values)]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn narrow([low, high]: [__m256i; 2]) -> __m256i {
        _mm256_packs_epi16(low, high)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn repeat_i16(values: &[i16; 4]) -> __m256i {
        // SAFETY: there are four values.
        _mm256_broadcastq_epi64(unsafe { _mm_loadl_epi64(values.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn mul_round(a: __m256i, b: __m256i) -> __m256i {
        _mm256_mulhrs_epi16(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        _mm256_adds_epi16(a, b)
    }
}
