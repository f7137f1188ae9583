//! The transforms of the vector kernels: one body for all instruction sets.
//!
//! A plane's rows are divided into the places of a tile, with their padding: 24 planes that have the pixels of all tiles, row by row of tiles, at
//! one place each. So vectors hold as many tiles as they have lanes, however few there are in a row.

use super::lanes::Lanes;
#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::{CHANNEL_BLOCK, InputArgs, NINTH, OutputArgs, Results, SIDE, SPAN};

/// Declares the two transforms for an instruction set.
macro_rules! transforms {
    ($arch:literal, $features:literal, $lanes:ident, $input:ident, $output:ident) => {
        /// Transforms planes.
        ///
        /// # Safety
        /// What the fields of `args` promise must hold, and the processor must have the instructions.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $input(args: &InputArgs<'_>) {
            // SAFETY: the caller promises it, and this function enables the instructions.
            unsafe { input::<$lanes>(args) }
        }

        /// Transforms sums to results.
        ///
        /// # Safety
        /// What the fields of `args` promise must hold, and the processor must have the instructions.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $output(args: &OutputArgs<'_>) {
            // SAFETY: the caller promises it, and this function enables the instructions.
            unsafe { output::<$lanes>(args) }
        }
    };
}

transforms!("x86_64", "avx2,fma", Avx2, input_avx2, output_avx2);
transforms!("x86_64", "avx512f,avx512bw", Avx512, input_avx512, output_avx512);
transforms!("aarch64", "neon", Neon, input_neon, output_neon);

/// `Bᵀ`, times columns or rows, in s16: no result exceeds it, so that sums on the way may.
///
/// # Safety
/// The function that this is inlined into must enable the instructions of `L`.
#[inline(always)]
unsafe fn transform_input<L: Lanes>([d0, d1, d2, d3, d4, d5]: [L::Words; SPAN]) -> [L::Words; SPAN] {
    // SAFETY: the caller enables the instructions.
    unsafe {
        let (even_far, odd_far) = (L::sub16(d4, L::fourfold16(d2)), L::sub16(d3, L::fourfold16(d1)));
        let (even_near, odd_near) = (L::sub16(d4, d2), L::double16(L::sub16(d3, d1)));
        [
            L::add16(L::fourfold16(L::sub16(d0, d2)), even_near),
            L::add16(even_far, odd_far),
            L::sub16(even_far, odd_far),
            L::add16(even_near, odd_near),
            L::sub16(even_near, odd_near),
            L::sub16(L::sub16(d5, d3), L::double16(odd_near)),
        ]
    }
}

/// `Aᵀ`, times columns or rows, modulo 2^32.
///
/// # Safety
/// As [`transform_input`].
#[inline(always)]
unsafe fn transform_output<L: Lanes>([m0, m1, m2, m3, m4, m5]: [L::Words; SPAN]) -> [L::Words; SIDE] {
    // SAFETY: the caller enables the instructions.
    unsafe {
        let (near_sum, near_difference) = (L::add(m1, m2), L::sub(m1, m2));
        let (far_sum, far_difference) = (L::add(m3, m4), L::double(L::sub(m3, m4)));
        [
            L::add(L::add(m0, near_sum), far_sum),
            L::add(near_difference, far_difference),
            L::add(near_sum, L::fourfold(far_sum)),
            L::add(near_difference, L::fourfold(L::add(far_difference, m5))),
        ]
    }
}

