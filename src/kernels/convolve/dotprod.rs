//! ARMv8.2 dot products: `sdot` multiplies s8 by s8 and adds four products to i32, exactly. Activations are shifted.
//!
//! A vector is a step of 4 pixels; the weights of a step for 4 output channels are one vector, of which each channel's four are
//! an element. A tile keeps accumulators for 12 output channels of 2 vectors, which leaves just the registers for what two steps
//! load; the last channels come in eights or fours.
//!
//! The loops are written in assembly: the instruction has no stable intrinsic, and no accumulator may leave its register.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::store;
use super::{Block, ConvolveArgs, Destination};

/// Accumulators of 2 vectors, of 4 output channels each.
type VectorSums = [[int32x4_t; 4]; 2];

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have dot products.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    for half in 0..args.pixels / 8 {
        for Block { first, width, offsets, weights, .. } in args.packed.blocks() {
            let init = &args.packed.init()[first..first + width];
            let start = |four: usize| [[0, 1, 2, 3].map(|o| vdupq_n_s32(init[4 * four + o])); 2];
            let twos = offsets.as_chunks::<2>().0;
            // SAFETY: `args` and `destination` were checked, and the half of a block is inside the range of pixels and the planes.
            unsafe {
                let input = args.input.add(32 * half);
                match width {
                    12 => {
                        let mut sums = [start(0), start(1), start(2)];
                        add_twelve(&mut sums, input, twos, weights);
                        for (four, sums) in sums.iter().enumerate() {
                            store(sums, destination, first + 4 * four, 8 * half);
                        }
                    }
                    8 => {
                        let mut sums = [start(0), start(1)];
                        add_eight(&mut sums, input, twos, weights);
                        store(&sums[0], destination, first, 8 * half);
                        store(&sums[1], destination, first + 4, 8 * half);
                    }
                    _ => {
                        let mut sums = start(0);
                        add_four(&mut sums, input, twos, weights);
                        store(&sums, destination, first, 8 * half);
                    }
                }
            }
        }
    }
}

/// Four channels' products of a step: `$w` is the register of their weights, `$x` and `$y` hold the quantized values.
macro_rules! four {
    ($w:literal, $x:literal, $y:literal, $($a:literal, $b:literal, $lane:literal),*) => {
        concat!($(
            "sdot v", $a, ".4s, v", $x, ".16b, v", $w, ".4b[", $lane, "]\n",
            "sdot v", $b, ".4s, v", $y, ".16b, v", $w, ".4b[", $lane, "]\n",
        )*)
    };
}

macro_rules! first {
    ($w:literal, $x:literal, $y:literal) => {
        four!($w, $x, $y, "8", "9", "0", "10", "11", "1", "12", "13", "2", "14", "15", "3")
    };
}

macro_rules! second {
    ($w:literal, $x:literal, $y:literal) => {
        four!($w, $x, $y, "16", "17", "0", "18", "19", "1", "20", "21", "2", "22", "23", "3")
    };
}

macro_rules! third {
    ($w:literal, $x:literal, $y:literal) => {
        four!($w, $x, $y, "24", "25", "0", "26", "27", "1", "28", "29", "2", "30", "31", "3")
    };
}

