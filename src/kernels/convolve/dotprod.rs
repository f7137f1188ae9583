//! ARMv8.2 dot products: `sdot` multiplies s8 by s8 and adds four products to i32, exactly. Activations are shifted.
//!
//! A vector is a step of 4 pixels. A tile keeps accumulators for 4 output channels of 4 vectors; the weights of a step for
//! these channels are one vector, of which each channel's four are an element.
//!
//! The loop is written in assembly: the instruction has no stable intrinsic, and no accumulator may leave its register.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::{Tile, store};
use super::{Block, Job, Output};

/// Convolves.
///
/// # Safety
/// What the fields of `job` and `output` promise must hold, and the processor must have dot products.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn convolve(job: &Job, output: &Output) {
    for block in 0..job.pixels / 16 {
        for Block { first, offsets, weights, .. } in job.packed.blocks() {
            let init = &job.packed.init()[first..first + 4];
            let mut acc = [[vdupq_n_s32(0); 4]; 4];
            for o in 0..4 {
                acc[o] = [vdupq_n_s32(init[o]); 4];
            }
            // SAFETY: the caller's promise; the block is inside the range of pixels and the planes.
            unsafe {
                sum(&mut acc, job.input.add(64 * block), offsets, weights);
                store(&acc, output, first, 16 * block);
            }
        }
    }
}

/// Adds all steps to the accumulators of 16 pixels.
///
/// # Safety
/// 64 bytes must be readable from `input` plus each offset on; there must be 16 weights for each offset. The processor must
/// have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sum(acc: &mut Tile, input: *const u8, offsets: &[u32], weights: &[i8]) {
    if offsets.is_empty() {
        return;
    }
    let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = acc;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldr {offset:w}, [{offsets}], #4",
            "ldr {w:q}, [{weights}], #16",
            "add {x}, {input}, {offset:w}, uxtw",
            "ldp {x0:q}, {x1:q}, [{x}]",
            "ldp {x2:q}, {x3:q}, [{x}, #32]",
            "subs {count}, {count}, #1",
            "sdot {a0:v}.4s, {x0:v}.16b, {w:v}.4b[0]",
            "sdot {b0:v}.4s, {x0:v}.16b, {w:v}.4b[1]",
            "sdot {c0:v}.4s, {x0:v}.16b, {w:v}.4b[2]",
            "sdot {d0:v}.4s, {x0:v}.16b, {w:v}.4b[3]",
            "sdot {a1:v}.4s, {x1:v}.16b, {w:v}.4b[0]",
            "sdot {b1:v}.4s, {x1:v}.16b, {w:v}.4b[1]",
            "sdot {c1:v}.4s, {x1:v}.16b, {w:v}.4b[2]",
            "sdot {d1:v}.4s, {x1:v}.16b, {w:v}.4b[3]",
            "sdot {a2:v}.4s, {x2:v}.16b, {w:v}.4b[0]",
            "sdot {b2:v}.4s, {x2:v}.16b, {w:v}.4b[1]",
            "sdot {c2:v}.4s, {x2:v}.16b, {w:v}.4b[2]",
            "sdot {d2:v}.4s, {x2:v}.16b, {w:v}.4b[3]",
            "sdot {a3:v}.4s, {x3:v}.16b, {w:v}.4b[0]",
            "sdot {b3:v}.4s, {x3:v}.16b, {w:v}.4b[1]",
            "sdot {c3:v}.4s, {x3:v}.16b, {w:v}.4b[2]",
            "sdot {d3:v}.4s, {x3:v}.16b, {w:v}.4b[3]",
            "b.ne 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            count = inout(reg) offsets.len() => _,
            offset = out(reg) _,
            x = out(reg) _,
            w = out(vreg) _,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            x2 = out(vreg) _,
            x3 = out(vreg) _,
            a0 = inout(vreg) *a0,
            a1 = inout(vreg) *a1,
            a2 = inout(vreg) *a2,
            a3 = inout(vreg) *a3,
            b0 = inout(vreg) *b0,
            b1 = inout(vreg) *b1,
            b2 = inout(vreg) *b2,
            b3 = inout(vreg) *b3,
            c0 = inout(vreg) *c0,
            c1 = inout(vreg) *c1,
            c2 = inout(vreg) *c2,
            c3 = inout(vreg) *c3,
            d0 = inout(vreg) *d0,
            d1 = inout(vreg) *d1,
            d2 = inout(vreg) *d2,
            d3 = inout(vreg) *d3,
            options(readonly, nostack),
        );
    }
}
