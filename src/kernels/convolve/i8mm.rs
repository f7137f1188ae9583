//! ARMv8.6: `usmmla` multiplies 2x8 of u8 by 8x2 of s8 and adds to i32, exactly.
//!
//! Its rows are two pixels' quantized values of two k-steps: the vectors of two k-steps, 4 pixels each, are interleaved. Its
//! columns are two output channels' weights of two k-steps. A tile keeps accumulators for 4 output channels of 4 vectors.
//!
//! The loop is written in assembly: the instruction has no stable intrinsic, and no accumulator may leave its register.

use core::arch::aarch64::*;
use core::arch::asm;

use super::dot_store::Bounds;
use super::neon_store::raw;
use super::packed::Steps;
use super::{ConvolveArgs, Destination, Requantize};

/// Accumulators: of pixels 0 and 1, 2 and 3, …, 14 and 15, for output channels 0 and 1, and for 2 and 3.
type PairSums = [[int32x4_t; 2]; 8];

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold, and the processor must have i8mm.
#[target_feature(enable = "neon,i8mm")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    let steps = args.packed.steps();
    for pixel in (0..args.pixels).step_by(16) {
        // Where there is no step, nothing is read.
        let input = args.input.wrapping_add(4 * pixel + steps.first);
        let mut weights = steps.of(args.outputs.start).as_ptr();
        let init = args.packed.init()[args.outputs.clone()].as_chunks::<4>().0;
        for (init, first) in init.iter().zip(args.outputs.clone().step_by(4)) {
            // SAFETY: the 64 bytes of 16 pixels can be read at each offset, as `args` was checked, a block has 32 weights for each pair of steps,
            // and the 16 pixels are inside the planes.
            unsafe {
                let sums = match steps.stride {
                    Some(stride) => strided(init, input, (steps, stride), &mut weights),
                    None => scattered(init, input, (steps, 0), &mut weights),
                };
                store(&sums, destination, first, pixel);
            }
        }
    }
}

/// Writes the accumulators of the 4 channels from `first` on and the 16 pixels from `pixel` on.
///
/// # Safety
/// All of them must be inside the planes of `destination`.
#[inline(always)]
unsafe fn store(sums: &PairSums, destination: &Destination, first: usize, pixel: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match *destination {
            Destination::Raw { start, plane_stride } => {
                let mut acc = [[vdupq_n_s32(0); 4]; 4];
                for (acc, [left, right]) in acc.iter_mut().zip(sums.as_chunks::<2>().0) {
                    for half in 0..2 {
                        acc[2 * half] = vuzp1q_s32(left[half], right[half]);
                        acc[2 * half + 1] = vuzp2q_s32(left[half], right[half]);
                    }
                }
                raw(&acc, start, plane_stride, first, pixel);
            }
            Destination::Quantized { requantize, flip, start, plane_stride } => {
                let place = start.wrapping_add(first / 4 * plane_stride + 4 * pixel);
                if Bounds::is_from_zero(requantize) {
                    quantized::<true>(sums, requantize, first, flip, place);
                } else {
                    quantized::<false>(sums, requantize, first, flip, place);
                }
            }
        }
    }
}

/// Requantizes and writes quantized values; see [`Bounds`] for `ZERO`.
///
/// # Safety
/// 64 bytes must be writable at `place`; `requantize` must have the 4 channels from `first` on.
#[inline(always)]
unsafe fn quantized<const ZERO: bool>(
    sums: &PairSums,
    requantize: &Requantize,
    first: usize,
    flip: u8,
    place: *mut u8,
) {
    // Of the low bytes of four vectors those of pixel 0, and so on.
    let order = [0, 4, 16, 20, 8, 12, 24, 28, 32, 36, 48, 52, 40, 44, 56, 60];
    let bounds = Bounds::<ZERO>::new(requantize, flip, order);
    // SAFETY: `requantize` has these channels, and 16 bytes for each vector of pixels can be written.
    unsafe {
        let add = requantize.add.as_ptr().add(first);
        let mul = repeated(requantize.mul.as_ptr().add(first));
        for (v, [left, right]) in sums.as_chunks::<2>().0.iter().enumerate() {
            let scaled = |acc: &[int32x4_t; 2]| {
                let add = repeated(add);
                [vfmaq_f32(add[0], vcvtq_f32_s32(acc[0]), mul[0]), vfmaq_f32(add[1], vcvtq_f32_s32(acc[1]), mul[1])]
            };
            let ([a, b], [c, d]) = (scaled(left), scaled(right));
            vst1q_u8(place.add(16 * v), bounds.bytes([a, b, c, d]));
        }
    }
}

/// Two pairs of values, each twice in a vector. They are loaded again each time, which is one instruction: copies would be two.
///
/// # Safety
/// There must be four values.
#[inline(always)]
unsafe fn repeated(values: *const f32) -> [float32x4_t; 2] {
    // SAFETY: it reads what the caller promises and writes registers only.
    unsafe {
        let mut pairs = [vdupq_n_f32(0.0); 2];
        asm!(
            "ld2r {{v0.2d, v1.2d}}, [{values}]",
            values = in(reg) values,
            out("v0") pairs[0], out("v1") pairs[1],
            options(readonly, nostack, preserves_flags),
        );
        pairs
    }
}

