//! AVX-512 with VNNI: a vector holds 16 pixels of four channels, `vpdpbusd` multiplies them with four broadcast weights.

use core::arch::x86_64::*;
use std::ops::Range;

use super::{Convolution, Requantize};
use crate::kernels::BLOCK;

/// # Safety
/// The processor has AVX-512 F, BW, VL and VNNI, and the slices are as long as [`super::Kernels::convolve`] asserts.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn convolve(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    input: &[u8],
    output: &mut [u8],
    plane: usize,
    pixels: Range<usize>,
) {
    let groups = convolution.weights.groups();
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        let blocks = (pixels.end - pixel) / BLOCK;
        let mut group = 0;
        // Two blocks of 12 outputs fill the registers, as do three of 8; the latter where outputs are no multiple of 12.
        let (wide, together) = if groups.is_multiple_of(3) { (2, 3) } else { (3, 2) };
        let vectors = blocks.min(wide);
        while group < groups {
            let (x, y) = (input.as_ptr(), output.as_mut_ptr());
            // SAFETY: the blocks are inside `pixels`, the groups inside the weights; the caller vouches for the slices.
            unsafe {
                let tile = Tile { convolution, requantize, x, y, plane, pixel, group };
                match (vectors, (groups - group).min(together)) {
                    (3, 2) => tile.run::<3, 2>(),
                    (3, _) => tile.run::<3, 1>(),
                    (2, 3) => tile.run::<2, 3>(),
                    (2, 2) => tile.run::<2, 2>(),
                    (2, _) => tile.run::<2, 1>(),
                    (_, 3) => tile.run::<1, 3>(),
                    (_, 2) => tile.run::<1, 2>(),
                    _ => tile.run::<1, 1>(),
                }
            }
            group += (groups - group).min(together);
        }
        pixel += vectors * BLOCK;
    }
}

struct Tile<'a> {
    convolution: &'a Convolution<'a>,
    requantize: &'a Requantize<'a>,
    x: *const u8,
    y: *mut u8,
    plane: usize,
    pixel: usize,
    group: usize,
}

impl Tile<'_> {
    /// `V` blocks of pixels and `G` groups of four outputs.
    ///
    /// # Safety
    /// As [`convolve`]; the blocks and groups exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn run<const V: usize, const G: usize>(&self) {
        let Convolution { weights, offsets, start } = self.convolution;
        // SAFETY: every address is inside a slice whose length the caller vouches for.
        unsafe {
            let mut sums = [[[_mm512_setzero_si512(); V]; 4]; G];
            for (g, sums) in sums.iter_mut().enumerate() {
                for (o, sums) in sums.iter_mut().enumerate() {
                    *sums = [_mm512_set1_epi32(*start.get_unchecked(4 * (self.group + g) + o)); V];
                }
            }
            let x = self.x.add(4 * self.pixel);
            let w = weights.codes.as_ptr().add(self.group * weights.steps * 16);
            for (step, &offset) in offsets.iter().enumerate() {
                let x: [__m512i; V] = std::array::from_fn(|v| _mm512_loadu_si512(x.add(offset + v * 64).cast()));
                for (g, sums) in sums.iter_mut().enumerate() {
                    let w = w.add((g * weights.steps + step) * 16);
                    for (o, sums) in sums.iter_mut().enumerate() {
                        let w = _mm512_set1_epi32(w.add(4 * o).cast::<i32>().read_unaligned());
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum = _mm512_dpbusd_epi32(*sum, x, w);
                        }
                    }
                }
            }
            for (g, [a, b, c, d]) in sums.iter().enumerate() {
                let y = self.y.add((self.group + g) * self.plane + 4 * self.pixel);
                for (v, (((a, b), c), d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
                    let codes = self.codes(self.group + g, [*a, *b, *c, *d]);
                    _mm512_storeu_si512(y.add(v * 64).cast(), codes);
                }
            }
        }
    }

    /// The codes of four outputs at 16 pixels.
    ///
    /// # Safety
    /// As [`convolve`]; the group exists.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn codes(&self, group: usize, sums: [__m512i; 4]) -> __m512i {
        let Requantize { mul, add, low, high } = *self.requantize;
        let (low, high) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
        let mut all = _mm512_setzero_si512();
        for (o, sum) in sums.into_iter().enumerate() {
            // SAFETY: there is a factor and a summand for each output.
            let (mul, add) = unsafe { (*mul.get_unchecked(4 * group + o), *add.get_unchecked(4 * group + o)) };
            let value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(mul), _mm512_set1_ps(add));
            // The second operand is what `max` gives for NaN.
            let value = _mm512_min_ps(_mm512_max_ps(value, low), high);
            let code = _mm512_and_si512(_mm512_cvtps_epi32(value), _mm512_set1_epi32(0xff));
            let shifted = match o {
                0 => code,
                1 => _mm512_slli_epi32::<8>(code),
                2 => _mm512_slli_epi32::<16>(code),
                _ => _mm512_slli_epi32::<24>(code),
            };
            all = _mm512_or_si512(all, shifted);
        }
        all
    }
}
