//! Plain code: what all others are compared with.

use std::ops::Range;

use super::{Convolution, Requantize};
use crate::quant::round;

/// Calls `give` with the sums of each group of four outputs at each pixel.
pub(super) fn sums(
    convolution: &Convolution<'_>,
    input: &[u8],
    pixels: Range<usize>,
    mut give: impl FnMut(usize, usize, [i32; 4]),
) {
    let Convolution { weights, offsets, start } = convolution;
    for (group, codes) in weights.codes.chunks_exact(weights.steps * 16).enumerate() {
        for pixel in pixels.clone() {
            let mut sums: [i32; 4] = std::array::from_fn(|output| start[4 * group + output]);
            for (offset, codes) in offsets.iter().zip(codes.as_chunks::<16>().0) {
                let x = &input[offset + 4 * pixel..][..4];
                for (sum, w) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
                    *sum += x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum::<i32>();
                }
            }
            give(group, pixel, sums);
        }
    }
}

pub(super) fn convolve(
    convolution: &Convolution<'_>,
    requantize: &Requantize<'_>,
    input: &[u8],
    output: &mut [u8],
    plane: usize,
    pixels: Range<usize>,
) {
    let Requantize { mul, add, low, high } = *requantize;
    sums(convolution, input, pixels, |group, pixel, sums| {
        for (i, sum) in sums.into_iter().enumerate() {
            let value = (sum as f32).mul_add(mul[4 * group + i], add[4 * group + i]);
            let value = if value > low { value.min(high) } else { low };
            output[group * plane + 4 * pixel + i] = round(value) as i32 as u8;
        }
    });
}