/// Transforms planes.
///
/// # Safety
/// What the fields of `args` promise must hold. The function that this is inlined into must enable the instructions of `L`.
#[inline(always)]
unsafe fn input<L: Lanes>(args: &InputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    let columns = packed.columns();
    // SAFETY: these are parts of the scratch.
    let (inside, places) = unsafe { (args.scratch.add(layout.inside), args.scratch.add(layout.places)) };
    // SAFETY: the scratch has room for it.
    unsafe { write_inside::<L>(args, inside) };
    // SAFETY: the caller enables the instructions. Made once: for each block of tiles, the compiler would fill it with zeros.
    let mut transformed = [[[unsafe { L::splat(0) }; SPAN]; SPAN]; 2];
    for plane in 0..args.padding.len() {
        // SAFETY: the plane exists, and the caller enables the instructions.
        unsafe { divide::<L>(args, plane, inside) };
        for (block, first) in (0..args.rows * columns).step_by(L::LANES).enumerate() {
            for j in 0..SPAN {
                let mut even = [transformed[0][0][0]; SPAN];
                let mut odd = even;
                for k in 0..SPAN {
                    let place = (k % SIDE * SPAN + j) * layout.place + k / SIDE * columns + first;
                    // SAFETY: each place has the pixels of one more row of tiles, and those of a last vector.
                    [even[k], odd[k]] = unsafe { L::pairs(L::load(places.add(place))) };
                }
                // SAFETY: the caller enables the instructions.
                let (even, odd) = unsafe { (transform_input::<L>(even), transform_input::<L>(odd)) };
                for k in 0..SPAN {
                    transformed[0][k][j] = even[k];
                    transformed[1][k][j] = odd[k];
                }
            }
            for (pair, rows) in transformed.iter().enumerate() {
                let to = (2 * (block * packed.planes() + args.first + plane) + pair) * L::LANES;
                for (k, &row) in rows.iter().enumerate() {
                    // SAFETY: the caller enables the instructions.
                    let row = unsafe { transform_input::<L>(row) };
                    for (j, pairs) in row.into_iter().enumerate() {
                        // SAFETY: each position has room for a vector for each block and pair.
                        unsafe { L::store_pairs(args.scratch.add((SPAN * k + j) * layout.input_stride + to), pairs) };
                    }
                }
            }
        }
    }
}

/// Writes which of the tiles' pixels in a row, `[6 columns][tiles]`, are inside the image: words of ones, else of zeros.
///
/// # Safety
/// As [`input`]; `inside` has room for the tiles of a row in whole vectors for each column.
#[inline(always)]
unsafe fn write_inside<L: Lanes>(args: &InputArgs<'_>, inside: *mut i32) {
    let tiles = args.packed.columns().next_multiple_of(L::LANES);
    for (j, tile) in (0..SPAN).flat_map(|j| (0..tiles).map(move |tile| (j, tile))) {
        let column = (SIDE * tile + j).wrapping_sub(args.left);
        // SAFETY: the tile is one of those.
        unsafe { *inside.add(j * tiles + tile) = if column < args.width { -1 } else { 0 } };
    }
}

