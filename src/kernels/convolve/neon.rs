//! ARMv8.0: `smull` and `smlal` multiply s8 by s8 to i16, `sadalp` adds two of those to i32. Activations are shifted.
//!
//! Products are added in 16 bits over a chain of steps: with |x| <= 128 they fit if the magnitudes of a lane's weights add up
//! to at most 255, which packing ensures, see [`chains`](super::chains). A vector is a step of 4 pixels. For 2 output channels
//! of 3 vectors (2 at the end of a range) a tile keeps the chain's sums, and accumulators of two i32 for each pixel.
//!
//! The loops are written in assembly: they need every register. They are unrolled for the longest chain; a shorter one jumps over
//! the beginning. There are two: with few instructions for cores that look for work ahead by themselves, and [`in_order`].

use core::arch::aarch64::int32x4_t;
use core::arch::asm;
use core::mem::MaybeUninit;

use super::neon_store::store;
use super::{ConvolveArgs, Destination, Pipeline};

/// Number of tiles that use the same weights while these are in the cache.
const TILES: usize = 2;

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination, pipeline: Pipeline) {
    // Tiles of 12 pixels leave 0, 8 or 4; with 4 left, the last 16 are two tiles of 8.
    let eights = [0, 2, 1][args.pixels % 12 / 4];
    let twelves = (args.pixels - 8 * eights) / 12;
    // Without a step there is nothing that could be read ahead.
    let in_order = pipeline == Pipeline::InOrder && args.packed.furthest().is_some();
    let (twelve, eight): (Sum<3>, Sum<2>) = if in_order { (in_order::sum12, in_order::sum8) } else { (sum12, sum8) };
    // SAFETY: `args` and `destination` were checked, and tiles are inside the range of pixels, of which there are none or 8 and more.
    unsafe {
        tiles::<3>(args, destination, 0, twelves, twelve);
        tiles::<2>(args, destination, 12 * twelves, eights, eight);
    }
}

/// Writes the accumulators of 4 output channels and `V` times 4 pixels, and advances to the next block.
type Sum<const V: usize> = unsafe fn(&mut MaybeUninit<Tile<V>>, &[u64; 4], &mut Cursor);

/// Accumulators of 4 output channels, of `V` vectors of 4 pixels.
type Tile<const V: usize> = [[int32x4_t; 4]; V];

/// A kernel's read pointers, which advance to the next block.
#[derive(Clone, Copy)]
struct Cursor {
    /// Quantized values.
    x: *const u8,
    deltas: *const u32,
    weights: *const i8,
    chains: *const u8,
}

/// Computes `count` tiles of `V` vectors, from `pixel` on.
///
/// # Safety
/// As [`convolve`]; tiles must be inside the range of pixels, and `sum` must compute as many vectors.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tiles<const V: usize>(
    args: &ConvolveArgs,
    destination: &Destination,
    pixel: usize,
    count: usize,
    sum: Sum<V>,
) {
    let planes = args.outputs.start / 4..args.outputs.end / 4;
    let (offset, deltas, weights, chains) = args.packed.stream(planes.start);
    let inits = &args.packed.init().as_chunks::<4>().0[planes.clone()];
    let (deltas, weights, chains) = (deltas.as_ptr(), weights.as_ptr(), chains.as_ptr());
    for near in (0..count).step_by(TILES) {
        let pixels = pixel + 4 * V * near..pixel + 4 * V * count.min(near + TILES);
        // The first tile's; the others' are their pixels' distance apart.
        let x = args.input.wrapping_add(4 * pixels.start + offset as usize);
        let mut cursor = Cursor { x, deltas, weights, chains };
        for (plane, init) in planes.clone().zip(inits) {
            let init = init.map(|init| u64::from(init as u32));
            let mut next = cursor;
            for pixel in pixels.clone().step_by(4 * V) {
                let ahead = 4 * (pixel - pixels.start);
                next = Cursor { x: cursor.x.wrapping_add(ahead), ..cursor };
                let mut acc = MaybeUninit::uninit();
                // SAFETY: the cursor is at this block's steps, and the tile is inside the planes.
                unsafe {
                    sum(&mut acc, &init, &mut next);
                    store(acc.assume_init_ref(), destination, 4 * plane, pixel);
                }
                next.x = next.x.wrapping_sub(ahead);
            }
            cursor = next;
        }
    }
}

