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
        let outputs = args.outputs - first;
        let most = match outputs {
            ..=4 => 8,
            5..=8 => 10,
            _ => 6,
        };
        for_tiles(args.pixels, most, 2, |place, pixels| {
            let at = F32Tile::new(first, weights, place, 1, args.offsets.len());
            // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions.
            unsafe {
                match (outputs, pixels) {
                    (..=4, 2) => plane_tile::<Avx2, 1, 1>(args, at),
                    (..=4, 4) => plane_tile::<Avx2, 2, 1>(args, at),
                    (..=4, 6) => plane_tile::<Avx2, 3, 1>(args, at),
                    (..=4, _) => plane_tile::<Avx2, 4, 1>(args, at),
                    (5..=8, 2) => tile::<Avx2, 2, 1>(args, at),
                    (5..=8, 4) => tile::<Avx2, 4, 1>(args, at),
                    (5..=8, 6) => tile::<Avx2, 6, 1>(args, at),
                    (5..=8, 8) => tile::<Avx2, 8, 1>(args, at),
                    (5..=8, _) => tile::<Avx2, 10, 1>(args, at),
                    (_, 2) => tile::<Avx2, 2, 2>(args, at),
                    (_, 4) => tile::<Avx2, 4, 2>(args, at),
                    (_, _) => tile::<Avx2, 6, 2>(args, at),
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
    let mut blocks = args.blocks().peekable();
    while let Some((first, weights)) = blocks.next() {
        let outputs = args.outputs - first;
        // The last few outputs would leave most of a vector unused.
        let two = blocks.next_if(|(next, _)| args.outputs - next > 8).is_some();
        let most = match outputs {
            ..=4 => 32,
            5..=8 => 16,
            _ if two => avx512::PIXELS,
            _ => 16,
        };
        for_tiles(args.pixels, most, 4, |place, pixels| {
            let at = F32Tile::new(first, weights, place, if two { 2 } else { 1 }, args.offsets.len());
            // SAFETY: the tile is inside the range of pixels that `args` promises, and this function enables the instructions. With `two` there
            // is another block behind the weights of the first.
            unsafe {
                match (outputs, pixels) {
                    (..=4, _) => planes_512::<1>(args, at, pixels),
                    (5..=8, _) => planes_512::<2>(args, at, pixels),
                    (_, 4) if two => tile::<Avx512, 4, 2>(args, at),
                    (_, 8) if two => tile::<Avx512, 8, 2>(args, at),
                    (_, _) if two => {
                        let input = args.input.add(CHANNEL_BLOCK * at.pixel);
                        let sums = avx512::sums(input, args.offsets, weights.as_ptr(), at.ahead);
                        finish::<Avx512, { avx512::PIXELS }, 2>(args, &at, sums);
                    }
                    (_, 4) => tile::<Avx512, 4, 1>(args, at),
                    (_, 8) => tile::<Avx512, 8, 1>(args, at),
                    (_, 12) => tile::<Avx512, 12, 1>(args, at),
                    (_, _) => tile::<Avx512, 16, 1>(args, at),
                }
            }
        });
    }
}

/// As [`plane_tile`], of `pixels` pixels: at most 32.
///
/// # Safety
/// As [`plane_tile`]; the processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn planes_512<const B: usize>(args: &ConvolveF32Args, at: F32Tile<'_>, pixels: usize) {
    // SAFETY: the caller promises it, and this function enables the instructions.
    unsafe {
        match pixels {
            4 => plane_tile::<Avx512, 1, B>(args, at),
            8 => plane_tile::<Avx512, 2, B>(args, at),
            12 => plane_tile::<Avx512, 3, B>(args, at),
            16 => plane_tile::<Avx512, 4, B>(args, at),
            20 => plane_tile::<Avx512, 5, B>(args, at),
            24 => plane_tile::<Avx512, 6, B>(args, at),
            28 => plane_tile::<Avx512, 7, B>(args, at),
            _ => plane_tile::<Avx512, 8, B>(args, at),
        }
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
        for_tiles(args.pixels, if vectors <= 2 { 8 } else { 4 }, 4, |place, pixels| {
            let at = F32Tile::new(first, weights, place, 1, args.offsets.len());
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
#[derive(Clone, Copy)]
struct F32Tile<'a> {
    /// The first output channel.
    first: usize,
    /// The weights from its block on.
    weights: &'a [f32],
    /// The first pixel.
    pixel: usize,
    /// Weights that are fetched into the second cache meanwhile, [`STEP`] for each step; they need not exist.
    ahead: *const f32,
}

impl<'a> F32Tile<'a> {
    /// The tile of that number among those of `blocks` blocks of outputs: all of them together fetch the blocks behind, which may lie far away.
    fn new(first: usize, weights: &'a [f32], (number, pixel): (usize, usize), blocks: usize, steps: usize) -> Self {
        let behind = if number < blocks { (blocks + number) * STEP * steps } else { 0 };
        Self { first, weights, pixel, ahead: weights.as_ptr().wrapping_add(behind) }
    }
}

/// Calls `run` with the number and first pixel of each tile, and the number of its pixels: `most` or fewer, a multiple of `unit`.
#[inline(always)]
fn for_tiles(pixels: usize, most: usize, unit: usize, run: impl Fn((usize, usize), usize)) {
    let (units, tiles) = (pixels / unit, pixels.div_ceil(most));
    for tile in 0..tiles {
        // Tiles of nearly equal sizes: a short one would keep too few sums busy.
        let (begin, end) = (units * tile / tiles, units * (tile + 1) / tiles);
        run((tile, unit * begin), unit * (end - begin));
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
        let (mut weights, mut ahead) = (at.weights.as_ptr(), at.ahead);
        let block = STEP * args.offsets.len();
        for &offset in args.offsets {
            let from = input.add(offset as usize);
            let mut pixels = [V::pixel(from); P];
            for p in 0..P {
                pixels[p] = V::pixel(from.add(CHANNEL_BLOCK * p));
            }
            macro_rules! channel {
                ($i:literal) => {
                    V::prefetch(ahead.wrapping_add(OUTPUT_BLOCK * $i));
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
            ahead = ahead.wrapping_add(STEP);
        }
        finish::<V, P, N>(args, &at, sums);
    }
}

/// Computes a tile of `N` vectors of pixels for `B` planes of outputs, whose sums lie as in planes: for the few outputs that would leave most of
/// another vector unused. Bringing each value to all lanes of its pixel takes an instruction more.
///
/// # Safety
/// As [`tile`]; there must be these planes, in one block.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn plane_tile<V: Vector, const N: usize, const B: usize>(args: &ConvolveF32Args, at: F32Tile<'_>) {
    // SAFETY: the caller enables the instructions. All pixels of the tile can be read at each offset, and written to each plane; a block has
    // that many weights for each offset.
    unsafe {
        let input = args.input.add(CHANNEL_BLOCK * at.pixel);
        let mut sums = [[V::splat(0.0); N]; B];
        let (mut weights, mut ahead) = (at.weights.as_ptr(), at.ahead);
        for &offset in args.offsets {
            let mut x = [V::splat(0.0); N];
            for n in 0..N {
                x[n] = V::load(input.add(offset as usize + CHANNEL_BLOCK * V::PIXELS * n));
            }
            macro_rules! channel {
                ($i:literal) => {
                    V::prefetch(ahead.wrapping_add(OUTPUT_BLOCK * $i));
                    let weights = weights.add(OUTPUT_BLOCK * $i);
                    for n in 0..N {
                        let value = V::spread_channel::<$i>(x[n]);
                        for b in 0..B {
                            let factors = V::repeat(&*weights.add(CHANNEL_BLOCK * b).cast());
                            sums[b][n] = V::mul_add(value, factors, sums[b][n]);
                        }
                    }
                };
            }
            channel!(0);
            channel!(1);
            channel!(2);
            channel!(3);
            weights = weights.wrapping_add(STEP);
            ahead = ahead.wrapping_add(STEP);
        }
        for b in 0..B {
            let plane = at.first / CHANNEL_BLOCK + b;
            let out = args.out.add(plane * args.plane_stride + CHANNEL_BLOCK * at.pixel);
            for n in 0..N {
                V::store(out.add(CHANNEL_BLOCK * V::PIXELS * n), finished::<V>(args, plane, sums[b][n]));
            }
        }
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