/// Divides a plane's rows into the places of the tiles, with padding.
///
/// # Safety
/// As [`input`]; `inside` has what [`write_inside`] wrote.
#[inline(always)]
unsafe fn divide<L: Lanes>(args: &InputArgs<'_>, plane: usize, inside: *const i32) {
    let &InputArgs { input, plane_stride, height, width, above, left, rows, packed, scratch, .. } = args;
    let (layout, columns) = (packed.layout(), packed.columns());
    let tiles = columns.next_multiple_of(L::LANES);
    // SAFETY: these are parts of the scratch.
    let (row, places) = unsafe { (scratch.add(layout.row), scratch.add(layout.places)) };
    // Pixels of a plane that can be read.
    let readable = height.saturating_sub(1) * width + width.next_multiple_of(super::super::super::PIXEL_BLOCK);
    // SAFETY: the caller enables the instructions.
    let (flip, padding) = unsafe {
        (L::splat(i32::from_ne_bytes([args.flip; 4])), L::splat(i32::from_ne_bytes([args.padding[plane]; 4])))
    };
    for line in 0..SIDE * rows + SPAN - SIDE {
        // SAFETY: a place has room for all rows of tiles, one more, and a vector; what is written behind a row of tiles is written again with
        // the next, or belongs to no tile. So has the scratch's row for the image's row, its left padding and what vectors read of it. The
        // caller enables the instructions.
        unsafe {
            let to = places.add(line % SIDE * SPAN * layout.place + line / SIDE * columns);
            let Some(pixel) = line.checked_sub(above).filter(|line| *line < height).map(|line| line * width) else {
                for (j, tile) in (0..SPAN).flat_map(|j| (0..columns).step_by(L::LANES).map(move |tile| (j, tile))) {
                    L::store(to.add(j * layout.place + tile), padding);
                }
                continue;
            };
            let from = input.add(plane * plane_stride + CHANNEL_BLOCK * pixel).cast::<i32>();
            let from = if pixel >= left && pixel - left + SIDE * tiles + SIDE <= readable {
                from.sub(left)
            } else {
                for pixel in (0..width).step_by(L::LANES) {
                    L::store(row.add(left + pixel), L::load(from.add(pixel)));
                }
                row.cast_const()
            };
            for tile in (0..columns).step_by(L::LANES) {
                let [p0, p1, p2, p3] = L::load_fours(from.add(SIDE * tile));
                let [p4, p5, ..] = L::load_fours(from.add(SIDE * tile + SIDE));
                for (j, pixels) in [p0, p1, p2, p3, p4, p5].into_iter().enumerate() {
                    let pixels = L::select(L::load(inside.add(j * tiles + tile)), L::xor(pixels, flip), padding);
                    L::store(to.add(j * layout.place + tile), pixels);
                }
            }
        }
    }
}

/// Transforms sums to results.
///
/// # Safety
/// As [`input`].
#[inline(always)]
unsafe fn output<L: Lanes>(args: &OutputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    let rows = args.height.div_ceil(SIDE);
    // SAFETY: this is a part of the scratch.
    let results = unsafe { args.scratch.add(layout.results) };
    for plane in args.outputs.start / CHANNEL_BLOCK..args.outputs.end / CHANNEL_BLOCK {
        for first in (0..rows * packed.columns()).step_by(L::LANES) {
            // SAFETY: the plane and its sums exist, and results have room for all blocks. The caller enables the instructions.
            unsafe {
                let mut acc = [[[L::splat(0); SIDE]; SIDE]; CHANNEL_BLOCK];
                for (o, acc) in acc.iter_mut().enumerate() {
                    *acc = accumulators::<L>(args, CHANNEL_BLOCK * plane + o, first);
                }
                match args.results {
                    Results::Quantized { .. } => store_pixels::<L>(args, plane, acc, results.add(SIDE * first)),
                    Results::F32 { .. } => store_f32::<L>(acc, results.add(SIDE * CHANNEL_BLOCK * first), layout.tiles),
                }
            }
        }
        for (row, line) in (0..rows).flat_map(|row| (0..SIDE).map(move |line| (row, line))) {
            if SIDE * row + line >= args.height {
                break;
            }
            let from = SIDE * (line * layout.tiles + row * packed.columns());
            let at = CHANNEL_BLOCK * (SIDE * row + line) * args.width;
            let len = CHANNEL_BLOCK * args.width;
            // SAFETY: a row of tiles has as many columns of results as the image at least; the image's rows can be written.
            unsafe {
                match args.results {
                    Results::Quantized { start, plane_stride, .. } => {
                        let to = start.wrapping_add(plane * plane_stride + at);
                        std::ptr::copy_nonoverlapping(results.add(from).cast::<u8>(), to, len);
                    }
                    Results::F32 { start, plane_stride } => {
                        let to = start.wrapping_add(plane * plane_stride + at);
                        std::ptr::copy_nonoverlapping(results.add(CHANNEL_BLOCK * from).cast::<f32>(), to, len);
                    }
                }
            }
        }
    }
}