/// A vector's products with the weights of an output channel.
macro_rules! products {
    ($mul:literal, $low:literal, $high:literal, $x:literal, $w:literal) => {
        concat!(
            $mul, " ", $low, ".8h, ", $x, ".8b, ", $w, ".8b\n", $mul, "2 ", $high, ".8h, ", $x, ".16b, ", $w, ".16b\n",
        )
    };
}

/// Instructions for tiles of 3 vectors only.
macro_rules! third {
    (2, $($line:expr),+) => { "" };
    (3, $($line:expr),+) => { concat!($($line, "\n"),+) };
}

/// Reads the vectors of a step, and advances by `$delta`.
macro_rules! read {
    (2, $delta:literal) => {
        concat!("ld1 {{v0.16b, v1.16b}}, [{x}], ", $delta, "\n")
    };
    (3, $delta:literal) => {
        concat!("ld1 {{v0.16b, v1.16b, v2.16b}}, [{x}], ", $delta, "\n")
    };
}

/// The products of a vector of the tile, which is in register `$x`, with the weights of two output channels.
macro_rules! vector {
    (0, $mul:literal, $x:literal, $a:literal, $b:literal) => {
        concat!(products!($mul, "v20", "v21", $x, $a), products!($mul, "v26", "v27", $x, $b))
    };
    (1, $mul:literal, $x:literal, $a:literal, $b:literal) => {
        concat!(products!($mul, "v22", "v23", $x, $a), products!($mul, "v28", "v29", $x, $b))
    };
    (2, $mul:literal, $x:literal, $a:literal, $b:literal) => {
        concat!(products!($mul, "v24", "v25", $x, $a), products!($mul, "v30", "v31", $x, $b))
    };
}

/// The products of a step with the weights of two output channels.
macro_rules! step {
    ($vectors:tt, $mul:literal, $a:literal, $b:literal) => {
        concat!(
            vector!(0, $mul, "v0", $a, $b),
            vector!(1, $mul, "v1", $a, $b),
            third!($vectors, vector!(2, $mul, "v2", $a, $b)),
        )
    };
}

/// Sets the accumulators of the next two channels to their initial values.
macro_rules! start {
    ($vectors:tt) => {
        concat!(
            "ld2r {{v8.2d, v9.2d}}, [{init}]\n",
            "ld2r {{v10.2d, v11.2d}}, [{init}]\n",
            "ld2r {{v12.2d, v13.2d}}, [{init}]\n",
            "ld2r {{v14.2d, v15.2d}}, [{init}]\n",
            third!($vectors, "ld2r {{v16.2d, v17.2d}}, [{init}]", "ld2r {{v18.2d, v19.2d}}, [{init}]"),
        )
    };
}

/// Adds a chain's sums to the accumulators.
macro_rules! flush {
    ($vectors:tt) => {
        concat!(
            "sadalp v8.4s, v20.8h\n",
            "sadalp v10.4s, v21.8h\n",
            "sadalp v12.4s, v22.8h\n",
            "sadalp v14.4s, v23.8h\n",
            third!($vectors, "sadalp v16.4s, v24.8h", "sadalp v18.4s, v25.8h"),
            "sadalp v9.4s, v26.8h\n",
            "sadalp v11.4s, v27.8h\n",
            "sadalp v13.4s, v28.8h\n",
            "sadalp v15.4s, v29.8h\n",
            third!($vectors, "sadalp v17.4s, v30.8h", "sadalp v19.4s, v31.8h"),
        )
    };
}

