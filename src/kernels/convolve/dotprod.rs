//! ARMv8.2 dot products: `sdot` multiplies s8 by s8 and adds four products to i32, exactly. Activations are shifted.
//!
//! A vector is a k-step of 4 pixels; the weights of a k-step for 4 output channels are one vector with an element of four
//! weights for each channel. A tile keeps accumulators for 12 output channels of 2 vectors, which leaves just enough registers
//! for the loads of two k-steps; the last channels come in blocks of eight or four.
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
        for block in args.blocks() {
            // SAFETY: `args` and `destination` were checked, the half of a block is inside the range of pixels and the planes, and `add` is for
            // the width of the block.
            unsafe {
                match block.width {
                    12 => tile(args, destination, half, &block, add_twelve),
                    8 => tile(args, destination, half, &block, add_eight),
                    _ => tile(args, destination, half, &block, add_four),
                }
            }
        }
    }
}

/// Adds pairs of k-steps, with input at these offsets and consecutive weights, to `N` times 4 channels.
type Add<const N: usize> = unsafe fn(&mut [VectorSums; N], *const u8, &[[u32; 2]], &[i8]);

/// Computes a block of `N` times 4 output channels for 8 pixels.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, the pixels must be among theirs, the block must have as many channels, and the
/// processor must have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const N: usize>(
    args: &ConvolveArgs,
    destination: &Destination,
    half: usize,
    &Block { first, width, offsets, weights, .. }: &Block<'_>,
    add: Add<N>,
) {
    let init = args.packed.init()[first..first + width].as_chunks::<4>().0;
    // Loops: closures that the library calls are not inlined into it.
    let mut sums: [VectorSums; N] = [[[vdupq_n_s32(0); 4]; 2]; N];
    for (sums, init) in sums.iter_mut().zip(init) {
        for (channel, &init) in init.iter().enumerate() {
            sums[0][channel] = vdupq_n_s32(init);
            sums[1][channel] = sums[0][channel];
        }
    }
    // SAFETY: the half of a block can be read at each offset, there are weights for each of those, and it is inside the planes.
    unsafe {
        add(&mut sums, args.input.add(32 * half), offsets.as_chunks().0, weights);
        for (four, sums) in sums.iter().enumerate() {
            store(sums, destination, first + 4 * four, 8 * half);
        }
    }
}

/// Four channels' products of a k-step: `$w` is the register of their weights, `$x` and `$y` hold the quantized values.
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

/// Declares a function that adds pairs of k-steps to `$n` times 4 channels: `$line`s load weights and multiply, `$operand`s are
/// the accumulators' registers.
macro_rules! add {
    ($name:ident($sums:ident: $n:literal), [$($line:expr),+ $(,)?], {$($operand:tt)*}) => {
        /// # Safety
        /// 32 bytes must be readable from `input` plus each offset on, and there must be `32 * $n` weights for each pair of them. The
        /// processor must have dot products.
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name($sums: &mut [VectorSums; $n], input: *const u8, offsets: &[[u32; 2]], weights: &[i8]) {
            if offsets.is_empty() {
                return;
            }
            // SAFETY: it reads what the caller promises and writes registers only.
            unsafe {
                asm!(
                    "2:",
                    "ldp {i:w}, {j:w}, [{offsets}], #8",
                    concat!("ldp q4, q5, [{weights}], #32*", $n),
                    "add {i}, {input}, {i:w}, uxtw",
                    "add {j}, {input}, {j:w}, uxtw",
                    "ldp q0, q1, [{i}]",
                    "ldp q2, q3, [{j}]",
                    "subs {count}, {count}, #1",
                    $($line,)+
                    "b.ne 2b",
                    input = in(reg) input,
                    offsets = inout(reg) offsets.as_ptr() => _,
                    weights = inout(reg) weights.as_ptr() => _,
                    count = inout(reg) offsets.len() => _,
                    i = out(reg) _,
                    j = out(reg) _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    $($operand)*
                    options(readonly, nostack),
                );
            }
        }
    };
}

add!(
    add_twelve(sums: 3),
    [
        "ldp q6, q7, [{weights}, #-64]",
        first!("4", "0", "1"),
        second!("5", "0", "1"),
        third!("6", "0", "1"),
        "ldp q4, q5, [{weights}, #-32]",
        first!("7", "2", "3"),
        second!("4", "2", "3"),
        third!("5", "2", "3"),
    ],
    {
        inout("v8") sums[0][0][0], inout("v9") sums[0][1][0], inout("v10") sums[0][0][1], inout("v11") sums[0][1][1],
        inout("v12") sums[0][0][2], inout("v13") sums[0][1][2], inout("v14") sums[0][0][3], inout("v15") sums[0][1][3],
        inout("v16") sums[1][0][0], inout("v17") sums[1][1][0], inout("v18") sums[1][0][1], inout("v19") sums[1][1][1],
        inout("v20") sums[1][0][2], inout("v21") sums[1][1][2], inout("v22") sums[1][0][3], inout("v23") sums[1][1][3],
        inout("v24") sums[2][0][0], inout("v25") sums[2][1][0], inout("v26") sums[2][0][1], inout("v27") sums[2][1][1],
        inout("v28") sums[2][0][2], inout("v29") sums[2][1][2], inout("v30") sums[2][0][3], inout("v31") sums[2][1][3],
    }
);

add!(
    add_eight(sums: 2),
    [
        "ldp q6, q7, [{weights}, #-32]",
        first!("4", "0", "1"),
        second!("5", "0", "1"),
        first!("6", "2", "3"),
        second!("7", "2", "3"),
    ],
    {
        inout("v8") sums[0][0][0], inout("v9") sums[0][1][0], inout("v10") sums[0][0][1], inout("v11") sums[0][1][1],
        inout("v12") sums[0][0][2], inout("v13") sums[0][1][2], inout("v14") sums[0][0][3], inout("v15") sums[0][1][3],
        inout("v16") sums[1][0][0], inout("v17") sums[1][1][0], inout("v18") sums[1][0][1], inout("v19") sums[1][1][1],
        inout("v20") sums[1][0][2], inout("v21") sums[1][1][2], inout("v22") sums[1][0][3], inout("v23") sums[1][1][3],
    }
);

add!(
    add_four(sums: 1),
    [first!("4", "0", "1"), first!("5", "2", "3")],
    {
        inout("v8") sums[0][0][0], inout("v9") sums[0][1][0], inout("v10") sums[0][0][1], inout("v11") sums[0][1][1],
        inout("v12") sums[0][0][2], inout("v13") sums[0][1][2], inout("v14") sums[0][0][3], inout("v15") sums[0][1][3],
    }
);
