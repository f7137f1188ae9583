//! The loop for cores that execute in order: what a step needs is read while the step before multiplies.
//!
//! Four registers hold the vectors of three: the last products of a step leave those free into which the next one's vectors are read, and
//! loads that are waited for stand where a load delays the multiplications anyway. Addresses are computed by instructions of their own: the core
//! models have an address that a load advances ready before the products in flight, and wait for these. A tile of two vectors has room for two
//! steps.
//!
//! Between two pairs of steps registers always hold the same: the vectors of the next pair's first step and its weights, `{second}` the place of its
//! second step, `{x}` that of the pair behind it, `{i}` and `{j}` the distances from there on.

use core::arch::asm;
use core::mem::MaybeUninit;

use super::{Cursor, Tile};

/// The second multiplication of the pair's first step's last vector, behind the load of the second step's weights, and those with `v5`.
macro_rules! behind_weights {
    ($mul:literal) => {
        concat!(
            $mul,
            " v20.8h, v0.8b, v4.8b\n",
            "ld2r {{v6.4s, v7.4s}}, [{late}]\n",
            $mul,
            "2 v21.8h, v0.16b, v4.16b\n",
            products!($mul, "v26", "v27", "v0", "v5"),
        )
    };
}

/// Reads the next pair's first weights, and advances; then come the lines for the first pair of a chain only.
macro_rules! advance {
    ($($line:literal),*) => {
        concat!(
            "ld2r {{v4.4s, v5.4s}}, [{weights}]\n",
            "add {second}, {x}, {i}\n",
            "add {late}, {late}, #16\n",
            "add {weights}, {weights}, #16\n",
            "add {x}, {second}, {j}\n",
            "ldpsw {i}, {j}, [{deltas}]\n",
            "add {deltas}, {deltas}, #8\n",
            $($line, "\n",)*
        )
    };
}

/// Two steps; `$first` is the first one's multiply instruction.
macro_rules! ahead {
    (3, $first:literal, $($line:literal),*) => {
        concat!(
            vector!(1, $first, "v1", "v4", "v5"),
            vector!(2, $first, "v2", "v4", "v5"),
            "ld1 {{v1.16b, v2.16b, v3.16b}}, [{second}]\n",
            behind_weights!($first),
            vector!(1, "smlal", "v2", "v6", "v7"),
            vector!(0, "smlal", "v1", "v6", "v7"),
            "ld1 {{v0.16b, v1.16b, v2.16b}}, [{x}]\n",
            "smlal v24.8h, v3.8b, v6.8b\n",
            advance!($($line),*),
            "smlal2 v25.8h, v3.16b, v6.16b\n",
            products!("smlal", "v30", "v31", "v3", "v7"),
        )
    };
    (2, $first:literal, $($line:literal),*) => {
        concat!(
            "ld1 {{v2.16b, v3.16b}}, [{second}]\n",
            behind_weights!($first),
            vector!(1, $first, "v1", "v4", "v5"),
            "ld1 {{v0.16b, v1.16b}}, [{x}]\n",
            "smlal v20.8h, v2.8b, v6.8b\n",
            advance!($($line),*),
            "smlal2 v21.8h, v2.16b, v6.16b\n",
            products!("smlal", "v26", "v27", "v2", "v7"),
            vector!(1, "smlal", "v3", "v6", "v7"),
        )
    };
}

/// Declares a function that does what [`super::sum12`] and [`super::sum8`] do. `$pair` is the number of instructions of a pair of steps, `$back`
/// that of bytes from behind two channels' results to where the next two begin.
macro_rules! sum_in_order {
    ($name:ident, $vectors:tt, $first:literal, $pair:literal, $back:literal) => {
        /// # Safety
        /// `cursor` must be at blocks of four channels, of one step at least; at each of their steps' places and at the next one's all bytes of the
        /// vectors must be readable. Distances of five more steps must be, and weights of one.
        #[target_feature(enable = "neon")]
        pub(super) unsafe fn $name(acc: &mut MaybeUninit<Tile<$vectors>>, init: &[u64; 4], cursor: &mut Cursor) {
            // SAFETY: it reads what the caller promises and writes registers, `acc` and `cursor` only.
            unsafe {
                asm!(
                    "adr {flush}, 3f",
                    "add {flush}, {flush}, {size}",
                    "ldpsw {i}, {j}, [{deltas}]",
                    concat!("ld1 {{", $first, "}}, [{x}]"),
                    "add {second}, {x}, {i}",
                    "add {x}, {second}, {j}",
                    "ldpsw {i}, {j}, [{deltas}, #8]",
                    "add {deltas}, {deltas}, #16",
                    "ld2r {{v4.4s, v5.4s}}, [{weights}]",
                    "add {late}, {weights}, #8",
                    "add {weights}, {weights}, #16",
                    "5:",
                    start!($vectors),
                    "ldrb {n:w}, [{chains}], #1",
                    "cbz {n:w}, 4f",
                    "2:",
                    ahead!($vectors, "smull",
                        "msub {e}, {n}, {size}, {flush}",
                        "ldrb {n:w}, [{chains}]",
                        "add {chains}, {chains}, #1"),
                    "br {e}",
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    ahead!($vectors, "smlal",),
                    "3:",
                    flush!($vectors),
                    "cbnz {n:w}, 2b",
                    "4:",
                    finish!($vectors, $back),
                    // Back to the step whose vectors were read last.
                    "sub {deltas}, {deltas}, #16",
                    "ldrsw {i}, [{deltas}]",
                    "sub {x}, {second}, {i}",
                    "sub {weights}, {weights}, #16",
                    acc = inout(reg) acc.as_mut_ptr() => _,
                    init = inout(reg) init.as_ptr() => _,
                    halves = inout(reg) 2usize => _,
                    x = inout(reg) cursor.x,
                    chains = inout(reg) cursor.chains,
                    deltas = inout(reg) cursor.deltas,
                    weights = inout(reg) cursor.weights,
                    late = out(reg) _,
                    second = out(reg) _,
                    n = out(reg) _,
                    e = out(reg) _,
                    i = out(reg) _,
                    j = out(reg) _,
                    flush = out(reg) _,
                    size = in(reg) 4 * $pair as usize,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
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

sum_in_order!(sum12, 3, "v0.16b, v1.16b, v2.16b", 34, 160);
sum_in_order!(sum8, 2, "v0.16b, v1.16b", 26, 96);
