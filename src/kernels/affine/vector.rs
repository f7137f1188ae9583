//! The vector kernels: one body for all instruction sets.

use super::fixed::Fixed;
use super::{AffineArgs, ClampRound, Pass};
#[cfg(target_arch = "aarch64")]
use crate::kernels::vector::Neon;
use crate::kernels::vector::Vector;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vector::{Avx2, Avx512};

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2(args: &AffineArgs) {
    // SAFETY: what `args` promises is the caller's, and this function enables the instructions.
    unsafe { affine::<Avx2>(args) };
}

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold, and the processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn avx512(args: &AffineArgs) {
    // SAFETY: what `args` promises is the caller's, and this function enables the instructions.
    unsafe { affine::<Avx512>(args) };
}

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) unsafe fn neon(args: &AffineArgs) {
    // SAFETY: what `args` promises is the caller's, and this function enables the instructions.
    unsafe { affine::<Neon>(args) };
}

/// # Safety
/// What the fields of `args` promise must hold; the function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn affine<V: Vector>(args: &AffineArgs) {
    // One affine to u8 over the full range: the saturating conversions are its bounds.
    let simple = args.bounds.len() == 1 && !args.clamp && !args.to_signed && args.flip_in == 0;
    for (plane, (factors, fixed)) in args.factors.chunks_exact(args.bounds.len()).zip(args.fixed).enumerate() {
        // SAFETY: there is this plane, and the integers are its own.
        #[cfg(target_arch = "aarch64")]
        if unsafe { super::neon::shift(args, plane, fixed) } {
            continue;
        }
        for pass in args.passes(plane) {
            // SAFETY: a pass reads and writes all pixels of one plane, which `args` says can be.
            unsafe {
                match pass.fixed {
                    [one] => integers::<V, 1>(&pass, [one]),
                    [one, two] => integers::<V, 2>(&pass, [one, two]),
                    _ => unreachable!("one or two"),
                }
            }
        }
        if !fixed.is_empty() {
            continue;
        }
        // SAFETY: all pixels of this plane can be read and written, and `factors` are the plane's.
        unsafe {
            match (args.signed, simple) {
                (true, true) => floats::<V, true, true>(args, plane, factors),
                (true, false) => floats::<V, true, false>(args, plane, factors),
                (false, true) => floats::<V, false, true>(args, plane, factors),
                (false, false) => floats::<V, false, false>(args, plane, factors),
            }
        }
    }
}

/// Runs a pass, with the integers of its affines.
///
/// # Safety
/// As [`affine`]; all pixels of the pass can be read and written.
#[inline(always)]
unsafe fn integers<V: Vector, const N: usize>(pass: &Pass<'_>, fixed: [&Fixed; N]) {
    // SAFETY: the caller enables the instructions; vectors are 16 bytes for each of `V::PIXELS`, and all of them are inside the plane, whose
    // pixels are a multiple of a vector's.
    unsafe {
        let fixed = fixed.map(|f| [V::repeat_i16(&f.factor), V::repeat_i16(&f.summand), V::repeat_i16(&f.back)]);
        for at in (0..4 * pass.pixels).step_by(16 * V::PIXELS) {
            let mut qvalues = V::load_bytes(pass.from.add(at), pass.flip_in);
            for [factor, summand, back] in fixed {
                let scale = |half| V::mul_round(V::add(V::mul_round(half, factor), summand), back);
                qvalues = V::narrow(V::widen(qvalues).map(scale));
            }
            V::store_bytes(pass.to.add(at), qvalues, pass.flip_out);
        }
    }
}

/// Applies the chain to a plane with floats, s8 if `SIGNED`; see `simple` in [`affine`].
///
/// # Safety
/// As [`affine`]; there must be such a plane, and `factors` must be its own.
#[inline(always)]
unsafe fn floats<V: Vector, const SIGNED: bool, const SIMPLE: bool>(
    args: &AffineArgs,
    plane: usize,
    factors: &[[[f32; 4]; 2]],
) {
    // SAFETY: the caller enables the instructions; vectors are 16 bytes for each of `V::PIXELS`, and all of them are inside the plane, whose
    // pixels are a multiple of a vector's.
    unsafe {
        let (from, to) = (args.input.add(plane * args.plane_stride), args.out.add(plane * args.out_stride));
        for at in (0..4 * args.pixels).step_by(16 * V::PIXELS) {
            let mut values = if SIMPLE {
                V::load_quantized::<SIGNED, false>(from.add(at), 0)
            } else {
                V::load_quantized::<SIGNED, true>(from.add(at), args.flip_in)
            };
            for value in &mut values {
                *value = affines::<V, SIMPLE>(*value, factors, args.bounds);
            }
            V::store_quantized(to.add(at), values, !SIMPLE && args.to_signed, args.flip_out);
        }
    }
}

/// The affines, but for the last one's rounding.
///
/// # Safety
/// The function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn affines<V: Vector, const SIMPLE: bool>(
    mut value: V::F32,
    factors: &[[[f32; 4]; 2]],
    bounds: &[ClampRound],
) -> V::F32 {
    // SAFETY: the caller enables the instructions.
    unsafe {
        if SIMPLE {
            return V::mul_add(value, V::repeat(&factors[0][0]), V::repeat(&factors[0][1]));
        }
        for ([mul, add], ClampRound { low, high, round }) in factors.iter().zip(bounds) {
            value = V::mul_add(value, V::repeat(mul), V::repeat(add));
            value = V::clamp(value, V::splat(*low), V::splat(*high));
            if *round {
                value = V::round(value);
            }
        }
        value
    }
}
