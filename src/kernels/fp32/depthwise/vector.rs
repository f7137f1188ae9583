//! The vector kernels: one body for all instruction sets.
//!
//! A vector holds neighbouring pixels of a row. Rows of results follow one another without a gap: a vector that reaches beyond its row is
//! overwritten by the next row, and behind the last one it is written in part.

use super::{CHANNEL_BLOCK, DepthwiseArgs, MOST_PIXELS};
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
pub(super) unsafe fn with_avx2(args: &DepthwiseArgs<'_>) {
    // SAFETY: the caller promises it, and this function enables the instructions.
    unsafe { rows::<Avx2>(args) }
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn with_avx512(args: &DepthwiseArgs<'_>) {
    // SAFETY: the caller promises it, and this function enables the instructions.
    unsafe { rows::<Avx512>(args) }
}

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) unsafe fn with_neon(args: &DepthwiseArgs<'_>) {
    // SAFETY: the caller promises it, and this function enables the instructions.
    unsafe { rows::<Neon>(args) }
}

/// Computes all rows.
///
/// # Safety
/// What the fields of `args` promise must hold. The function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn rows<V: Vector>(args: &DepthwiseArgs<'_>) {
    let vectors = args.width.div_ceil(V::PIXELS);
    for row in 0..args.height {
        let mut done = 0;
        // SAFETY: the row has these vectors, and the caller enables the instructions.
        unsafe {
            while done + 8 <= vectors {
                part::<V, 8>(args, row, done);
                done += 8;
            }
            if done + 4 <= vectors {
                part::<V, 4>(args, row, done);
                done += 4;
            }
            if done + 2 <= vectors {
                part::<V, 2>(args, row, done);
                done += 2;
            }
            if done < vectors {
                part::<V, 1>(args, row, done);
            }
        }
    }
}

/// Computes `N` vectors of a row, from vector `first` on.
///
/// # Safety
/// As [`rows`]; the row has these vectors.
#[inline(always)]
unsafe fn part<V: Vector, const N: usize>(args: &DepthwiseArgs<'_>, row: usize, first: usize) {
    let pixel = V::PIXELS * first;
    // SAFETY: whole vectors of the row can be read at each offset. The caller enables the instructions.
    unsafe {
        let input = args.input.add(row * args.row_stride + CHANNEL_BLOCK * pixel);
        let mut sums = [V::splat(0.0); N];
        for (&offset, weights) in args.offsets.iter().zip(args.weights) {
            let (from, weights) = (input.add(offset as usize), V::repeat(weights));
            for n in 0..N {
                sums[n] = V::mul_add(V::load(from.add(CHANNEL_BLOCK * V::PIXELS * n)), weights, sums[n]);
            }
        }
        let four = |values: &[f32]| V::repeat(&values.as_chunks().0[args.plane]);
        let (mul, add) = (four(&args.bias_clamp.mul), four(&args.bias_clamp.add));
        let (low, high) = (V::splat(args.bias_clamp.bounds.low), V::splat(args.bias_clamp.bounds.high));
        for n in 0..N {
            let value = V::clamp(V::mul_add(sums[n], mul, add), low, high);
            let column = pixel + V::PIXELS * n;
            let at = CHANNEL_BLOCK * (row * args.width + column);
            if at + CHANNEL_BLOCK * V::PIXELS <= args.len {
                V::store(args.out.add(at), value);
            } else {
                let mut last = [0.0; CHANNEL_BLOCK * MOST_PIXELS];
                V::store(last.as_mut_ptr(), value);
                std::ptr::copy_nonoverlapping(last.as_ptr(), args.out.add(at), CHANNEL_BLOCK * (args.width - column));
            }
        }
    }
}