/// Adds pairs of steps to 12 channels.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on; there must be 96 weights for each pair of them. The processor must
/// have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_twelve(sums: &mut [VectorSums; 3], input: *const u8, offsets: &[[u32; 2]], weights: &[i8]) {
    if offsets.is_empty() {
        return;
    }
    let [a, b, c] = sums;
    let [[a0, a2, a4, a6], [a1, a3, a5, a7]] = a;
    let [[b0, b2, b4, b6], [b1, b3, b5, b7]] = b;
    let [[c0, c2, c4, c6], [c1, c3, c5, c7]] = c;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldp {i:w}, {j:w}, [{offsets}], #8",
            "ldp q4, q5, [{weights}], #96",
            "add {i}, {input}, {i:w}, uxtw",
            "add {j}, {input}, {j:w}, uxtw",
            "ldp q0, q1, [{i}]",
            "ldp q6, q7, [{weights}, #-64]",
            "ldp q2, q3, [{j}]",
            "subs {count}, {count}, #1",
            first!("4", "0", "1"),
            second!("5", "0", "1"),
            third!("6", "0", "1"),
            "ldp q4, q5, [{weights}, #-32]",
            first!("7", "2", "3"),
            second!("4", "2", "3"),
            third!("5", "2", "3"),
            "b.ne 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            count = inout(reg) offsets.len() => _,
            i = out(reg) _,
            j = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            inout("v8") *a0, inout("v9") *a1, inout("v10") *a2, inout("v11") *a3,
            inout("v12") *a4, inout("v13") *a5, inout("v14") *a6, inout("v15") *a7,
            inout("v16") *b0, inout("v17") *b1, inout("v18") *b2, inout("v19") *b3,
            inout("v20") *b4, inout("v21") *b5, inout("v22") *b6, inout("v23") *b7,
            inout("v24") *c0, inout("v25") *c1, inout("v26") *c2, inout("v27") *c3,
            inout("v28") *c4, inout("v29") *c5, inout("v30") *c6, inout("v31") *c7,
            options(readonly, nostack),
        );
    }
}

/// Adds pairs of steps to 8 channels.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on; there must be 64 weights for each pair of them. The processor must
/// have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_eight(sums: &mut [VectorSums; 2], input: *const u8, offsets: &[[u32; 2]], weights: &[i8]) {
    if offsets.is_empty() {
        return;
    }
    let [a, b] = sums;
    let [[a0, a2, a4, a6], [a1, a3, a5, a7]] = a;
    let [[b0, b2, b4, b6], [b1, b3, b5, b7]] = b;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldp {i:w}, {j:w}, [{offsets}], #8",
            "ldp q4, q5, [{weights}], #64",
            "add {i}, {input}, {i:w}, uxtw",
            "add {j}, {input}, {j:w}, uxtw",
            "ldp q0, q1, [{i}]",
            "ldp q6, q7, [{weights}, #-32]",
            "ldp q2, q3, [{j}]",
            "subs {count}, {count}, #1",
            first!("4", "0", "1"),
            second!("5", "0", "1"),
            first!("6", "2", "3"),
            second!("7", "2", "3"),
            "b.ne 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            count = inout(reg) offsets.len() => _,
            i = out(reg) _,
            j = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            inout("v8") *a0, inout("v9") *a1, inout("v10") *a2, inout("v11") *a3,
            inout("v12") *a4, inout("v13") *a5, inout("v14") *a6, inout("v15") *a7,
            inout("v16") *b0, inout("v17") *b1, inout("v18") *b2, inout("v19") *b3,
            inout("v20") *b4, inout("v21") *b5, inout("v22") *b6, inout("v23") *b7,
            options(readonly, nostack),
        );
    }
}

/// Adds pairs of steps to 4 channels.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on; there must be 32 weights for each pair of them. The processor must
/// have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_four(sums: &mut VectorSums, input: *const u8, offsets: &[[u32; 2]], weights: &[i8]) {
    if offsets.is_empty() {
        return;
    }
    let [[a0, a2, a4, a6], [a1, a3, a5, a7]] = sums;
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldp {i:w}, {j:w}, [{offsets}], #8",
            "ldp q4, q5, [{weights}], #32",
            "add {i}, {input}, {i:w}, uxtw",
            "add {j}, {input}, {j:w}, uxtw",
            "ldp q0, q1, [{i}]",
            "ldp q2, q3, [{j}]",
            "subs {count}, {count}, #1",
            first!("4", "0", "1"),
            first!("5", "2", "3"),
            "b.ne 2b",
            input = in(reg) input,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            count = inout(reg) offsets.len() => _,
            i = out(reg) _,
            j = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            inout("v8") *a0, inout("v9") *a1, inout("v10") *a2, inout("v11") *a3,
            inout("v12") *a4, inout("v13") *a5, inout("v14") *a6, inout("v15") *a7,
            options(readonly, nostack),
        );
    }
}
