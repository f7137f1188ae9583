//! The definition.

use super::{ConvolveArgs, Destination};

/// Pixels that share the look at weights.
const PART: usize = 8;

/// Convolves. Weights may be packed for any instruction set.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold.
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    let zero = if args.packed.isa().shifted() { 0x80 } else { 0 };
    for block in args.blocks() {
        for o in 0..block.width {
            let (channel, start) = (block.first + o, args.packed.start(block, o));
            for first in (0..args.pixels).step_by(PART) {
                let mut acc = [start; PART];
                for (offset, weights) in args.packed.products(block, o) {
                    // SAFETY: 4 * pixels bytes can be read from each offset on.
                    let x = unsafe { *args.input.add(offset as usize + 4 * first).cast::<[[u8; 4]; PART]>() };
                    for (acc, x) in acc.iter_mut().zip(x) {
                        let product = |i: usize| i32::from(x[i] ^ zero) * i32::from(weights[i]);
                        *acc = acc.wrapping_add(product(0) + product(1) + product(2) + product(3));
                    }
                }
                for (pixel, acc) in (first..).zip(acc) {
                    // SAFETY: all pixels of all planes can be written.
                    unsafe {
                        match *destination {
                            Destination::Quantized { requantize, flip, start, plane_stride } => {
                                let qvalue = requantize.apply(channel, acc) as u8;
                                let place = channel / 4 * plane_stride + 4 * pixel + channel % 4;
                                *start.wrapping_add(place) = qvalue ^ flip;
                            }
                            Destination::Raw { start, plane_stride } => {
                                *start.wrapping_add(channel * plane_stride + pixel) = acc
                            }
                        }
                    }
                }
            }
        }
    }
}
