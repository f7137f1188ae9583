//! ARMv8.2 dot products: `sdot` multiplies s8 by s8 and adds four products to i32, exactly. Activations are shifted.
//!
//! A vector is a k-step of 4 pixels; the weights of a k-step for 4 output channels are one vector with an element of four
//! weights for each channel. A tile keeps accumulators for 8 output channels of 3 vectors (2 at the end of a range), which leaves just enough
//! registers for the loads of a k-step; the last four channels come in a block of their own.
//!
//! The loops are written in assembly: the instruction has no stable intrinsic, and no accumulator may leave its register. A pointer walks from
//! one k-step's input to the next: by distances that are read, or, for planes that are the same distance apart, by that.

use core::arch::aarch64::*;
use core::arch::asm;
use std::ops::Range;

use super::dot_store::store;
use super::packed::Steps;
use super::{ConvolveArgs, Destination};

/// Accumulators of `N` times 4 output channels and `V` vectors of 4 pixels.
type Sums<const N: usize, const V: usize> = [[[int32x4_t; 4]; V]; N];

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have dot products.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    let steps = args.packed.steps();
    // Tiles of 12 pixels leave 0, 8 or 4; with 4 left, the last 16 are two tiles of 8.
    let eights = [0, 2, 1][args.pixels % 12 / 4];
    let twelves = (args.pixels - 8 * eights) / 12;
    // SAFETY: `args` and `destination` were checked, and tiles are inside the range of pixels, of which there are none or 8 and more.
    unsafe {
        if steps.stride.is_some() {
            tiles::<Strided, 3>(args, steps, destination, 0, twelves);
            tiles::<Strided, 2>(args, steps, destination, 12 * twelves, eights);
        } else {
            tiles::<Scattered, 3>(args, steps, destination, 0, twelves);
            tiles::<Scattered, 2>(args, steps, destination, 12 * twelves, eights);
        }
    }
}

/// K-steps whose input begins at the same distance from one another.
struct Strided;

/// K-steps whose input begins anywhere.
struct Scattered;

/// What a kernel reads from one block of output channels to the next.
struct Cursor {
    init: *const i32,
    weights: *const i8,
}

/// Sums of tiles of `V` vectors.
trait Sum<const V: usize> {
    /// The sums of 8 output channels; the cursor advances to the next ones.
    ///
    /// # Safety
    /// Bytes of all vectors must be readable at each step's offset from `input`, which is the first step's own place, and there must be initial
    /// values and weights of these channels at the cursor. The processor must have dot products.
    unsafe fn eight(input: *const u8, steps: Steps<'_>, cursor: &mut Cursor) -> Sums<2, V>;

    /// The sums of 4 output channels.
    ///
    /// # Safety
    /// As [`Sum::eight`].
    unsafe fn four(input: *const u8, steps: Steps<'_>, cursor: &mut Cursor) -> Sums<1, V>;
}

/// Computes `count` tiles of `V` vectors, from `pixel` on.
///
/// # Safety
/// As [`convolve`]; tiles must be inside the range of pixels, and the steps must be those of `args`, strided if `S` is.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tiles<S: Sum<V>, const V: usize>(
    args: &ConvolveArgs,
    steps: Steps<'_>,
    destination: &Destination,
    pixel: usize,
    count: usize,
) {
    let Range { start, end } = args.outputs;
    // A range of output channels begins with a block of 8, if it is not empty.
    let (eights, init) = (end - end % 8, &args.packed.init()[start..end]);
    for pixel in (pixel..).step_by(4 * V).take(count) {
        // Where there is no step, nothing is read.
        let input = args.input.wrapping_add(4 * pixel + steps.first);
        let mut cursor = Cursor { init: init.as_ptr(), weights: steps.of(start).as_ptr() };
        // SAFETY: the tile can be read at each offset, and is inside the planes; the cursor is at each block in turn.
        unsafe {
            for first in (start..eights).step_by(8) {
                store(&S::eight(input, steps, &mut cursor), destination, first, pixel);
            }
            if eights < end {
                store(&S::four(input, steps, &mut cursor), destination, eights, pixel);
            }
        }
    }
}

/// Four channels' products of a k-step for 4 pixels: `$x` is the register of the quantized values, `$w` that of the weights.
macro_rules! products {
    ($x:literal, $w:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            products!(@$a, $x, $w, "0"),
            products!(@$b, $x, $w, "1"),
            products!(@$c, $x, $w, "2"),
            products!(@$d, $x, $w, "3"),
        )
    };
    (@$a:literal, $x:literal, $w:literal, $lane:literal) => {
        concat!("sdot v", $a, ".4s, v", $x, ".16b, v", $w, ".4b[", $lane, "]\n")
    };
}

