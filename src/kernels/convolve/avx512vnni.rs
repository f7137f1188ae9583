//! AVX-512 with VNNI: `vpdpbusd` multiplies u8 by s8 and adds four products to i32, exactly.
//!
//! A vector is a k-step of 16 pixels. A tile keeps accumulators for 8 output channels of 3 vectors, which leaves registers for
//! the vectors and for a k-step's weights of one channel, repeated. All blocks of output channels are computed while a tile's
//! vectors are in the cache.

use core::arch::x86_64::*;

use super::{Block, ConvolveArgs, Destination};

/// Pixels of a vector.
const PIXELS: usize = 16;

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    let vectors = args.pixels / PIXELS;
    let tiles = vectors.div_ceil(3);
    // Tiles of nearly equal sizes: a short one would keep too few accumulators busy.
    let range = |tile: usize| (vectors * tile / tiles, vectors * (tile + 1) / tiles);
    // SAFETY: `args` and `destination` were checked, tiles are inside the range, and blocks inside the packed weights.
    unsafe {
        if args.packed.bytes() > NEAR_BYTES {
            for block in args.blocks() {
                for vectors in (0..tiles).map(range) {
                    tile(block, vectors, args, destination);
                }
            }
        } else {
            for vectors in (0..tiles).map(range) {
                for block in args.blocks() {
                    tile(block, vectors, args, destination);
                }
            }
        }
    }
}

/// Bytes of weights that stay in the second cache from tile to tile. Of more, each block is read once, and all tiles go past it.
const NEAR_BYTES: usize = 768 * 1024;

/// Computes a block of output channels for the vectors from `begin` to `end`.
///
/// # Safety
/// As [`convolve`]; the tile must be inside the range of pixels, and the block one of the weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile(block: Block<'_>, (begin, end): (usize, usize), args: &ConvolveArgs, destination: &Destination) {
    let at = TileAt { block, vector: begin };
    // SAFETY: the caller's promise; each is for the block's width and the tile's length.
    unsafe {
        match (block.width, end - begin) {
            (4, 1) => at.run::<4, 1>(args, destination),
            (4, 2) => at.run::<4, 2>(args, destination),
            (4, _) => at.run::<4, 3>(args, destination),
            (_, 1) => at.run::<8, 1>(args, destination),
            (_, 2) => at.run::<8, 2>(args, destination),
            (_, _) => at.run::<8, 3>(args, destination),
        }
    }
}

/// Where a tile is: its block of output channels, its first vector.
struct TileAt<'a> {
    block: Block<'a>,
    vector: usize,
}

impl TileAt<'_> {
    /// Computes a tile of `O` output channels and `V` vectors.
    ///
    /// # Safety
    /// As [`convolve`]; the tile must be inside the range of pixels, and the block one of `O` channels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn run<const O: usize, const V: usize>(self, args: &ConvolveArgs, destination: &Destination) {
        let mut acc = [[_mm512_setzero_si512(); V]; O];
        for o in 0..O {
            acc[o] = [_mm512_set1_epi32(args.packed.init()[self.block.first + o]); V];
        }
        // SAFETY: the tile is inside the range of pixels.
        let input = unsafe { args.input.add(4 * PIXELS * self.vector) };
        let mut weights = self.block.weights.as_ptr();
        for &offset in self.block.offsets {
            let mut x = [_mm512_setzero_si512(); V];
            for v in 0..V {
                // SAFETY: all pixels can be read at each offset.
                x[v] = unsafe { _mm512_loadu_si512(input.add(offset as usize + 4 * PIXELS * v).cast()) };
            }
            for o in 0..O {
                // SAFETY: a block has 4 weights for each of its channels and each step.
                let w = _mm512_set1_epi32(unsafe { weights.add(4 * o).cast::<i32>().read_unaligned() });
                for v in 0..V {
                    acc[o][v] = _mm512_dpbusd_epi32(acc[o][v], x[v], w);
                }
            }
            weights = weights.wrapping_add(4 * O);
        }
        // SAFETY: the tile is inside the planes.
        unsafe { self.store(acc, destination) };
    }

    /// Writes a tile.
    ///
    /// # Safety
    /// The tile must be inside the planes of `destination`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn store<const O: usize, const V: usize>(self, acc: [[__m512i; V]; O], destination: &Destination) {
        match *destination {
            Destination::Raw { start, plane_stride } => {
                for (o, acc) in acc.iter().enumerate() {
                    for (v, acc) in acc.iter().enumerate() {
                        let place = (self.block.first + o) * plane_stride + PIXELS * (self.vector + v);
                        // SAFETY: the 16 pixels of vector `v` are inside the channel's plane.
                        unsafe { _mm512_storeu_si512(start.wrapping_add(place).cast(), *acc) };
                    }
                }
            }
            Destination::Quantized { requantize, flip, start, plane_stride } => {
                // Four pixels of four channels are a 4x4 of bytes in each 128 bits: transposed.
                let transpose =
                    _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
                let (low, high) = (_mm512_set1_ps(requantize.low), _mm512_set1_ps(requantize.high));
                let signed = requantize.qvalues().is_signed();
                for (four, acc) in acc.chunks_exact(4).enumerate() {
                    let channel = self.block.first + 4 * four;
                    let mul = &requantize.mul[channel..channel + 4];
                    let add = &requantize.add[channel..channel + 4];
                    for v in 0..V {
                        let mut value = [_mm512_setzero_si512(); 4];
                        for o in 0..4 {
                            let scaled = _mm512_cvtepi32_ps(acc[o][v]);
                            let mut scaled = _mm512_fmadd_ps(scaled, _mm512_set1_ps(mul[o]), _mm512_set1_ps(add[o]));
                            if requantize.clamp {
                                scaled = _mm512_max_ps(_mm512_min_ps(scaled, high), low);
                            }
                            value[o] = _mm512_cvtps_epi32(scaled);
                        }
                        let [a, b] = [_mm512_packs_epi32(value[0], value[1]), _mm512_packs_epi32(value[2], value[3])];
                        let packed = if signed { _mm512_packs_epi16(a, b) } else { _mm512_packus_epi16(a, b) };
                        let qvalues = _mm512_shuffle_epi8(packed, transpose);
                        let qvalues = _mm512_xor_si512(qvalues, _mm512_set1_epi8(flip as i8));
                        let place = channel / 4 * plane_stride + 4 * PIXELS * (self.vector + v);
                        // SAFETY: the 16 pixels of vector `v` are inside the plane of these four channels.
                        unsafe { _mm512_storeu_si512(start.wrapping_add(place).cast(), qvalues) };
                    }
                }
            }
        }
    }
}