/// Products of a vector of each of two steps, which are in registers `$x` and `$y`: for channels 0 and 1, and 2 and 3, with the weights in `$w` and
/// `$v`, those of the first two pixels are added to `$a` and `$b`, of the others to `$c` and `$d`.
macro_rules! products {
    ($x:literal, $y:literal, $w:literal, $v:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "zip1 v12.4s, v",
            $x,
            ".4s, v",
            $y,
            ".4s\n",
            "zip2 v",
            $x,
            ".4s, v",
            $x,
            ".4s, v",
            $y,
            ".4s\n",
            "usmmla v",
            $a,
            ".4s, v12.16b, v",
            $w,
            ".16b\n",
            "usmmla v",
            $b,
            ".4s, v12.16b, v",
            $v,
            ".16b\n",
            "usmmla v",
            $c,
            ".4s, v",
            $x,
            ".16b, v",
            $w,
            ".16b\n",
            "usmmla v",
            $d,
            ".4s, v",
            $x,
            ".16b, v",
            $v,
            ".16b\n",
        )
    };
}

/// Two steps, whose weights are in these registers; `$distances` reads the distances to the next two.
macro_rules! pair {
    ($distances:expr, $w:literal, $v:literal) => {
        concat!(
            $distances,
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{x}], {i}\n",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{x}], {j}\n",
            products!("0", "4", $w, $v, "16", "17", "18", "19"),
            products!("1", "5", $w, $v, "20", "21", "22", "23"),
            products!("2", "6", $w, $v, "24", "25", "26", "27"),
            products!("3", "7", $w, $v, "28", "29", "30", "31"),
        )
    };
}

/// Four steps.
macro_rules! four {
    ($distances:expr) => {
        concat!(
            "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{weights}], #64\n",
            pair!($distances, "8", "9"),
            pair!($distances, "10", "11"),
        )
    };
}

/// Declares a function that sums up 4 channels of 16 pixels.
macro_rules! sum {
    ($name:ident($steps:ident, $stride:ident), $distances:expr, {$($operands:tt)*}) => {
        /// # Safety
        /// 64 bytes must be readable at each step's offset from `input`, which is the first step's own place, and 32 weights for each pair of
        /// steps. With a stride, steps must be that distance apart. The processor must have i8mm.
        #[inline]
        #[target_feature(enable = "neon,i8mm")]
        unsafe fn $name(
            init: &[i32; 4],
            input: *const u8,
            ($steps, $stride): (Steps<'_>, isize),
            weights: &mut *const i8,
        ) -> PairSums {
            let mut sums = [[vdupq_n_s32(0); 2]; 8];
            // SAFETY: it reads what the caller promises and writes registers only.
            unsafe {
                asm!(
                    "ld2r {{v16.2d, v17.2d}}, [{init}]",
                    "ld2r {{v18.2d, v19.2d}}, [{init}]",
                    "ld2r {{v20.2d, v21.2d}}, [{init}]",
                    "ld2r {{v22.2d, v23.2d}}, [{init}]",
                    "ld2r {{v24.2d, v25.2d}}, [{init}]",
                    "ld2r {{v26.2d, v27.2d}}, [{init}]",
                    "ld2r {{v28.2d, v29.2d}}, [{init}]",
                    "ld2r {{v30.2d, v31.2d}}, [{init}]",
                    "cbz {count}, 4f",
                    "tbz {count}, #1, 5f",
                    "ld1 {{v8.16b, v9.16b}}, [{weights}], #32",
                    pair!($distances, "8", "9"),
                    "subs {count}, {count}, #2",
                    "b.eq 4f",
                    // Eight steps at a time, at first four if these are left over.
                    "5:",
                    "tbnz {count}, #2, 3f",
                    "2:",
                    four!($distances),
                    "3:",
                    four!($distances),
                    "subs {count}, {count}, #8",
                    "b.gt 2b",
                    "4:",
                    init = in(reg) init.as_ptr(),
                    x = inout(reg) input => _,
                    weights = inout(reg) *weights,
                    count = inout(reg) $steps.distances.len() => _,
                    $($operands)*
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _,
                    out("v16") sums[0][0], out("v17") sums[0][1], out("v18") sums[1][0], out("v19") sums[1][1],
                    out("v20") sums[2][0], out("v21") sums[2][1], out("v22") sums[3][0], out("v23") sums[3][1],
                    out("v24") sums[4][0], out("v25") sums[4][1], out("v26") sums[5][0], out("v27") sums[5][1],
                    out("v28") sums[6][0], out("v29") sums[6][1], out("v30") sums[7][0], out("v31") sums[7][1],
                    options(readonly, nostack),
                );
            }
            sums
        }
    };
}

sum!(strided(steps, stride), "", { i = in(reg) stride, j = in(reg) stride, });
sum!(
    scattered(steps, _stride), "ldpsw {i}, {j}, [{distances}], #8\n",
    { distances = inout(reg) steps.distances.as_ptr() => _, i = out(reg) _, j = out(reg) _, }
);