/// The accumulators of an output channel, of the tiles from `first` on.
///
/// # Safety
/// As [`output`].
#[inline(always)]
unsafe fn accumulators<L: Lanes>(args: &OutputArgs<'_>, output: usize, first: usize) -> [[L::Words; SIDE]; SIDE] {
    let layout = args.packed.layout();
    // SAFETY: each position has sums of all blocks for each output channel. The caller enables the instructions.
    unsafe {
        let from = args.scratch.add(layout.sums + output * layout.tiles + first);
        let mut columns = [[L::splat(0); SPAN]; SIDE];
        for j in 0..SPAN {
            let mut column = [columns[0][0]; SPAN];
            for k in 0..SPAN {
                column[k] = L::load(from.add((SPAN * k + j) * layout.sums_stride));
            }
            let column = transform_output::<L>(column);
            for k in 0..SIDE {
                columns[k][j] = column[k];
            }
        }
        let (ninth, init) = (L::splat(NINTH), L::splat(args.packed.init()[output]));
        let mut acc = [[init; SIDE]; SIDE];
        for k in 0..SIDE {
            let row = transform_output::<L>(columns[k]);
            for j in 0..SIDE {
                acc[k][j] = L::add(L::shift6(L::mul(row[j], ninth)), init);
            }
        }
        acc
    }
}

/// Requantizes the accumulators of a plane, and writes them to its rows of results.
///
/// # Safety
/// As [`output`]; results must be quantized.
#[inline(always)]
unsafe fn store_pixels<L: Lanes>(
    args: &OutputArgs<'_>,
    plane: usize,
    acc: [[[L::Words; SIDE]; SIDE]; CHANNEL_BLOCK],
    to: *mut i32,
) {
    let Results::Quantized { requantize, flip, .. } = args.results else { return };
    let bounds = [requantize.low, requantize.high];
    let signed = requantize.qvalues().is_signed();
    let (mul, add) = (&requantize.mul.as_chunks::<4>().0[plane], &requantize.add.as_chunks::<4>().0[plane]);
    // SAFETY: each row of results has room for the vectors. The caller enables the instructions.
    unsafe {
        let flip = L::splat(i32::from_ne_bytes([flip; 4]));
        for k in 0..SIDE {
            let mut row = [flip; SIDE];
            for j in 0..SIDE {
                let mut channels = [flip; CHANNEL_BLOCK];
                for o in 0..CHANNEL_BLOCK {
                    channels[o] = L::requantize(acc[o][k][j], mul[o], add[o], bounds);
                }
                row[j] = L::xor(L::pack(channels, signed), flip);
            }
            L::store_fours(to.add(k * SIDE * args.packed.layout().tiles), row);
        }
    }
}

/// Writes the accumulators of a plane to its rows of results, as f32.
///
/// # Safety
/// As [`output`]; `tiles` are those of the layout.
#[inline(always)]
unsafe fn store_f32<L: Lanes>(acc: [[[L::Words; SIDE]; SIDE]; CHANNEL_BLOCK], to: *mut i32, tiles: usize) {
    let mut pixels = [0; CHANNEL_BLOCK * MOST_LANES];
    for (k, j) in (0..SIDE).flat_map(|k| (0..SIDE).map(move |j| (k, j))) {
        // SAFETY: each row of results has room for the pixels of the vectors. The caller enables the instructions.
        unsafe {
            let mut channels = [L::splat(0); CHANNEL_BLOCK];
            for o in 0..CHANNEL_BLOCK {
                channels[o] = L::to_f32(acc[o][k][j]);
            }
            L::store_fours(pixels.as_mut_ptr(), channels);
            for (tile, pixel) in pixels.as_chunks::<CHANNEL_BLOCK>().0[..L::LANES].iter().enumerate() {
                let at = CHANNEL_BLOCK * (SIDE * (k * tiles + tile) + j);
                std::ptr::copy_nonoverlapping(pixel.as_ptr(), to.add(at), CHANNEL_BLOCK);
            }
        }
    }
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;
