//! The definition.

use super::packed::{OUTPUT_BLOCK, STEP};
use super::{CHANNEL_BLOCK, ConvolveF32Args};

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn convolve(args: &ConvolveF32Args) {
    for (first, weights) in args.blocks() {
        let outputs = OUTPUT_BLOCK.min(args.outputs - first);
        for (pixel, output) in (0..args.pixels).flat_map(|pixel| (0..outputs).map(move |output| (pixel, output))) {
            let mut acc = 0.0_f32;
            for (&offset, weights) in args.offsets.iter().zip(weights.chunks_exact(STEP)) {
                for i in 0..CHANNEL_BLOCK {
                    // SAFETY: 4 * pixels values can be read from each offset on.
                    let x = unsafe { *args.input.add(offset as usize + CHANNEL_BLOCK * pixel + i) };
                    acc = x.mul_add(weights[OUTPUT_BLOCK * i + output], acc);
                }
            }
            let channel = first + output;
            let value = args.bias_clamp.map_or(acc, |bias_clamp| bias_clamp.apply(channel, acc));
            let at = channel / CHANNEL_BLOCK * args.plane_stride + CHANNEL_BLOCK * pixel + channel % CHANNEL_BLOCK;
            // SAFETY: all pixels of all planes can be written.
            unsafe { *args.out.add(at) = value };
        }
    }
}