/// Instructions for tiles of 3 vectors, or blocks of 8 channels, only.
macro_rules! only {
    (3 of 3, $($line:expr),+) => { concat!($($line, "\n"),+) };
    (3 of 2, $($line:expr),+) => { "" };
    (8 of 8, $($line:expr),+) => { concat!($($line, "\n"),+) };
    (8 of 4, $($line:expr),+) => { "" };
}

/// Reads the vectors of a step, and advances by `{$next}`.
macro_rules! read {
    (3, $next:literal) => {
        concat!("ld1 {{v0.16b, v1.16b, v2.16b}}, [{x}], {", $next, "}\n")
    };
    (2, $next:literal) => {
        concat!("ld1 {{v0.16b, v1.16b}}, [{x}], {", $next, "}\n")
    };
}

/// A step: `$w` and `$more` are the registers of its weights for channels 0 to 3 and 4 to 7.
macro_rules! step {
    ($vectors:tt, $channels:tt, $next:literal, $w:literal, $more:literal) => {
        concat!(
            read!($vectors, $next),
            products!("0", $w, "8", "9", "10", "11"),
            only!(8 of $channels, products!("0", $more, "20", "21", "22", "23")),
            products!("1", $w, "12", "13", "14", "15"),
            only!(8 of $channels, products!("1", $more, "24", "25", "26", "27")),
            only!(3 of $vectors, products!("2", $w, "16", "17", "18", "19")),
            only!(3 of $vectors, only!(8 of $channels, products!("2", $more, "28", "29", "30", "31"))),
        )
    };
}

/// Two steps.
macro_rules! pair {
    ($distances:expr, $vectors:tt, 8) => {
        concat!(
            $distances,
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{weights}], #64\n",
            step!($vectors, 8, "i", "4", "5"),
            step!($vectors, 8, "j", "6", "7"),
        )
    };
    ($distances:expr, $vectors:tt, 4) => {
        concat!(
            $distances,
            "ld1 {{v4.16b, v5.16b}}, [{weights}], #32\n",
            step!($vectors, 4, "i", "4", "4"),
            step!($vectors, 4, "j", "5", "5"),
        )
    };
}

/// A step alone.
macro_rules! single {
    ($distance:expr, $vectors:tt, 8) => {
        concat!($distance, "ld1 {{v4.16b, v5.16b}}, [{weights}], #32\n", step!($vectors, 8, "i", "4", "5"))
    };
    ($distance:expr, $vectors:tt, 4) => {
        concat!($distance, "ld1 {{v4.16b}}, [{weights}], #16\n", step!($vectors, 4, "i", "4", "4"))
    };
}

/// Sets the accumulators of four channels, which are in these registers, to their initial values.
macro_rules! start {
    ($vectors:tt, [$($a:literal),+], [$($b:literal),+], [$($c:literal),+]) => {
        concat!(
            only!(3 of $vectors, concat!("ld4r {{", start!($($c),+), "}}, [{init}]")),
            "ld4r {{", start!($($b),+), "}}, [{init}]\n",
            "ld4r {{", start!($($a),+), "}}, [{init}], #16\n",
        )
    };
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!("v", $a, ".4s, v", $b, ".4s, v", $c, ".4s, v", $d, ".4s")
    };
}

/// Declares the function `$name` of [`Sum`]: its accumulators are in `$registers`. `$one` and `$two` read the distance to the next step, or to the
/// next two, from operands `$operands`.
macro_rules! sum {
    (
        $name:ident($vectors:tt, $channels:tt, $steps:ident), [$one:expr, $two:expr], {$($operands:tt)*},
        $sums:ident = {$($registers:tt)*}
    ) => {
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name(input: *const u8, $steps: Steps<'_>, cursor: &mut Cursor) -> Sums<{ $channels / 4 }, $vectors> {
            let mut $sums = [[[vdupq_n_s32(0); 4]; $vectors]; $channels / 4];
            // SAFETY: it reads what the caller promises and writes registers only.
            unsafe {
                asm!(
                    start!($vectors, ["8", "9", "10", "11"], ["12", "13", "14", "15"], ["16", "17", "18", "19"]),
                    only!(8 of $channels, start!(
                        $vectors, ["20", "21", "22", "23"], ["24", "25", "26", "27"], ["28", "29", "30", "31"]
                    )),
                    "cbz {count}, 4f",
                    "tbz {count}, #0, 5f",
                    single!($one, $vectors, $channels),
                    "subs {count}, {count}, #1",
                    "b.eq 4f",
                    // Eight steps at a time, at first those that are left over.
                    "5:",
                    "tbnz {count}, #1, 6f",
                    "tbnz {count}, #2, 8f",
                    "2:",
                    pair!($two, $vectors, $channels),
                    "7:",
                    pair!($two, $vectors, $channels),
                    "8:",
                    pair!($two, $vectors, $channels),
                    "3:",
                    pair!($two, $vectors, $channels),
                    "subs {count}, {count}, #8",
                    "b.gt 2b",
                    "b 4f",
                    "6:",
                    "tbnz {count}, #2, 7b",
                    "b 3b",
                    "4:",
                    x = inout(reg) input => _,
                    init = inout(reg) cursor.init,
                    weights = inout(reg) cursor.weights,
                    count = inout(reg) $steps.distances.len() => _,
                    $($operands)*
                    out("v0") _, out("v1") _, out("v2") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    $($registers)*
                    options(readonly, nostack),
                );
            }
            $sums
        }
    };
}

