//! AVX2 with FMA: a vector is a step of 2 pixels.
//!
//! A tile keeps accumulators for 4 output channels of 3 vectors, which leaves registers for the vectors and for a step's weights
//! of one channel, twice. While a tile's vectors are near, all blocks of output channels go over them.

use core::arch::x86_64::*;

use super::ConvolveF32Args;

/// Pixels of a vector.
const PIXELS: usize = 2;

/// Vectors of a tile, at most.
const VECTORS: usize = 3;

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
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
                    _ => run::<3>(args, place, weights),
                }
            }
        }
    }
}

/// Computes a tile: 4 output channels from `first` on, `V` vectors from `pixel` on.
///
/// # Safety
/// As [`convolve`]; the tile must be inside the range of pixels, and `weights` those of the block.
#[target_feature(enable = "avx2,fma")]
unsafe fn run<const V: usize>(args: &ConvolveF32Args, (first, pixel): (usize, usize), weights: &[f32]) {
    let mut acc = [[_mm256_setzero_ps(); V]; 4];
    // SAFETY: the tile is inside the range of pixels.
    let input = unsafe { args.input.add(4 * pixel) };
    let mut weights = weights.as_ptr();
    for &offset in args.packed.offsets() {
        let mut x = [_mm256_setzero_ps(); V];
        for v in 0..V {
            // SAFETY: all pixels can be read at each offset.
            x[v] = unsafe { _mm256_loadu_ps(input.add(offset as usize + 4 * PIXELS * v)) };
        }
        for o in 0..4 {
            // SAFETY: a block has 4 weights for each of its channels and each step.
            let w = unsafe { _mm256_broadcast_ps(&_mm_loadu_ps(weights.add(4 * o))) };
            for v in 0..V {
                acc[o][v] = _mm256_fmadd_ps(x[v], w, acc[o][v]);
            }
        }
        weights = weights.wrapping_add(16);
    }
    // SAFETY: four floats for each block of channels.
    let four = |values: &[f32]| unsafe { _mm256_broadcast_ps(&_mm_loadu_ps(values[first..first + 4].as_ptr())) };
    let (mul, add) = (four(&args.bias_clamp.mul), four(&args.bias_clamp.add));
    let (low, high) = (_mm256_set1_ps(args.bias_clamp.bounds.low), _mm256_set1_ps(args.bias_clamp.bounds.high));
    for v in 0..V {
        // In each 128 bits, neighbours are added: of each channel two chains, then the two sums.
        let halves = [_mm256_hadd_ps(acc[0][v], acc[1][v]), _mm256_hadd_ps(acc[2][v], acc[3][v])];
        let sum = _mm256_hadd_ps(halves[0], halves[1]);
        // The second operand is what a maximum with NaN gives.
        let value = _mm256_max_ps(_mm256_fmadd_ps(sum, mul, add), low);
        let place = first / 4 * args.plane_stride + 4 * (pixel + PIXELS * v);
        // SAFETY: all pixels of all planes can be written.
        unsafe { _mm256_storeu_ps(args.out.add(place), _mm256_min_ps(value, high)) };
    }
}
