//! AVX-512: a vector is a step of 4 pixels.
//!
//! A tile keeps accumulators for 4 output channels of 6 vectors, which leaves registers for a step's weights, repeated for four
//! pixels, and for vectors. While a tile's vectors are near, all blocks of output channels go over them.

use core::arch::x86_64::*;

use super::ConvolveF32Args;

/// Pixels of a vector.
const PIXELS: usize = 4;

/// Vectors of a tile, at most.
const VECTORS: usize = 6;

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn convolve(args: &ConvolveF32Args) {
    let vectors = args.pixels / PIXELS;
    let tiles = vectors.div_ceil(VECTORS);
    for tile in 0..tiles {
        // Tiles of as equal sizes as can be: a short one would keep too few accumulators busy.
        let (begin, end) = (vectors * tile / tiles, vectors * (tile + 1) / tiles);
        for (first, weights) in args.packed.blocks() {
            let place = (first, PIXELS * begin);
            // SAFETY: `args` was checked, and the tile is inside its range of pixels.
            unsafe {
                match end - begin {
                    1 => run::<1>(args, place, weights),
                    2 => run::<2>(args, place, weights),
                    3 => run::<3>(args, place, weights),
                    4 => run::<4>(args, place, weights),
                    5 => run::<5>(args, place, weights),
                    _ => run::<6>(args, place, weights),
                }
            }
        }
    }
}

/// Computes a tile: 4 output channels from `first` on, `V` vectors from `pixel` on.
///
/// # Safety
/// As [`convolve`]; the tile must be inside the range of pixels, and `weights` those of the block.
#[target_feature(enable = "avx512f")]
unsafe fn run<const V: usize>(args: &ConvolveF32Args, (first, pixel): (usize, usize), weights: &[f32]) {
    let mut acc = [[_mm512_setzero_ps(); V]; 4];
    // SAFETY: the tile is inside the range of pixels.
    let input = unsafe { args.input.add(4 * pixel) };
    let mut weights = weights.as_ptr();
    for &offset in args.packed.offsets() {
        let mut w = [_mm512_setzero_ps(); 4];
        for o in 0..4 {
            // SAFETY: a block has 4 weights for each of its channels and each step.
            w[o] = unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(weights.add(4 * o))) };
        }
        for v in 0..V {
            // SAFETY: all pixels can be read at each offset.
            let x = unsafe { _mm512_loadu_ps(input.add(offset as usize + 4 * PIXELS * v)) };
            for o in 0..4 {
                acc[o][v] = _mm512_fmadd_ps(x, w[o], acc[o][v]);
            }
        }
        weights = weights.wrapping_add(16);
    }
    // SAFETY: four floats for each block of channels.
    let four = |values: &[f32]| unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(values[first..first + 4].as_ptr())) };
    let (mul, add) = (four(&args.bias_clamp.mul), four(&args.bias_clamp.add));
    let (low, high) = (_mm512_set1_ps(args.bias_clamp.bounds.low), _mm512_set1_ps(args.bias_clamp.bounds.high));
    for v in 0..V {
        let sum = add_up([acc[0][v], acc[1][v], acc[2][v], acc[3][v]]);
        // The second operand is what a maximum with NaN gives.
        let value = _mm512_max_ps(_mm512_fmadd_ps(sum, mul, add), low);
        let place = first / 4 * args.plane_stride + 4 * (pixel + PIXELS * v);
        // SAFETY: all pixels of all planes can be written.
        unsafe { _mm512_storeu_ps(args.out.add(place), _mm512_min_ps(value, high)) };
    }
}

/// Of each pixel, the sum of the four chains of each of four output channels.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_up([a, b, c, d]: [__m512; 4]) -> __m512 {
    // In each 128 bits, a 4x4 of channels and chains: transposed.
    let doubles = |low, high| (_mm512_castps_pd(low), _mm512_castps_pd(high));
    let (ab, cd) = doubles(_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
    let (zero, one) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
    let (ab, cd) = doubles(_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
    let (two, three) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
    let sum = |x, y| _mm512_add_ps(_mm512_castpd_ps(x), _mm512_castpd_ps(y));
    _mm512_add_ps(sum(zero, one), sum(two, three))
}