/// [`sum`] for each kind of steps.
macro_rules! sums {
    ($vectors:tt, $sums:ident, $four:tt, $eight:tt) => {
        impl Sum<$vectors> for Strided {
            sums!(@strided eight($vectors, 8), $sums = $eight);
            sums!(@strided four($vectors, 4), $sums = $four);
        }

        impl Sum<$vectors> for Scattered {
            sums!(@scattered eight($vectors, 8), $sums = $eight);
            sums!(@scattered four($vectors, 4), $sums = $four);
        }
    };
    (@strided $name:ident($vectors:tt, $channels:tt), $sums:ident = $registers:tt) => {
        sum!(
            $name($vectors, $channels, steps), ["", ""],
            { i = in(reg) steps.stride.unwrap_or(0), j = in(reg) steps.stride.unwrap_or(0), },
            $sums = $registers
        );
    };
    (@scattered $name:ident($vectors:tt, $channels:tt), $sums:ident = $registers:tt) => {
        sum!(
            $name($vectors, $channels, steps),
            ["ldrsw {i}, [{distances}], #4\n", "ldpsw {i}, {j}, [{distances}], #8\n"],
            { distances = inout(reg) steps.distances.as_ptr() => _, i = out(reg) _, j = out(reg) _, },
            $sums = $registers
        );
    };
}

sums!(
    3,
    sums,
    {
        out("v8") sums[0][0][0], out("v9") sums[0][0][1], out("v10") sums[0][0][2], out("v11") sums[0][0][3],
        out("v12") sums[0][1][0], out("v13") sums[0][1][1], out("v14") sums[0][1][2], out("v15") sums[0][1][3],
        out("v16") sums[0][2][0], out("v17") sums[0][2][1], out("v18") sums[0][2][2], out("v19") sums[0][2][3],
    },
    {
        out("v8") sums[0][0][0], out("v9") sums[0][0][1], out("v10") sums[0][0][2], out("v11") sums[0][0][3],
        out("v12") sums[0][1][0], out("v13") sums[0][1][1], out("v14") sums[0][1][2], out("v15") sums[0][1][3],
        out("v16") sums[0][2][0], out("v17") sums[0][2][1], out("v18") sums[0][2][2], out("v19") sums[0][2][3],
        out("v20") sums[1][0][0], out("v21") sums[1][0][1], out("v22") sums[1][0][2], out("v23") sums[1][0][3],
        out("v24") sums[1][1][0], out("v25") sums[1][1][1], out("v26") sums[1][1][2], out("v27") sums[1][1][3],
        out("v28") sums[1][2][0], out("v29") sums[1][2][1], out("v30") sums[1][2][2], out("v31") sums[1][2][3],
    }
);

sums!(
    2,
    sums,
    {
        out("v8") sums[0][0][0], out("v9") sums[0][0][1], out("v10") sums[0][0][2], out("v11") sums[0][0][3],
        out("v12") sums[0][1][0], out("v13") sums[0][1][1], out("v14") sums[0][1][2], out("v15") sums[0][1][3],
    },
    {
        out("v8") sums[0][0][0], out("v9") sums[0][0][1], out("v10") sums[0][0][2], out("v11") sums[0][0][3],
        out("v12") sums[0][1][0], out("v13") sums[0][1][1], out("v14") sums[0][1][2], out("v15") sums[0][1][3],
        out("v20") sums[1][0][0], out("v21") sums[1][0][1], out("v22") sums[1][0][2], out("v23") sums[1][0][3],
        out("v24") sums[1][1][0], out("v25") sums[1][1][1], out("v26") sums[1][1][2], out("v27") sums[1][1][3],
    }
);
