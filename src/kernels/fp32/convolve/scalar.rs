//! The definition.

use super::ConvolveF32Args;

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn convolve(args: &ConvolveF32Args) {
    for (first, weights) in args.blocks() {
        for pixel in 0..args.pixels {
            for lane in 0..4 {
                let mut chain = [0.0f32; 4];
                for (&offset, weights) in args.offsets.iter().zip(weights.chunks_exact(16)) {
                    for i in 0..4 {
                        // SAFETY: 4 * pixels values can be read from each offset on.
                        let x = unsafe { *args.input.add(offset as usize + 4 * pixel + i) };
                        chain[i] = x.mul_add(weights[4 * lane + i], chain[i]);
                    }
                }
                let acc = (chain[0] + chain[1]) + (chain[2] + chain[3]);
                let value = args.bias_clamp.map_or(acc, |bias_clamp| bias_clamp.apply(first + lane, acc));
                // SAFETY: all pixels of all planes can be written.
                unsafe { *args.out.add(first / 4 * args.plane_stride + 4 * pixel + lane) = value };
            }
        }
    }
}
