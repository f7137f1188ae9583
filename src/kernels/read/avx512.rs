//! AVX-512: 16 values at a time.

use core::arch::x86_64::*;

use super::{Call, Source, Target};

/// Values in a vector; a block of pixels has 64.
const LANES: usize = 16;

/// # Safety
/// The processor has AVX-512 F, BW and VL, and source and target are as long as [`Call::check`] asserts.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
pub(super) unsafe fn read(call: Call<'_>) {
    // SAFETY: the caller vouches for processor and lengths; the loads and stores are of `LANES` values.
    unsafe {
        match call.source {
            Source::Unsigned(codes) => {
                to_target(call, codes.as_ptr(), |p| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))))
            }
            Source::Signed(codes) => {
                to_target(call, codes.as_ptr(), |p| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))))
            }
            Source::Real(values) => to_target(call, values.as_ptr(), |p| _mm512_loadu_ps(p)),
        }
    }
}

/// # Safety
/// As [`read`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
#[inline]
unsafe fn to_target<X>(call: Call<'_>, from: *const X, load: impl Fn(*const X) -> __m512) {
    let Call { reading, from_plane, to_plane, pixels, .. } = call;
    let all = Run { reading, from_plane, to_plane, pixels };
    // SAFETY: as the caller says.
    unsafe {
        match call.target {
            Target::Codes(codes) => all.run(from, codes.as_mut_ptr(), load, |p, values| {
                _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(values)));
            }),
            Target::Real(values) => {
                all.run(from, values.as_mut_ptr(), load, |p, values| _mm512_storeu_ps(p, values));
            }
        }
    }
}

struct Run<'a> {
    reading: &'a super::Reading,
    from_plane: usize,
    to_plane: usize,
    pixels: (usize, usize, usize),
}

impl Run<'_> {
    /// # Safety
    /// As [`read`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
    #[inline]
    unsafe fn run<X, T>(
        &self,
        from: *const X,
        to: *mut T,
        load: impl Fn(*const X) -> __m512,
        store: impl Fn(*mut T, __m512),
    ) {
        let bounds = &self.reading.bounds;
        for group in 0..self.reading.groups {
            let factors = &self.reading.factors[group * bounds.len()..][..bounds.len()];
            // SAFETY: the groups and pixels are inside source and target, as the caller vouches.
            unsafe {
                let from = from.add(group * self.from_plane + 4 * self.pixels.0);
                let to = to.add(group * self.to_plane + 4 * self.pixels.1);
                for at in (0..4 * self.pixels.2).step_by(4 * LANES) {
                    let mut values = [0, 1, 2, 3].map(|i| load(from.add(at + i * LANES)));
                    for (bounds, [mul, add]) in bounds.iter().zip(factors) {
                        let (mul, add) = (_mm512_loadu_ps(mul.as_ptr()), _mm512_loadu_ps(add.as_ptr()));
                        let (low, high) = (_mm512_set1_ps(bounds.low), _mm512_set1_ps(bounds.high));
                        for value in &mut values {
                            // The second operand is what `max` gives for NaN.
                            *value = _mm512_min_ps(_mm512_max_ps(_mm512_fmadd_ps(*value, mul, add), low), high);
                        }
                        if bounds.round {
                            for value in &mut values {
                                *value = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(*value);
                            }
                        }
                    }
                    for (i, value) in values.into_iter().enumerate() {
                        store(to.add(at + i * LANES), value);
                    }
                }
            }
        }
    }
}
