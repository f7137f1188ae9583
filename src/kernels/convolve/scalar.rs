//! The definition.

use super::{Job, Output};

/// Pixels that share the look at weights.
const PART: usize = 8;

/// Convolves. Weights may be packed for any instruction set.
///
/// # Safety
/// What the fields of `job` and `output` promise must hold.
pub(super) unsafe fn convolve(job: &Job, output: &Output) {
    let zero = if job.packed.isa().shifted() { 0x80 } else { 0 };
    for block in job.packed.blocks() {
        for o in 0..block.width {
            let (channel, start) = (block.first + o, job.packed.start(block, o));
            for first in (0..job.pixels).step_by(PART) {
                let mut acc = [start; PART];
                for (offset, weights) in job.packed.products(block, o) {
                    // SAFETY: 4 * pixels bytes can be read from each offset on.
                    let x = unsafe { *job.input.add(offset as usize + 4 * first).cast::<[[u8; 4]; PART]>() };
                    for (acc, x) in acc.iter_mut().zip(x) {
                        let product = |i: usize| i32::from(x[i] ^ zero) * i32::from(weights[i]);
                        *acc = acc.wrapping_add(product(0) + product(1) + product(2) + product(3));
                    }
                }
                for (pixel, acc) in (first..).zip(acc) {
                    // SAFETY: all pixels of all planes can be written.
                    unsafe {
                        match *output {
                            Output::Codes { requantize, flip, start, pitch } => {
                                let code = requantize.apply(channel, acc) as u8;
                                *start.add(channel / 4 * pitch + 4 * pixel + channel % 4) = code ^ flip;
                            }
                            Output::Raw { start, pitch } => *start.add(channel * pitch + pixel) = acc,
                        }
                    }
                }
            }
        }
    }
}
