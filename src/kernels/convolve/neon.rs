//! ARMv8.0: `smull` and `smlal` multiply s8 by s8 to i16, `sadalp` adds two of those to i32. Activations are shifted.
//!
//! Four steps (or two, where four could overflow, see [`chains`](super::chains)) are added up in 16 bits before `sadalp`. A vector
//! is a step of 4 pixels, of which an instruction takes 2. A tile keeps accumulators for 4 output channels of 8 pixels, two i32
//! for each pixel.
//!
//! The loops are written in assembly: they need every register there is, and `ld4r` wants neighbours.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon_store::store;
use super::{Block, Job, Output};

/// Accumulators of 4 output channels, of 4 times 2 pixels each: of each pixel that over channels 0 and 1 of the steps, and that
/// over 2 and 3.
type Sums = [[int32x4_t; 4]; 4];

/// Convolves.
///
/// # Safety
/// What the fields of `job` and `output` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn convolve(job: &Job, output: &Output) {
    // Two tiles for each look at a block.
    for pixels in (0..job.pixels).step_by(16) {
        for Block { first, fours, offsets, weights, .. } in job.packed.blocks() {
            let init = &job.packed.init()[first..first + 4];
            // One of the two sums of each pixel starts from it.
            let start = [0, 1, 2, 3].map(|o| vzip1q_s32(vdupq_n_s32(init[o]), vdupq_n_s32(0)));
            let (in_fours, in_twos) = offsets.split_at(fours);
            let (fours, twos) = (in_fours.as_chunks::<4>().0, in_twos.as_chunks::<2>().0);
            for pixel in (pixels..job.pixels.min(pixels + 16)).step_by(8) {
                let mut sums = start.map(|start| [start; 4]);
                // SAFETY: the caller's promise; the pixels are inside the range and the planes.
                unsafe {
                    let input = job.input.add(4 * pixel);
                    add_fours(&mut sums, input, fours, weights);
                    add_twos(&mut sums, input, twos, &weights[64 * fours.len()..]);
                    let acc = sums.map(|[a, b, c, d]| [vpaddq_s32(a, b), vpaddq_s32(c, d)]);
                    store(&acc, output, first, pixel);
                }
            }
        }
    }
}

/// Multiplies the codes of a step in two vectors with a channel's weights: `$mul` begins the products, or adds to them.
macro_rules! multiply {
    ($mul:literal, $x:literal, $y:literal, $w:literal) => {
        concat!(
            $mul,
            " v4.8h, v",
            $x,
            ".8b, v",
            $w,
            ".8b\n",
            $mul,
            "2 v5.8h, v",
            $x,
            ".16b, v",
            $w,
            ".16b\n",
            $mul,
            " v6.8h, v",
            $y,
            ".8b, v",
            $w,
            ".8b\n",
            $mul,
            "2 v7.8h, v",
            $y,
            ".16b, v",
            $w,
            ".16b\n",
        )
    };
}

/// Adds the products to the four accumulators of a channel.
macro_rules! accumulate {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "sadalp v",
            $a,
            ".4s, v4.8h\n",
            "sadalp v",
            $b,
            ".4s, v5.8h\n",
            "sadalp v",
            $c,
            ".4s, v6.8h\n",
            "sadalp v",
            $d,
            ".4s, v7.8h\n",
        )
    };
}

/// A channel's products of four steps.
macro_rules! four {
    ($($acc:literal),*) => {
        concat!(
            "ld4r {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{weights}], #16\n",
            multiply!("smull", "8", "9", "0"),
            multiply!("smlal", "10", "11", "1"),
            multiply!("smlal", "12", "13", "2"),
            multiply!("smlal", "14", "15", "3"),
            accumulate!($($acc),*),
        )
    };
}

/// A channel's products of two steps.
macro_rules! two {
    ($($acc:literal),*) => {
        concat!(
            "ld2r {{v0.4s, v1.4s}}, [{weights}], #8\n",
            multiply!("smull", "8", "9", "0"),
            multiply!("smlal", "10", "11", "1"),
            accumulate!($($acc),*),
        )
    };
}

/// The loop over steps that come some at a time, of which `$products` adds the products.
macro_rules! add {
    ($sums:ident, $input:ident, $offsets:ident, $weights:ident, $products:expr) => {{
        let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = &mut *$sums;
        asm!(
            "2:",
            $products,
            "subs {count}, {count}, #1",
            "b.ne 2b",
            input = in(reg) $input,
            offsets = inout(reg) $offsets.as_ptr() => _,
            weights = inout(reg) $weights.as_ptr() => _,
            count = inout(reg) $offsets.len() => _,
            i = out(reg) _,
            j = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            inout("v16") *a0, inout("v17") *a1, inout("v18") *a2, inout("v19") *a3,
            inout("v20") *b0, inout("v21") *b1, inout("v22") *b2, inout("v23") *b3,
            inout("v24") *c0, inout("v25") *c1, inout("v26") *c2, inout("v27") *c3,
            inout("v28") *d0, inout("v29") *d1, inout("v30") *d2, inout("v31") *d3,
            options(readonly, nostack),
        )
    }};
}

/// Four channels' products of four steps.
macro_rules! fours {
    () => {
        concat!(
            "ldp {i:w}, {j:w}, [{offsets}], #8\n",
            "add {i}, {input}, {i:w}, uxtw\n",
            "add {j}, {input}, {j:w}, uxtw\n",
            "ldp q8, q9, [{i}]\n",
            "ldp q10, q11, [{j}]\n",
            "ldp {i:w}, {j:w}, [{offsets}], #8\n",
            "add {i}, {input}, {i:w}, uxtw\n",
            "add {j}, {input}, {j:w}, uxtw\n",
            "ldp q12, q13, [{i}]\n",
            "ldp q14, q15, [{j}]\n",
            four!("16", "17", "18", "19"),
            four!("20", "21", "22", "23"),
            four!("24", "25", "26", "27"),
            four!("28", "29", "30", "31"),
        )
    };
}

/// Adds steps that come in fours.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on, and 64 weights for each four of them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_fours(sums: &mut Sums, input: *const u8, offsets: &[[u32; 4]], weights: &[i8]) {
    let (pairs, rest) = offsets.as_chunks::<2>();
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        if !pairs.is_empty() {
            add!(sums, input, pairs, weights, concat!(fours!(), fours!()));
        }
        let weights = &weights[128 * pairs.len()..];
        if !rest.is_empty() {
            add!(sums, input, rest, weights, fours!());
        }
    }
}

/// Adds steps that come in twos.
///
/// # Safety
/// 32 bytes must be readable from `input` plus each offset on, and 32 weights for each two of them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_twos(sums: &mut Sums, input: *const u8, offsets: &[[u32; 2]], weights: &[i8]) {
    if offsets.is_empty() {
        return;
    }
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        add!(
            sums,
            input,
            offsets,
            weights,
            concat!(
                "ldp {i:w}, {j:w}, [{offsets}], #8\n",
                "add {i}, {input}, {i:w}, uxtw\n",
                "add {j}, {input}, {j:w}, uxtw\n",
                "ldp q8, q9, [{i}]\n",
                "ldp q10, q11, [{j}]\n",
                two!("16", "17", "18", "19"),
                two!("20", "21", "22", "23"),
                two!("24", "25", "26", "27"),
                two!("28", "29", "30", "31"),
            )
        );
    }
}
