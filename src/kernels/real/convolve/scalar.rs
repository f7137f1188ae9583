//! The definition.

use super::Job;

/// Convolves.
///
/// # Safety
/// What the fields of `job` promise must hold.
pub(super) unsafe fn convolve(job: &Job) {
    for (first, weights) in job.packed.blocks() {
        for pixel in 0..job.pixels {
            for lane in 0..4 {
                let mut chain = [0.0f32; 4];
                for (&offset, weights) in job.packed.offsets().iter().zip(weights.chunks_exact(16)) {
                    for i in 0..4 {
                        // SAFETY: 4 * pixels values can be read from each offset on.
                        let x = unsafe { *job.input.add(offset as usize + 4 * pixel + i) };
                        chain[i] = x.mul_add(weights[4 * lane + i], chain[i]);
                    }
                }
                let acc = (chain[0] + chain[1]) + (chain[2] + chain[3]);
                let value = job.finish.apply(first + lane, acc);
                // SAFETY: all pixels of all planes can be written.
                unsafe { *job.out.add(first / 4 * job.pitch + 4 * pixel + lane) = value };
            }
        }
    }
}
