//! AVX2's widest tile, of 3 vectors, in assembly: accumulators, vectors and weights take all 16 registers, and the compiler would spill
//! some of them in the innermost loop. With 2 vectors a k-step's weights are read half as often again.

use core::arch::asm;
use core::arch::x86_64::{__m256, _mm256_setzero_ps};

use super::packed::STEP;

/// The chains of 4 output channels of 3 vectors: for each k-step the vectors at `input` plus its offset, times the step's weights.
///
/// # Safety
/// 24 values can be read at each offset from `input` on; there are 16 weights for each offset; the processor has AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn chains(input: *const f32, offsets: &[u32], weights: &[f32]) -> [[__m256; 3]; 4] {
    debug_assert_eq!(weights.len(), STEP * offsets.len(), "weights of each k-step");
    let zero = _mm256_setzero_ps();
    let [[mut a0, mut a1, mut a2], [mut b0, mut b1, mut b2], [mut c0, mut c1, mut c2], [mut d0, mut d1, mut d2]] =
        [[zero; 3]; 4];
    if offsets.is_empty() {
        return [[zero; 3]; 4];
    }
    let offsets = offsets.as_ptr_range();
    // SAFETY: the loop runs once for each offset, of which there is one at least; it reads the offset, 24 values from there on, and
    // the step's 16 weights, and writes nothing but the registers named here.
    unsafe {
        asm!(
            "2:",
            "mov {offset:e}, dword ptr [{offsets}]",
            "vmovups {x0}, ymmword ptr [{input} + 4 * {offset}]",
            "vmovups {x1}, ymmword ptr [{input} + 4 * {offset} + 32]",
            "vmovups {x2}, ymmword ptr [{input} + 4 * {offset} + 64]",
            "vbroadcastf128 {w}, xmmword ptr [{weights}]",
            "vfmadd231ps {a0}, {x0}, {w}",
            "vfmadd231ps {a1}, {x1}, {w}",
            "vfmadd231ps {a2}, {x2}, {w}",
            "vbroadcastf128 {w}, xmmword ptr [{weights} + 16]",
            "vfmadd231ps {b0}, {x0}, {w}",
            "vfmadd231ps {b1}, {x1}, {w}",
            "vfmadd231ps {b2}, {x2}, {w}",
            "vbroadcastf128 {w}, xmmword ptr [{weights} + 32]",
            "vfmadd231ps {c0}, {x0}, {w}",
            "vfmadd231ps {c1}, {x1}, {w}",
            "vfmadd231ps {c2}, {x2}, {w}",
            "vbroadcastf128 {w}, xmmword ptr [{weights} + 48]",
            "vfmadd231ps {d0}, {x0}, {w}",
            "vfmadd231ps {d1}, {x1}, {w}",
            "vfmadd231ps {d2}, {x2}, {w}",
            "add {weights}, 64",
            "add {offsets}, 4",
            "cmp {offsets}, {end}",
            "jne 2b",
            input = in(reg) input,
            offset = out(reg) _,
            offsets = inout(reg) offsets.start => _,
            end = in(reg) offsets.end,
            weights = inout(reg) weights.as_ptr() => _,
            x0 = out(ymm_reg) _,
            x1 = out(ymm_reg) _,
            x2 = out(ymm_reg) _,
            w = out(ymm_reg) _,
            a0 = inout(ymm_reg) a0,
            a1 = inout(ymm_reg) a1,
            a2 = inout(ymm_reg) a2,
            b0 = inout(ymm_reg) b0,
            b1 = inout(ymm_reg) b1,
            b2 = inout(ymm_reg) b2,
            c0 = inout(ymm_reg) c0,
            c1 = inout(ymm_reg) c1,
            c2 = inout(ymm_reg) c2,
            d0 = inout(ymm_reg) d0,
            d1 = inout(ymm_reg) d1,
            d2 = inout(ymm_reg) d2,
            options(nostack, readonly),
        );
    }
    [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2], [d0, d1, d2]]
}