/// Writes the accumulators of two channels to `acc`, and goes on with the next two if there are any; `{e}` is free.
macro_rules! finish {
    ($vectors:tt, $back:literal) => {
        concat!(
            "mov {e}, #64\n",
            "addp v8.4s, v8.4s, v10.4s\n",
            "addp v9.4s, v9.4s, v11.4s\n",
            "addp v12.4s, v12.4s, v14.4s\n",
            "addp v13.4s, v13.4s, v15.4s\n",
            third!($vectors, "addp v16.4s, v16.4s, v18.4s", "addp v17.4s, v17.4s, v19.4s"),
            "st1 {{v8.4s, v9.4s}}, [{acc}], {e}\n",
            "st1 {{v12.4s, v13.4s}}, [{acc}], {e}\n",
            third!($vectors, "st1 {{v16.4s, v17.4s}}, [{acc}], {e}"),
            "add {init}, {init}, #16\n",
            "sub {acc}, {acc}, #",
            $back,
            "\nsubs {halves}, {halves}, #1\n",
            "b.ne 5b\n",
        )
    };
}

/// Two steps; `$first` is the first one's multiply instruction.
macro_rules! pair {
    ($vectors:tt, $first:literal) => {
        concat!(
            "ldpsw {i}, {j}, [{deltas}], #8\n",
            "ld4r {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{weights}], #16\n",
            read!($vectors, "{i}"),
            step!($vectors, $first, "v4", "v5"),
            read!($vectors, "{j}"),
            step!($vectors, "smlal", "v6", "v7"),
        )
    };
}

/// Declares a function that writes the accumulators of 4 output channels and `$vectors` times 4 pixels to `acc`, two channels
/// at a time. `$pair` is the number of instructions of a pair of steps, `$back` that of bytes from behind two channels' results
/// to where the next two begin.
macro_rules! sum {
    ($name:ident, $vectors:tt, $pair:literal, $back:literal) => {
        /// # Safety
        /// `cursor` must be at blocks of four channels; at each of their steps' places all bytes of the vectors must be readable.
        #[target_feature(enable = "neon")]
        unsafe fn $name(acc: &mut MaybeUninit<Tile<$vectors>>, init: &[u64; 4], cursor: &mut Cursor) {
            // SAFETY: it reads what the caller promises and writes registers, `acc` and `cursor` only.
            unsafe {
                asm!(
                    "adr {flush}, 3f",
                    "add {flush}, {flush}, {size}",
                    "5:",
                    start!($vectors),
                    "ldrb {e:w}, [{chains}], #1",
                    "cbz {e:w}, 4f",
                    "2:",
                    pair!($vectors, "smull"),
                    "msub {e}, {e}, {size}, {flush}",
                    "br {e}",
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    pair!($vectors, "smlal"),
                    "3:",
                    "ldrb {e:w}, [{chains}], #1",
                    flush!($vectors),
                    "cbnz {e:w}, 2b",
                    "4:",
                    finish!($vectors, $back),
                    acc = inout(reg) acc.as_mut_ptr() => _,
                    init = inout(reg) init.as_ptr() => _,
                    halves = inout(reg) 2usize => _,
                    x = inout(reg) cursor.x,
                    chains = inout(reg) cursor.chains,
                    deltas = inout(reg) cursor.deltas,
                    weights = inout(reg) cursor.weights,
                    e = out(reg) _,
                    i = out(reg) _,
                    j = out(reg) _,
                    flush = out(reg) _,
                    size = in(reg) 4 * $pair as usize,
                    out("v0") _, out("v1") _, out("v2") _, out("v4") _, out("v5") _,
                    out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _,
                    out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                    out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _,
                    out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                    out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

sum!(sum12, 3, 28, 160);
sum!(sum8, 2, 20, 96);

mod in_order;
