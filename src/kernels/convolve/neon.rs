//! ARMv8.0: `smull` and `smlal` multiply s8 by s8 to i16, `sadalp` adds two of those to i32. Activations are shifted.
//!
//! Of two steps, the products of the same channel are added in 16 bits: with |x| <= 128 and |w| <= 127, 2 * 128 * 127 = 32512
//! fits. A vector is a step of 2 pixels; weights are packed twice beside each other to match. A tile keeps accumulators for
//! 4 output channels of 4 vectors, two i32 for each pixel.
//!
//! The loop over pairs of steps is written in assembly: it needs every register there is, and on cores that execute in order
//! what is loaded must be loaded long before it is used, beside an instruction that multiplies.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::store;
use super::{Block, Job, Output};

/// Convolves.
///
/// # Safety
/// What the fields of `job` and `output` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn convolve(job: &Job, output: &Output) {
    for block in 0..job.pixels / 16 {
        for Block { first, offsets, weights, .. } in job.packed.blocks() {
            let init = &job.packed.init()[first..first + 4];
            let mut acc = [[vdupq_n_s32(0); 4]; 4];
            for half in 0..2 {
                // SAFETY: the caller's promise; the block is inside the range of pixels.
                let sums = unsafe { sums(job.input.add(64 * block + 32 * half), offsets, weights.as_ptr()) };
                for o in 0..4 {
                    for v in 0..2 {
                        let sum = vpaddq_s32(sums[o][2 * v], sums[o][2 * v + 1]);
                        acc[o][2 * half + v] = vaddq_s32(sum, vdupq_n_s32(init[o]));
                    }
                }
            }
            // SAFETY: the block is inside the planes.
            unsafe { store(&acc, output, first, 16 * block) };
        }
    }
}

/// The sums over all steps of 8 pixels, `[channels][vectors]`: of each pixel that over channels 0 and 1 of the steps, and
/// that over 2 and 3.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on, and 32 weights for each offset.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums(input: *const u8, offsets: &[u32], mut weights: *const i8) -> [[int32x4_t; 4]; 4] {
    let mut acc = [[vdupq_n_s32(0); 4]; 4];
    let (twos, rest) = offsets.as_chunks::<2>();
    if !twos.is_empty() {
        // SAFETY: the caller's promise, for two steps each.
        unsafe { pairs(&mut acc, input, twos, weights) };
        weights = weights.wrapping_add(64 * twos.len());
    }
    for &last in rest {
        // SAFETY: the caller's promise.
        let x = unsafe { step(input, last) };
        for o in 0..4 {
            // SAFETY: the caller's promise.
            let w = unsafe { vld1_s8(weights.add(8 * o)) };
            for v in 0..4 {
                acc[o][v] = vpadalq_s16(acc[o][v], vmull_s8(x[v], w));
            }
        }
    }
    acc
}

