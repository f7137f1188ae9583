//! The vector kernels: one body for all instruction sets.
//!
//! A vector holds the sums of one pixel for some output channels. A tile has the sums of several pixels for one or more vectors of a block, or
//! of two blocks, which leaves registers for a step's weights and a value. The weights of a block stay in the nearest cache while all pixels go
//! past them.

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::packed::{OUTPUT_BLOCK, STEP};
use super::{CHANNEL_BLOCK, ConvolveF32Args};
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
    for (first, weights) in args.blocks() {
        let one = args.outputs - first <= 8;
        for_tiles(args.pixels, 2 * if one { 5 } else { 3 }, 2, |pixel, pixels| {
            let at = F32Tile { first, weights, pixel };
            // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
            unsafe {
                match (one, pixels) {
                    (true, 2) => tile::<Avx2, 2, 1>(args, at),
                    (true, 4) => tile::<Avx2, 4, 1>(args, at),
                    (true, 6) => tile::<Avx2, 6, 1>(args, at),
                    (true, 8) => tile::<Avx2, 8, 1>(args, at),
                    (true, _) => tile::<Avx2, 10, 1>(args, at),
                    (false, 2) => tile::<Avx2, 2, 2>(args, at),
                    (false, 4) => tile::<Avx2, 4, 2>(args, at),
                    (false, _) => tile::<Avx2, 6, 2>(args, at),
                }
            }
        });
    }
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn with_avx512(args: &ConvolveF32Args) {
    let mut blocks = args.blocks();
    while let Some((first, weights)) = blocks.next() {
        let one = blocks.next().is_none();
        for_tiles(args.pixels, if one { 16 } else { avx512::PIXELS }, 4, |pixel, pixels| {
            let at = F32Tile { first, weights, pixel };
            // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions. Without `one`
            // there is another block behind the weights of the first.
            unsafe {
                match (one, pixels) {
                    (true, 4) => tile::<Avx512, 4, 1>(args, at),
                    (true, 8) => tile::<Avx512, 8, 1>(args, at),
                    (true, 12) => tile::<Avx512, 12, 1>(args, at),
                    (true, _) => tile::<Avx512, 16, 1>(args, at),
                    (false, 4) => tile::<Avx512, 4, 2>(args, at),
                    (false, 8) => tile::<Avx512, 8, 2>(args, at),
                    (false, _) => {
                        let input = args.input.add(CHANNEL_BLOCK * pixel);
                        let sums = avx512::sums(input, args.offsets, weights.as_ptr());
                        finish::<Avx512, { avx512::PIXELS }, 2>(args, &at, sums);
                    }
                }
            }
        });
    }
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) unsafe fn with_neon(args: &ConvolveF32Args) {
    for (first, weights) in args.blocks() {
        let vectors = (args.outputs - first).div_ceil(4);
        for_tiles(args.pixels, if vectors <= 2 { 8 } else { 4 }, 4, |pixel, pixels| {
            let at = F32Tile { first, weights, pixel };
            // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
            unsafe {
                match (vectors, pixels) {
                    (1, 4) => tile::<Neon, 4, 1>(args, at),
                    (1, _) => tile::<Neon, 8, 1>(args, at),
                    (2, 4) => tile::<Neon, 4, 2>(args, at),
                    (2, _) => tile::<Neon, 8, 2>(args, at),
                    (3, _) => tile::<Neon, 4, 3>(args, at),
                    (_, _) => tile::<Neon, 4, 4>(args, at),
                }
            }
        });
    }
}

/// Where a tile is.
struct F32Tile<'a> {
    /// The first output channel.
    first: usize,
    /// The weights from its block on.
    weights: &'a [f32],
    /// The first pixel.
    pixel: usize,
}

