//! The definition.

use super::{Bounds, Job};
use crate::quant::round;

/// Reads.
///
/// # Safety
/// What the fields of `job` promise must hold.
pub(super) unsafe fn read(job: &Job) {
    for (plane, factors) in job.factors.chunks_exact(job.bounds.len()).enumerate() {
        for i in 0..4 * job.pixels {
            // SAFETY: all pixels of all planes can be read.
            let byte = unsafe { *job.input.add(plane * job.pitch + i) } ^ job.flip_in;
            let mut value = if job.signed { f32::from(byte as i8) } else { f32::from(byte) };
            for ([mul, add], Bounds { low, high, round: rounds }) in factors.iter().zip(job.bounds) {
                value = value.mul_add(mul[i % 4], add[i % 4]);
                value = if value > *low { value.min(*high) } else { *low };
                value = if *rounds { round(value) } else { value };
            }
            // SAFETY: all pixels of all planes can be written.
            unsafe { *job.out.add(plane * job.out_pitch + i) = value as i32 as u8 ^ job.flip_out };
        }
    }
}