/// Adds pairs of steps, of which there must be one.
///
/// While one pair is added the next is loaded; beside the last, that one again.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on, and 64 weights for each pair of them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pairs(acc: &mut [[int32x4_t; 4]; 4], input: *const u8, offsets: &[[u32; 2]], weights: *const i8) {
    let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = acc;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "ldp {i:w}, {j:w}, [{offsets}]",
            "ldp {w0:d}, {w1:d}, [{weights}]",
            "ldp {u0:d}, {u1:d}, [{weights}, #32]",
            "add {i}, {input}, {i:w}, uxtw",
            "add {j}, {input}, {j:w}, uxtw",
            "ldp {x0:d}, {x1:d}, [{i}]",
            "ldp {x2:d}, {x3:d}, [{i}, #16]",
            "ldp {y0:d}, {y1:d}, [{j}]",
            "ldp {y2:d}, {y3:d}, [{j}, #16]",
            "2:",
            "smull {t0:v}.8h, {x0:v}.8b, {w0:v}.8b",
            "smull {t1:v}.8h, {x1:v}.8b, {w0:v}.8b",
            "smull {t2:v}.8h, {x2:v}.8b, {w0:v}.8b",
            "smull {t3:v}.8h, {x3:v}.8b, {w0:v}.8b",
            "smlal {t0:v}.8h, {y0:v}.8b, {u0:v}.8b",
            "ldr {w0:d}, [{weights}, #16]",
            "smlal {t1:v}.8h, {y1:v}.8b, {u0:v}.8b",
            "subs {count}, {count}, #1",
            "smlal {t2:v}.8h, {y2:v}.8b, {u0:v}.8b",
            "csel {ahead}, {ahead}, xzr, ne",
            "smlal {t3:v}.8h, {y3:v}.8b, {u0:v}.8b",
            "add {offsets}, {offsets}, {ahead}",
            "sadalp {a0:v}.4s, {t0:v}.8h",
            "ldr {u0:d}, [{weights}, #48]",
            "sadalp {a1:v}.4s, {t1:v}.8h",
            "ldp {i:w}, {j:w}, [{offsets}]",
            "sadalp {a2:v}.4s, {t2:v}.8h",
            "sadalp {a3:v}.4s, {t3:v}.8h",
            "smull {t0:v}.8h, {x0:v}.8b, {w1:v}.8b",
            "smull {t1:v}.8h, {x1:v}.8b, {w1:v}.8b",
            "smull {t2:v}.8h, {x2:v}.8b, {w1:v}.8b",
            "smull {t3:v}.8h, {x3:v}.8b, {w1:v}.8b",
            "smlal {t0:v}.8h, {y0:v}.8b, {u1:v}.8b",
            "ldr {w1:d}, [{weights}, #24]",
            "smlal {t1:v}.8h, {y1:v}.8b, {u1:v}.8b",
            "add {i}, {input}, {i:w}, uxtw",
            "smlal {t2:v}.8h, {y2:v}.8b, {u1:v}.8b",
            "add {j}, {input}, {j:w}, uxtw",
            "smlal {t3:v}.8h, {y3:v}.8b, {u1:v}.8b",
            "sadalp {b0:v}.4s, {t0:v}.8h",
            "ldr {u1:d}, [{weights}, #56]",
            "sadalp {b1:v}.4s, {t1:v}.8h",
            "add {weights}, {weights}, {ahead}, lsl #3",
            "sadalp {b2:v}.4s, {t2:v}.8h",
            "sadalp {b3:v}.4s, {t3:v}.8h",
            "smull {t0:v}.8h, {x0:v}.8b, {w0:v}.8b",
            "smull {t1:v}.8h, {x1:v}.8b, {w0:v}.8b",
            "smull {t2:v}.8h, {x2:v}.8b, {w0:v}.8b",
            "smull {t3:v}.8h, {x3:v}.8b, {w0:v}.8b",
            "smlal {t0:v}.8h, {y0:v}.8b, {u0:v}.8b",
            "ldr {w0:d}, [{weights}]",
            "smlal {t1:v}.8h, {y1:v}.8b, {u0:v}.8b",
            "smlal {t2:v}.8h, {y2:v}.8b, {u0:v}.8b",
            "smlal {t3:v}.8h, {y3:v}.8b, {u0:v}.8b",
            "sadalp {c0:v}.4s, {t0:v}.8h",
            "ldr {u0:d}, [{weights}, #32]",
            "sadalp {c1:v}.4s, {t1:v}.8h",
            "sadalp {c2:v}.4s, {t2:v}.8h",
            "sadalp {c3:v}.4s, {t3:v}.8h",
            "smull {t0:v}.8h, {x0:v}.8b, {w1:v}.8b",
            "smull {t1:v}.8h, {x1:v}.8b, {w1:v}.8b",
            "smull {t2:v}.8h, {x2:v}.8b, {w1:v}.8b",
            "smull {t3:v}.8h, {x3:v}.8b, {w1:v}.8b",
            "smlal {t0:v}.8h, {y0:v}.8b, {u1:v}.8b",
            "ldr {w1:d}, [{weights}, #8]",
            "smlal {t1:v}.8h, {y1:v}.8b, {u1:v}.8b",
            "ldp {x0:d}, {x1:d}, [{i}]",
            "smlal {t2:v}.8h, {y2:v}.8b, {u1:v}.8b",
            "ldp {x2:d}, {x3:d}, [{i}, #16]",
            "smlal {t3:v}.8h, {y3:v}.8b, {u1:v}.8b",
            "sadalp {d0:v}.4s, {t0:v}.8h",
            "ldr {u1:d}, [{weights}, #40]",
            "sadalp {d1:v}.4s, {t1:v}.8h",
            "ldp {y0:d}, {y1:d}, [{j}]",
            "sadalp {d2:v}.4s, {t2:v}.8h",
            "ldp {y2:d}, {y3:d}, [{j}, #16]",
            "sadalp {d3:v}.4s, {t3:v}.8h",
            "cbnz {count}, 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights => _,
            count = inout(reg) offsets.len() => _,
            // Bytes from one pair of offsets to the next; an eighth of those from one pair's weights to the next.
            ahead = inout(reg) 8usize => _,
            i = out(reg) _,
            j = out(reg) _,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            x2 = out(vreg) _,
            x3 = out(vreg) _,
            y0 = out(vreg) _,
            y1 = out(vreg) _,
            y2 = out(vreg) _,
            y3 = out(vreg) _,
            w0 = out(vreg) _,
            w1 = out(vreg) _,
            u0 = out(vreg) _,
            u1 = out(vreg) _,
            t0 = out(vreg) _,
            t1 = out(vreg) _,
            t2 = out(vreg) _,
            t3 = out(vreg) _,
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

/// A step of 8 pixels.
///
/// # Safety
/// 32 bytes must be readable from `input` plus `offset` on.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn step(input: *const u8, offset: u32) -> [int8x8_t; 4] {
    let mut x = [vdup_n_s8(0); 4];
    for (v, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *x = unsafe { vld1_s8(input.add(offset as usize + 8 * v).cast()) };
    }
    x
}
