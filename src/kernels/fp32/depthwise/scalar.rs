//! The definition.

use super::{CHANNEL_BLOCK, DepthwiseArgs};

/// Convolves.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn convolve(args: &DepthwiseArgs<'_>) {
    for (pixel, i) in (0..args.height * args.width).flat_map(|pixel| (0..CHANNEL_BLOCK).map(move |i| (pixel, i))) {
        let place = pixel / args.width * args.row_stride + CHANNEL_BLOCK * (pixel % args.width) + i;
        let mut sum = 0.0_f32;
        for (&offset, weights) in args.offsets.iter().zip(args.weights) {
            // SAFETY: all pixels of each row can be read at each offset.
            let x = unsafe { *args.input.add(offset as usize + place) };
            sum = x.mul_add(weights[i], sum);
        }
        let value = args.bias_clamp.apply(CHANNEL_BLOCK * args.plane + i, sum);
        // SAFETY: there is room for all results.
        unsafe { *args.out.add(CHANNEL_BLOCK * pixel + i) = value };
    }
}
