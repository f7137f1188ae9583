//! The vector kernels: one body for all instruction sets.
//!
//! A vector is a step of some pixels. A tile keeps accumulators for 4 output channels of several vectors, which leaves
//! registers for a step's vectors and for its weights, repeated for each pixel. All blocks of output channels are computed
//! while a tile's vectors are in the cache.

use super::ConvolveF32Args;
#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "aarch64")]
use crate::kernels::vector::Neon;
use crate::kernels::vector::Vector;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vector::{Avx2, Avx512};

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn with_avx2(args: &ConvolveF32Args) {
    for_tiles::<Avx2>(args, 3, |at, vectors| {
        // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
        unsafe {
            match vectors {
                1 => tile::<Avx2, 1>(args, at),
                2 => tile::<Avx2, 2>(args, at),
                _ => {
                    let input = args.input.add(4 * at.pixel);
                    let acc = avx2::chains(input, args.offsets, at.weights);
                    finish::<Avx2, 3>(args, at, acc);
                }
            }
        }
    });
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn with_avx512(args: &ConvolveF32Args) {
    for_tiles::<Avx512>(args, 6, |at, vectors| {
        // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
        unsafe {
            match vectors {
                1 => tile::<Avx512, 1>(args, at),
                2 => tile::<Avx512, 2>(args, at),
                3 => tile::<Avx512, 3>(args, at),
                4 => tile::<Avx512, 4>(args, at),
                5 => tile::<Avx512, 5>(args, at),
                _ => tile::<Avx512, 6>(args, at),
            }
        }
    });
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) unsafe fn with_neon(args: &ConvolveF32Args) {
    for_tiles::<Neon>(args, 4, |at, vectors| {
        // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
        unsafe {
            match vectors {
                1 => tile::<Neon, 1>(args, at),
                2 => tile::<Neon, 2>(args, at),
                3 => tile::<Neon, 3>(args, at),
                _ => tile::<Neon, 4>(args, at),
            }
        }
    });
}

/// Where a tile is.
struct F32Tile<'a> {
    /// The first output channel.
    first: usize,
    /// The weights of its four.
    weights: &'a [f32],
    /// The first pixel.
    pixel: usize,
}

/// Calls `run` with each tile, and its number of vectors: `most` or fewer.
#[inline(always)]
fn for_tiles<V: Vector>(args: &ConvolveF32Args, most: usize, run: impl Fn(F32Tile<'_>, usize)) {
    let vectors = args.pixels / V::PIXELS;
    let tiles = vectors.div_ceil(most);
    for tile in 0..tiles {
        // Tiles of nearly equal sizes: a short one would keep too few accumulators busy.
        let (begin, end) = (vectors * tile / tiles, vectors * (tile + 1) / tiles);
        for (first, weights) in args.blocks() {
            run(F32Tile { first, weights, pixel: V::PIXELS * begin }, end - begin);
        }
    }
}

/// Computes a tile of `N` vectors.
///
/// # Safety
/// What the fields of `args` promise must hold, and the tile must be inside its range of pixels. The function that this is inlined into must
/// enable the instructions of `V`.
#[inline(always)]
unsafe fn tile<V: Vector, const N: usize>(args: &ConvolveF32Args, at: F32Tile<'_>) {
    // SAFETY: the caller enables the instructions. All pixels of the tile can be read at each offset, and a block has 16 weights for each.
    unsafe {
        let input = args.input.add(4 * at.pixel);
        let mut acc = [[V::splat(0.0); N]; 4];
        let mut weights = at.weights.as_ptr();
        for &offset in args.offsets {
            let mut x = [V::splat(0.0); N];
            for v in 0..N {
                x[v] = V::load(input.add(offset as usize + 4 * V::PIXELS * v));
            }
            for o in 0..4 {
                let w = V::repeat(&*weights.add(4 * o).cast());
                for v in 0..N {
                    acc[o][v] = V::mul_add(x[v], w, acc[o][v]);
                }
            }
            weights = weights.wrapping_add(16);
        }
        finish::<V, N>(args, at, acc);
    }
}

/// Adds up the chains of a tile of `N` vectors, and writes its results.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<V: Vector, const N: usize>(args: &ConvolveF32Args, at: F32Tile<'_>, acc: [[V::F32; N]; 4]) {
    let F32Tile { first, pixel, .. } = at;
    // SAFETY: the caller enables the instructions. All pixels of the tile can be written to each plane.
    unsafe {
        let out = |v: usize| args.out.add(first / 4 * args.plane_stride + 4 * (pixel + V::PIXELS * v));
        let sum = |v: usize| V::add_chains([acc[0][v], acc[1][v], acc[2][v], acc[3][v]]);
        let Some(bias_clamp) = args.bias_clamp else {
            for v in 0..N {
                V::store(out(v), sum(v));
            }
            return;
        };
        let four = |values: &[f32]| V::repeat(&values.as_chunks().0[first / 4]);
        let (mul, add) = (four(&bias_clamp.mul), four(&bias_clamp.add));
        let (low, high) = (V::splat(bias_clamp.bounds.low), V::splat(bias_clamp.bounds.high));
        for v in 0..N {
            V::store(out(v), V::clamp(V::mul_add(sum(v), mul, add), low, high));
        }
    }
}
