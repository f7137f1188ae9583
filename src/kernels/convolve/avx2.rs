//! AVX2 with FMA: `vpmaddubsw` multiplies u8 by s8 and adds two products to i16, `vpmaddwd` by 1 two of those to i32.
//!
//! The first can saturate. Weights are packed so that it never does: some k-steps are split in two, see `packed`.
//!
//! A vector is a k-step of 8 pixels. A tile keeps accumulators for 4 output channels of 2 vectors.

use core::arch::x86_64::*;

use super::{Block, ConvolveArgs, Destination};

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    for pixel in (0..args.pixels).step_by(16) {
        for block in args.blocks() {
            // SAFETY: `args` and `destination` were checked, and the pixels are inside the range.
            unsafe {
                let input = args.input.add(4 * pixel);
                if args.pixels - pixel >= 16 {
                    store(tile::<2>(args, block, input), destination, block.first, pixel);
                } else {
                    store(tile::<1>(args, block, input), destination, block.first, pixel);
                }
            }
        }
    }
}

/// The accumulators of a block of output channels, of the `V` times 8 pixels from `input` on.
///
/// # Safety
/// As [`convolve`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const V: usize>(args: &ConvolveArgs, block: Block<'_>, input: *const u8) -> [[__m256i; V]; 4] {
    let mut acc = [[_mm256_setzero_si256(); V]; 4];
    for o in 0..4 {
        acc[o] = [_mm256_set1_epi32(args.packed.init()[block.first + o]); V];
    }
    let ones = _mm256_set1_epi16(1);
    let mut weights = block.weights.as_ptr();
    for &offset in block.offsets {
        // SAFETY: all pixels can be read at each offset.
        let x = unsafe { input.add(offset as usize) };
        // SAFETY: 32 bytes for each of the `V` vectors are inside the range of pixels, all of which can be read at each offset.
        let x: [__m256i; V] = std::array::from_fn(|v| unsafe { _mm256_loadu_si256(x.add(32 * v).cast()) });
        for o in 0..4 {
            // SAFETY: a block has 4 weights for each of its channels and each packed step.
            let w = _mm256_set1_epi32(unsafe { weights.add(4 * o).cast::<i32>().read_unaligned() });
            for v in 0..V {
                let pairs = _mm256_maddubs_epi16(x[v], w);
                acc[o][v] = _mm256_add_epi32(acc[o][v], _mm256_madd_epi16(pairs, ones));
            }
        }
        weights = weights.wrapping_add(16);
    }
    acc
}

/// Writes the tile of 4 channels from `first` on and `V` times 8 pixels from `pixel` on.
///
/// # Safety
/// The tile must be inside the planes of `destination`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn store<const V: usize>(acc: [[__m256i; V]; 4], destination: &Destination, first: usize, pixel: usize) {
    match *destination {
        Destination::Raw { start, plane_stride } => {
            for (o, acc) in acc.iter().enumerate() {
                for (v, acc) in acc.iter().enumerate() {
                    // SAFETY: the 8 pixels of vector `v` are inside the channel's plane.
                    unsafe {
                        _mm256_storeu_si256(start.wrapping_add((first + o) * plane_stride + pixel + 8 * v).cast(), *acc)
                    };
                }
            }
        }
        Destination::Quantized { requantize, flip, start, plane_stride } => {
            // Four pixels of four channels are a 4x4 of bytes in each 128 bits: transposed.
            let transpose = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let transpose = _mm256_broadcastsi128_si256(transpose);
            let (low, high) = (_mm256_set1_ps(requantize.low), _mm256_set1_ps(requantize.high));
            let (mul, add) = (&requantize.mul[first..first + 4], &requantize.add[first..first + 4]);
            for v in 0..V {
                let mut value = [_mm256_setzero_si256(); 4];
                for o in 0..4 {
                    let scaled = _mm256_cvtepi32_ps(acc[o][v]);
                    let mut scaled = _mm256_fmadd_ps(scaled, _mm256_set1_ps(mul[o]), _mm256_set1_ps(add[o]));
                    if requantize.clamp {
                        scaled = _mm256_max_ps(_mm256_min_ps(scaled, high), low);
                    }
                    value[o] = _mm256_cvtps_epi32(scaled);
                }
                let [a, b] = [_mm256_packs_epi32(value[0], value[1]), _mm256_packs_epi32(value[2], value[3])];
                let signed = requantize.qvalues().is_signed();
                let packed = if signed { _mm256_packs_epi16(a, b) } else { _mm256_packus_epi16(a, b) };
                let qvalues = _mm256_xor_si256(_mm256_shuffle_epi8(packed, transpose), _mm256_set1_epi8(flip as i8));
                // SAFETY: the 8 pixels of vector `v` are inside the plane of these four channels.
                unsafe {
                    _mm256_storeu_si256(
                        start.wrapping_add(first / 4 * plane_stride + 4 * (pixel + 8 * v)).cast(),
                        qvalues,
                    )
                };
            }
        }
    }
}
