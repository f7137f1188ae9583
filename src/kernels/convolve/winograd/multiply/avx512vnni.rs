//! AVX-512 with VNNI: `vpdpwssd` multiplies s16 by s16 and adds two products to i32.
//!
//! A vector is a pair of channels of 16 tiles. Accumulators are kept for 8 output channels of up to 3 vectors, or for 16 of one.

use core::arch::x86_64::*;

use super::super::OutputArgs;
use super::{Operands, blocks, for_operands};

/// Tiles of a vector.
const LANES: usize = 16;

/// Bytes by which weights are fetched ahead: those of a layer come from far away, and are read once for each chunk of tiles.
const AHEAD: usize = 8192;

/// Multiplies.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(in super::super) unsafe fn multiply(args: &OutputArgs<'_>) {
    let blocks = blocks(args);
    let groups = blocks.div_ceil(3);
    let most = if blocks == 1 { 16 } else { 8 };
    // SAFETY: `args` was checked.
    unsafe {
        for_operands(args, most, |operands, outputs| {
            for group in 0..groups {
                // Groups of nearly equal sizes: a short one would keep too few accumulators busy.
                let (begin, end) = (blocks * group / groups, blocks * (group + 1) / groups);
                // The operands are those of so many outputs.
                match (outputs, end - begin) {
                    (16, _) => run::<2, 8, 1>(operands, begin),
                    (4, 1) => run::<1, 4, 1>(operands, begin),
                    (4, 2) => run::<1, 4, 2>(operands, begin),
                    (4, _) => run::<1, 4, 3>(operands, begin),
                    (_, 1) => run::<1, 8, 1>(operands, begin),
                    (_, 2) => run::<1, 8, 2>(operands, begin),
                    (_, _) => run::<1, 8, 3>(operands, begin),
                }
            }
        });
    }
}

/// The sums of `B` blocks of `O` output channels and `V` blocks of tiles from `first` on.
///
/// # Safety
/// The operands must be those of so many output channels, with so many blocks of tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn run<const B: usize, const O: usize, const V: usize>(operands: Operands, first: usize) {
    let Operands { activations, weights, pairs, sums, tiles } = operands;
    let mut acc = [[[_mm512_setzero_si512(); V]; O]; B];
    let (mut x, mut w) = (activations.wrapping_add(first * pairs * LANES), weights);
    for _ in 0..pairs {
        _mm_prefetch::<_MM_HINT_T1>(w.wrapping_byte_add(AHEAD).cast());
        let mut vectors = [_mm512_setzero_si512(); V];
        for v in 0..V {
            // SAFETY: each block of tiles has a vector for each pair.
            vectors[v] = unsafe { _mm512_loadu_si512(x.add(v * pairs * LANES).cast()) };
        }
        for b in 0..B {
            for o in 0..O {
                // SAFETY: each block of output channels has two weights for each of them and each pair.
                let weights = _mm512_set1_epi32(unsafe { w.add(b * pairs * O + o).read_unaligned() });
                for v in 0..V {
                    acc[b][o][v] = _mm512_dpwssd_epi32(acc[b][o][v], vectors[v], weights);
                }
            }
        }
        (x, w) = (x.wrapping_add(LANES), w.wrapping_add(O));
    }
    for (o, acc) in acc.as_flattened().iter().enumerate() {
        for (v, acc) in acc.iter().enumerate() {
            // SAFETY: each output channel has sums for all blocks of tiles.
            unsafe { _mm512_storeu_si512(sums.add(o * tiles + (first + v) * LANES).cast(), *acc) };
        }
    }
}