/// Calls `run` with the first pixel of each tile, and their number: `most` or fewer, a multiple of `unit`.
#[inline(always)]
fn for_tiles(pixels: usize, most: usize, unit: usize, run: impl Fn(usize, usize)) {
    let (units, tiles) = (pixels / unit, pixels.div_ceil(most));
    for tile in 0..tiles {
        // Tiles of nearly equal sizes: a short one would keep too few sums busy.
        let (begin, end) = (units * tile / tiles, units * (tile + 1) / tiles);
        run(unit * begin, unit * (end - begin));
    }
}

/// Computes a tile of `P` pixels and `N` vectors of outputs, which may go on in the next block.
///
/// # Safety
/// What the fields of `args` promise must hold, the tile must be inside its range of pixels, and there must be blocks for `N` vectors. The
/// function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn tile<V: Vector, const P: usize, const N: usize>(args: &ConvolveF32Args, at: F32Tile<'_>) {
    // SAFETY: the caller enables the instructions. All pixels of the tile can be read at each offset, and each block has that many weights for
    // each.
    unsafe {
        let input = args.input.add(CHANNEL_BLOCK * at.pixel);
        let mut sums = [[V::splat(0.0); N]; P];
        let mut weights = at.weights.as_ptr();
        let block = STEP * args.offsets.len();
        for &offset in args.offsets {
            let from = input.add(offset as usize);
            let mut pixels = [V::pixel(from); P];
            for p in 0..P {
                pixels[p] = V::pixel(from.add(CHANNEL_BLOCK * p));
            }
            macro_rules! channel {
                ($i:literal) => {
                    let mut w = [V::splat(0.0); N];
                    for v in 0..N {
                        let output = CHANNEL_BLOCK * V::PIXELS * v;
                        let at = output / OUTPUT_BLOCK * block + output % OUTPUT_BLOCK;
                        w[v] = V::load(weights.add(OUTPUT_BLOCK * $i + at));
                    }
                    for p in 0..P {
                        for v in 0..N {
                            sums[p][v] = V::mul_add_channel::<$i>(pixels[p], w[v], sums[p][v]);
                        }
                    }
                };
            }
            channel!(0);
            channel!(1);
            channel!(2);
            channel!(3);
            weights = weights.wrapping_add(STEP);
        }
        finish::<V, P, N>(args, &at, sums);
    }
}

/// Writes the results for a tile's sums.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<V: Vector, const P: usize, const N: usize>(
    args: &ConvolveF32Args,
    at: &F32Tile<'_>,
    sums: [[V::F32; N]; P],
) {
    for v in 0..N {
        let first = at.first / CHANNEL_BLOCK + V::PIXELS * v;
        let planes = (args.outputs / CHANNEL_BLOCK).saturating_sub(first).min(V::PIXELS);
        for p in (0..P).step_by(V::PIXELS) {
            // SAFETY: the caller enables the instructions; a vector has the outputs of as many planes as pixels.
            let mut values = [unsafe { V::splat(0.0) }; 4];
            for i in 0..V::PIXELS {
                values[i] = sums[p + i][v];
            }
            // SAFETY: as before. The planes exist, and all pixels of the tile can be written to each of them.
            unsafe {
                let values = V::to_planes(values);
                for i in 0..V::PIXELS {
                    if i < planes {
                        let plane = first + i;
                        let out = args.out.add(plane * args.plane_stride + CHANNEL_BLOCK * (at.pixel + p));
                        V::store(out, finished::<V>(args, plane, values[i]));
                    }
                }
            }
        }
    }
}

/// The values for sums of a plane.
///
/// # Safety
/// The plane exists. The function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn finished<V: Vector>(args: &ConvolveF32Args, plane: usize, sums: V::F32) -> V::F32 {
    let Some(bias_clamp) = args.bias_clamp else { return sums };
    // SAFETY: the caller enables the instructions.
    unsafe {
        let four = |values: &[f32]| V::repeat(&values.as_chunks().0[plane]);
        let (low, high) = (V::splat(bias_clamp.bounds.low), V::splat(bias_clamp.bounds.high));
        V::clamp(V::mul_add(sums, four(&bias_clamp.mul), four(&bias_clamp.add)), low, high)
    }
}
