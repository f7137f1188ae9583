//! The definition.

use super::{AffineArgs, ClampRound};
use crate::quant::round;

/// Applies a chain to planes.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn affine(args: &AffineArgs) {
    for (plane, factors) in args.factors.chunks_exact(args.bounds.len()).enumerate() {
        for i in 0..4 * args.pixels {
            // SAFETY: all pixels of all planes can be read.
            let byte = unsafe { *args.input.add(plane * args.plane_stride + i) } ^ args.flip_in;
            let mut value = if args.signed { f32::from(byte as i8) } else { f32::from(byte) };
            for ([mul, add], ClampRound { low, high, round: rounds }) in factors.iter().zip(args.bounds) {
                value = value.mul_add(mul[i % 4], add[i % 4]);
                value = if value > *low { value.min(*high) } else { *low };
                value = if *rounds { round(value) } else { value };
            }
            // SAFETY: all pixels of all planes can be written.
            unsafe { *args.out.add(plane * args.out_stride + i) = value as i32 as u8 ^ args.flip_out };
        }
    }
}
