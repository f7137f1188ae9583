//! ARMv8.6: `usmmla` multiplies 2x8 of u8 by 8x2 of s8 and adds to i32, exactly.
//!
//! Its rows are two pixels' quantized values of two k-steps: the vectors of two k-steps, 4 pixels each, are interleaved. Its
//! columns are two output channels' weights of two k-steps. A tile keeps accumulators for 4 output channels of 4 vectors.
//!
//! The loop is written in assembly: the instruction has no stable intrinsic, and no accumulator may leave its register.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::store;
use super::{Block, ConvolveArgs, Destination};

/// Accumulators: for output channels 0 and 1, and for 2 and 3, those of pixels 0 and 1, 2 and 3, …, 14 and 15.
type PairSums = [[int32x4_t; 8]; 2];

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have i8mm.
#[target_feature(enable = "neon,i8mm")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    for block in 0..args.pixels / 16 {
        // SAFETY: the block is inside the range of pixels.
        let input = unsafe { args.input.add(64 * block) };
        for Block { first, offsets, weights, .. } in args.blocks() {
            let twos = offsets.as_chunks::<2>().0;
            let init = &args.packed.init()[first..first + 4];
            let mut sums = [[vdupq_n_s32(0); 8]; 2];
            for half in 0..2 {
                sums[half] = [vzip1q_s32(vdupq_n_s32(init[2 * half]), vdupq_n_s32(init[2 * half + 1])); 8];
            }
            // SAFETY: 64 bytes can be read at each offset, as `args` was checked, and a block has 32 weights for each pair of steps.
            unsafe { pairs(&mut sums, input, twos, weights.as_ptr()) };
            for half in 0..2 {
                let mut acc = [[vdupq_n_s32(0); 4]; 2];
                for (o, v) in [0, 1, 2, 3].into_iter().flat_map(|o| [(o, 0), (o, 1)]) {
                    let at = 2 * (2 * half + v);
                    let (left, right) = (sums[o / 2][at], sums[o / 2][at + 1]);
                    acc[v][o] = if o % 2 == 0 { vuzp1q_s32(left, right) } else { vuzp2q_s32(left, right) };
                }
                // SAFETY: the block is inside the planes.
                unsafe { store(&acc, destination, first, 16 * block + 8 * half) };
            }
        }
    }
}

/// Adds pairs of k-steps to the accumulators of 16 pixels.
///
/// # Safety
/// 64 bytes must be readable from `input` plus each offset on, and 32 weights for each pair of them. The processor must have
/// i8mm.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn pairs(sums: &mut PairSums, input: *const u8, offsets: &[[u32; 2]], weights: *const i8) {
    if offsets.is_empty() {
        return;
    }
    let [[a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]] = sums;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldp {i:w}, {j:w}, [{offsets}], #8",
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "add {i}, {input}, {i:w}, uxtw",
            "add {j}, {input}, {j:w}, uxtw",
            "ldp {x0:q}, {x1:q}, [{i}]",
            "ldp {y0:q}, {y1:q}, [{j}]",
            "ldp {x2:q}, {x3:q}, [{i}, #32]",
            "ldp {y2:q}, {y3:q}, [{j}, #32]",
            "subs {count}, {count}, #1",
            "zip1 {t:v}.4s, {x0:v}.4s, {y0:v}.4s",
            "zip2 {x0:v}.4s, {x0:v}.4s, {y0:v}.4s",
            "usmmla {a0:v}.4s, {t:v}.16b, {w0:v}.16b",
            "usmmla {b0:v}.4s, {t:v}.16b, {w1:v}.16b",
            "usmmla {a1:v}.4s, {x0:v}.16b, {w0:v}.16b",
            "usmmla {b1:v}.4s, {x0:v}.16b, {w1:v}.16b",
            "zip1 {t:v}.4s, {x1:v}.4s, {y1:v}.4s",
            "zip2 {x1:v}.4s, {x1:v}.4s, {y1:v}.4s",
            "usmmla {a2:v}.4s, {t:v}.16b, {w0:v}.16b",
            "usmmla {b2:v}.4s, {t:v}.16b, {w1:v}.16b",
            "usmmla {a3:v}.4s, {x1:v}.16b, {w0:v}.16b",
            "usmmla {b3:v}.4s, {x1:v}.16b, {w1:v}.16b",
            "zip1 {t:v}.4s, {x2:v}.4s, {y2:v}.4s",
            "zip2 {x2:v}.4s, {x2:v}.4s, {y2:v}.4s",
            "usmmla {a4:v}.4s, {t:v}.16b, {w0:v}.16b",
            "usmmla {b4:v}.4s, {t:v}.16b, {w1:v}.16b",
            "usmmla {a5:v}.4s, {x2:v}.16b, {w0:v}.16b",
            "usmmla {b5:v}.4s, {x2:v}.16b, {w1:v}.16b",
            "zip1 {t:v}.4s, {x3:v}.4s, {y3:v}.4s",
            "zip2 {x3:v}.4s, {x3:v}.4s, {y3:v}.4s",
            "usmmla {a6:v}.4s, {t:v}.16b, {w0:v}.16b",
            "usmmla {b6:v}.4s, {t:v}.16b, {w1:v}.16b",
            "usmmla {a7:v}.4s, {x3:v}.16b, {w0:v}.16b",
            "usmmla {b7:v}.4s, {x3:v}.16b, {w1:v}.16b",
            "b.ne 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights => _,
            count = inout(reg) offsets.len() => _,
            i = out(reg) _,
            j = out(reg) _,
            t = out(vreg) _,
            w0 = out(vreg) _,
            w1 = out(vreg) _,
            x0 = out(vreg) _,
            x1 = out(vreg) _,
            x2 = out(vreg) _,
            x3 = out(vreg) _,
            y0 = out(vreg) _,
            y1 = out(vreg) _,
            y2 = out(vreg) _,
            y3 = out(vreg) _,
            a0 = inout(vreg) *a0,
            a1 = inout(vreg) *a1,
            a2 = inout(vreg) *a2,
            a3 = inout(vreg) *a3,
            a4 = inout(vreg) *a4,
            a5 = inout(vreg) *a5,
            a6 = inout(vreg) *a6,
            a7 = inout(vreg) *a7,
            b0 = inout(vreg) *b0,
            b1 = inout(vreg) *b1,
            b2 = inout(vreg) *b2,
            b3 = inout(vreg) *b3,
            b4 = inout(vreg) *b4,
            b5 = inout(vreg) *b5,
            b6 = inout(vreg) *b6,
            b7 = inout(vreg) *b7,
            options(readonly, nostack),
        );
    }
}
