//! ARMv8.0: `smull` and `smlal` multiply s8 by s8 to i16, `sadalp` adds two of those to i32. Activations are shifted.
//!
//! Products are added in 16 bits over a chain of steps: with |x| <= 128 they fit where a lane's weights sum up to 255 at most,
//! which packing sees to, see [`chains`](super::chains). A vector is a step of 4 pixels. A tile keeps, for 2 output
//! channels of 3 vectors, or 2 at the end of a range, the chain's sums, and accumulators of two i32 for each pixel.
//!
//! The loop is written in assembly: it needs every register there is. Of the code for the longest chain, a shorter one jumps
//! over the beginning.

use core::arch::aarch64::int32x4_t;
use core::arch::asm;
use core::mem::MaybeUninit;

use super::neon_store::store;
use super::{ConvolveArgs, Destination};

/// Tiles that go over the same weights while those are near.
const TILES: usize = 2;

/// Convolves.
///
/// # Safety
/// What the fields of `args` and `destination` promise must hold.
#[target_feature(enable = "neon")]
pub(super) unsafe fn convolve(args: &ConvolveArgs, destination: &Destination) {
    // What is left by tiles of 12 pixels is 0, 8 or 4, which are 8 and 8 instead.
    let eights = [0, 2, 1][args.pixels % 12 / 4];
    let twelves = (args.pixels - 8 * eights) / 12;
    // SAFETY: `args` and `destination` were checked, and tiles are inside the range of pixels, of which there are none or 8 and more.
    unsafe {
        tiles::<3>(args, destination, 0, twelves, sum12);
        tiles::<2>(args, destination, 12 * twelves, eights, sum8);
    }
}

/// Accumulators of 4 output channels, of `V` vectors of 4 pixels.
type Tile<const V: usize> = [[int32x4_t; 4]; V];

