//! AVX2: `vpmaddwd` multiplies s16 by s16 and adds two products to i32.
//!
//! A vector is a pair of channels of 8 tiles. Accumulators are kept for 4 output channels of 2 vectors.

use core::arch::x86_64::*;

use super::super::OutputArgs;
use super::{Operands, blocks, for_operands};

/// Tiles of a vector.
const LANES: usize = 8;

/// Bytes by which weights are fetched ahead: those of a layer come from far away, and are read once for each chunk of tiles.
const AHEAD: usize = 8192;

/// Multiplies.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX2.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn multiply(args: &OutputArgs<'_>) {
    let blocks = blocks(args);
    // SAFETY: `args` was checked; blocks of output channels are of 4.
    unsafe {
        for_operands(args, 4, |operands, _| {
            for first in (0..blocks).step_by(2) {
                if blocks - first >= 2 {
                    run::<2>(operands, first);
                } else {
                    run::<1>(operands, first);
                }
            }
        });
    }
}

/// The sums of 4 output channels and `V` blocks of tiles from `first` on.
///
/// # Safety
/// The operands must be those of so many output channels, with so many blocks.
#[target_feature(enable = "avx2,fma")]
unsafe fn run<const V: usize>(operands: Operands, first: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[_mm256_setzero_si256(); V]; 4];
    let (mut x, mut w) = (activations.wrapping_add(first * pairs * LANES), weights);
    for _ in 0..pairs {
        _mm_prefetch::<_MM_HINT_T1>(w.wrapping_byte_add(AHEAD).cast());
        let mut vectors = [_mm256_setzero_si256(); V];
        for v in 0..V {
            // SAFETY: each block of tiles has a vector for each pair.
            vectors[v] = unsafe { _mm256_loadu_si256(x.add(v * pairs * LANES).cast()) };
        }
        for o in 0..4 {
            // SAFETY: a block of output channels has two weights for each of them and each pair.
            let weights = _mm256_set1_epi32(unsafe { w.add(o).read_unaligned() });
            for v in 0..V {
                acc[o][v] = _mm256_add_epi32(acc[o][v], _mm256_madd_epi16(vectors[v], weights));
            }
        }
        (x, w) = (x.wrapping_add(LANES), w.wrapping_add(4));
    }
    for (o, acc) in acc.iter().enumerate() {
        for (v, acc) in acc.iter().enumerate() {
            // SAFETY: each output channel has sums for all blocks of tiles.
            unsafe { _mm256_storeu_si256(sums.add(o * tiles + (first + v) * LANES).cast(), *acc) };
        }
    }
}