/// Where a kernel reads: it goes on to the next block by itself.
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
    sum: unsafe fn(&mut MaybeUninit<Tile<V>>, &[u64; 4], &mut Cursor),
) {
    let (offset, deltas, weights, chains) = args.packed.stream();
    let (deltas, weights, chains) = (deltas.as_ptr(), weights.as_ptr(), chains.as_ptr());
    for near in (0..count).step_by(TILES) {
        let pixels = pixel + 4 * V * near..pixel + 4 * V * count.min(near + TILES);
        // The first tile's; those of the others are as far apart as their pixels.
        let x = args.input.wrapping_add(4 * pixels.start + offset as usize);
        let mut cursor = Cursor { x, deltas, weights, chains };
        for (plane, init) in args.packed.init().as_chunks::<4>().0.iter().enumerate() {
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

/// Two steps of 12 pixels; `$first` is the instruction that multiplies in the first of them.
macro_rules! pair12 {
    ($first:literal) => {
        concat!(
            "ldpsw {i}, {j}, [{deltas}], #8\n",
            "ld4r {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{weights}], #16\n",
            "ld1 {{v0.16b, v1.16b, v2.16b}}, [{x}], {i}\n",
            products!($first, "v20", "v21", "v0", "v4"),
            products!($first, "v26", "v27", "v0", "v5"),
            products!($first, "v22", "v23", "v1", "v4"),
            products!($first, "v28", "v29", "v1", "v5"),
            products!($first, "v24", "v25", "v2", "v4"),
            products!($first, "v30", "v31", "v2", "v5"),
            "ld1 {{v0.16b, v1.16b, v2.16b}}, [{x}], {j}\n",
            products!("smlal", "v20", "v21", "v0", "v6"),
            products!("smlal", "v26", "v27", "v0", "v7"),
            products!("smlal", "v22", "v23", "v1", "v6"),
            products!("smlal", "v28", "v29", "v1", "v7"),
            products!("smlal", "v24", "v25", "v2", "v6"),
            products!("smlal", "v30", "v31", "v2", "v7"),
        )
    };
}

/// Writes the accumulators of 4 output channels and 12 pixels to `acc`.
///
/// # Safety
/// `cursor` must be at blocks of those channels; 48 bytes must be readable at each of their steps' places.
#[target_feature(enable = "neon")]
unsafe fn sum12(acc: &mut MaybeUninit<Tile<3>>, init: &[u64; 4], cursor: &mut Cursor) {
    // SAFETY: it reads what the caller promises and writes registers, `acc` and `cursor` only.
    unsafe {
        asm!(
            "adr {flush}, 3f",
            "add {flush}, {flush}, {size}",
            "5:",
            "ld2r {{v8.2d, v9.2d}}, [{init}]",
            "ld2r {{v10.2d, v11.2d}}, [{init}]",
            "ld2r {{v12.2d, v13.2d}}, [{init}]",
            "ld2r {{v14.2d, v15.2d}}, [{init}]",
            "ld2r {{v16.2d, v17.2d}}, [{init}]",
            "ld2r {{v18.2d, v19.2d}}, [{init}]",
            "ldrb {e:w}, [{chains}], #1",
            "cbz {e:w}, 4f",
            "2:",
            pair12!("smull"),
            "msub {e}, {e}, {size}, {flush}",
            "br {e}",
            pair12!("smlal"),
            pair12!("smlal"),
            pair12!("smlal"),
            pair12!("smlal"),
            pair12!("smlal"),
            pair12!("smlal"),
            pair12!("smlal"),
            "3:",
            "ldrb {e:w}, [{chains}], #1",
            "sadalp v8.4s, v20.8h",
            "sadalp v10.4s, v21.8h",
            "sadalp v12.4s, v22.8h",
            "sadalp v14.4s, v23.8h",
            "sadalp v16.4s, v24.8h",
            "sadalp v18.4s, v25.8h",
            "sadalp v9.4s, v26.8h",
            "sadalp v11.4s, v27.8h",
            "sadalp v13.4s, v28.8h",
            "sadalp v15.4s, v29.8h",
            "sadalp v17.4s, v30.8h",
            "sadalp v19.4s, v31.8h",
            "cbnz {e:w}, 2b",
            "4:",
            "mov {e}, #64",
            "addp v8.4s, v8.4s, v10.4s",
            "addp v9.4s, v9.4s, v11.4s",
            "addp v12.4s, v12.4s, v14.4s",
            "addp v13.4s, v13.4s, v15.4s",
            "addp v16.4s, v16.4s, v18.4s",
            "addp v17.4s, v17.4s, v19.4s",
            "st1 {{v8.4s, v9.4s}}, [{acc}], {e}",
            "st1 {{v12.4s, v13.4s}}, [{acc}], {e}",
            "st1 {{v16.4s, v17.4s}}, [{acc}], {e}",
            "add {init}, {init}, #16",
            "sub {acc}, {acc}, #160",
            "subs {halves}, {halves}, #1",
            "b.ne 5b",
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
            size = in(reg) 4 * 28usize,
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

/// Two steps of 8 pixels; `$first` is the instruction that multiplies in the first of them.
macro_rules! pair8 {
    ($first:literal) => {
        concat!(
            "ldpsw {i}, {j}, [{deltas}], #8\n",
            "ld4r {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{weights}], #16\n",
            "ld1 {{v0.16b, v1.16b}}, [{x}], {i}\n",
            products!($first, "v24", "v25", "v0", "v4"),
            products!($first, "v28", "v29", "v0", "v5"),
            products!($first, "v26", "v27", "v1", "v4"),
            products!($first, "v30", "v31", "v1", "v5"),
            "ld1 {{v0.16b, v1.16b}}, [{x}], {j}\n",
            products!("smlal", "v24", "v25", "v0", "v6"),
            products!("smlal", "v28", "v29", "v0", "v7"),
            products!("smlal", "v26", "v27", "v1", "v6"),
            products!("smlal", "v30", "v31", "v1", "v7"),
        )
    };
}

/// Writes the accumulators of 4 output channels and 8 pixels to `acc`.
///
/// # Safety
/// `cursor` must be at blocks of those channels; 32 bytes must be readable at each of their steps' places.
#[target_feature(enable = "neon")]
unsafe fn sum8(acc: &mut MaybeUninit<Tile<2>>, init: &[u64; 4], cursor: &mut Cursor) {
    // SAFETY: it reads what the caller promises and writes registers, `acc` and `cursor` only.
    unsafe {
        asm!(
            "adr {flush}, 3f",
            "add {flush}, {flush}, {size}",
            "5:",
            "ld2r {{v8.2d, v9.2d}}, [{init}]",
            "ld2r {{v10.2d, v11.2d}}, [{init}]",
            "ld2r {{v12.2d, v13.2d}}, [{init}]",
            "ld2r {{v14.2d, v15.2d}}, [{init}]",
            "ldrb {e:w}, [{chains}], #1",
            "cbz {e:w}, 4f",
            "2:",
            pair8!("smull"),
            "msub {e}, {e}, {size}, {flush}",
            "br {e}",
            pair8!("smlal"),
            pair8!("smlal"),
            pair8!("smlal"),
            pair8!("smlal"),
            pair8!("smlal"),
            pair8!("smlal"),
            pair8!("smlal"),
            "3:",
            "ldrb {e:w}, [{chains}], #1",
            "sadalp v8.4s, v24.8h",
            "sadalp v10.4s, v25.8h",
            "sadalp v12.4s, v26.8h",
            "sadalp v14.4s, v27.8h",
            "sadalp v9.4s, v28.8h",
            "sadalp v11.4s, v29.8h",
            "sadalp v13.4s, v30.8h",
            "sadalp v15.4s, v31.8h",
            "cbnz {e:w}, 2b",
            "4:",
            "mov {e}, #64",
            "addp v8.4s, v8.4s, v10.4s",
            "addp v9.4s, v9.4s, v11.4s",
            "addp v12.4s, v12.4s, v14.4s",
            "addp v13.4s, v13.4s, v15.4s",
            "st1 {{v8.4s, v9.4s}}, [{acc}], {e}",
            "st1 {{v12.4s, v13.4s}}, [{acc}], {e}",
            "add {init}, {init}, #16",
            "sub {acc}, {acc}, #96",
            "subs {halves}, {halves}, #1",
            "b.ne 5b",
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
            size = in(reg) 4 * 20usize,
            out("v0") _, out("v1") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v24") _,
            out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}
