//! The vector kernels: one body for all instruction sets.
//!
//! Columns are transformed along the rows of the image, whose pixels follow one another; rows are transformed with the tiles beside one
//! another in a vector. In between lie the rows of one row of tiles, in the scratch, which stay in the nearest cache.

use super::points::{FAR, FAR2, FAR3, NEAR, NEAR2, NEAR3, PRODUCT, SUM};
use super::{CHANNEL_BLOCK, InputArgs, OutputArgs, SIDE, SPAN};
#[cfg(target_arch = "aarch64")]
use crate::kernels::vector::Neon;
use crate::kernels::vector::Vector;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vector::{Avx2, Avx512};

/// Declares the two transforms for an instruction set.
macro_rules! transforms {
    ($arch:literal, $features:literal, $vector:ident, $input:ident, $output:ident) => {
        /// Transforms planes.
        ///
        /// # Safety
        /// What the fields of `args` promise must hold, and the processor must have the instructions.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $input(args: &InputArgs<'_>) {
            // SAFETY: the caller promises it, and this function enables the instructions.
            unsafe { input::<$vector>(args) }
        }

        /// Transforms sums to results.
        ///
        /// # Safety
        /// What the fields of `args` promise must hold, and the processor must have the instructions.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $output(args: &OutputArgs<'_>) {
            // SAFETY: the caller promises it, and this function enables the instructions.
            unsafe { output::<$vector>(args) }
        }
    };
}

transforms!("x86_64", "avx2,fma", Avx2, input_avx2, output_avx2);
transforms!("x86_64", "avx512f,avx512bw", Avx512, input_avx512, output_avx512);
transforms!("aarch64", "neon", Neon, input_neon, output_neon);

/// `Bᵀ`, times columns or rows.
///
/// # Safety
/// The function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn transform_input<V: Vector>([d0, d1, d2, d3, d4, d5]: [V::F32; SPAN]) -> [V::F32; SPAN] {
    // SAFETY: the caller enables the instructions.
    unsafe {
        let fma = |x, factor: f32, sum| V::mul_add(x, V::splat(factor), sum);
        let (even_far, odd_far) = (fma(d2, -FAR2, d4), fma(d1, -FAR2, d3));
        let (even_near, odd_near) = (fma(d2, -NEAR2, d4), fma(d1, -NEAR2, d3));
        [
            fma(d0, PRODUCT, fma(d2, -SUM, d4)),
            fma(odd_far, NEAR, even_far),
            fma(odd_far, -NEAR, even_far),
            fma(odd_near, FAR, even_near),
            fma(odd_near, -FAR, even_near),
            fma(d1, PRODUCT, fma(d3, -SUM, d5)),
        ]
    }
}

/// `Aᵀ`, times columns or rows.
///
/// # Safety
/// As [`transform_input`].
#[inline(always)]
unsafe fn transform_output<V: Vector>([m0, m1, m2, m3, m4, m5]: [V::F32; SPAN]) -> [V::F32; SIDE] {
    // SAFETY: the caller enables the instructions.
    unsafe {
        let fma = |x, factor: f32, sum| V::mul_add(x, V::splat(factor), sum);
        let (near_sum, near_difference) = (fma(m1, 1.0, m2), fma(m2, -1.0, m1));
        let (far_sum, far_difference) = (fma(m3, 1.0, m4), fma(m4, -1.0, m3));
        let zero = V::splat(0.0);
        [
            fma(m0, 1.0, fma(near_sum, 1.0, far_sum)),
            fma(near_difference, NEAR, fma(far_difference, FAR, zero)),
            fma(near_sum, NEAR2, fma(far_sum, FAR2, zero)),
            fma(near_difference, NEAR3, fma(far_difference, FAR3, m5)),
        ]
    }
}

/// Transforms planes.
///
/// # Safety
/// What the fields of `args` promise must hold. The function that this is inlined into must enable the instructions of `V`.
#[inline(always)]
unsafe fn input<V: Vector>(args: &InputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    // SAFETY: the rows of pixels are inside the scratch.
    let pixels = unsafe { args.scratch.add(layout.pixels) };
    // SAFETY: so is the last of them.
    let zeros = unsafe { pixels.add(SPAN * layout.row) };
    // SAFETY: it has this length.
    unsafe { std::slice::from_raw_parts_mut(zeros, layout.row).fill(0.0) };
    for plane in 0..args.planes {
        let to = CHANNEL_BLOCK * (args.first + plane) * packed.tiles();
        for row in 0..args.rows {
            // SAFETY: the plane and the row exist, and the caller enables the instructions. Tiles behind those of the row are written again
            // with the next row, or are padding.
            unsafe {
                columns::<V>(args, plane, row, (pixels, zeros));
                let to = args.scratch.add(to + CHANNEL_BLOCK * row * packed.columns());
                for line in 0..SPAN {
                    let from = pixels.add(line * layout.row);
                    for tile in (0..packed.columns()).step_by(V::PIXELS) {
                        let from = from.add(CHANNEL_BLOCK * SIDE * tile);
                        let mut d = [V::splat(0.0); SPAN];
                        for j in 0..SPAN {
                            d[j] = V::load_apart(from.add(CHANNEL_BLOCK * j), CHANNEL_BLOCK * SIDE);
                        }
                        let d = transform_input::<V>(d);
                        for j in 0..SPAN {
                            let position = SPAN * line + j;
                            V::store(to.add(position * layout.input_stride + CHANNEL_BLOCK * tile), d[j]);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the columns of a row of tiles of a plane into rows of `pixels`, with padding.
///
/// # Safety
/// As [`input`]; `pixels` are the scratch's rows of pixels, and `zeros` one of zeros.
#[inline(always)]
unsafe fn columns<V: Vector>(args: &InputArgs<'_>, plane: usize, row: usize, (pixels, zeros): (*mut f32, *const f32)) {
    let &InputArgs { input, plane_stride, height, width, above, left, .. } = args;
    let layout = args.packed.layout();
    // SAFETY: rows that exist can be read up to a multiple of 4 pixels, and so can zeros; rows of pixels have room for that behind the left
    // padding, and for the columns of all tiles. The caller enables the instructions.
    unsafe {
        let line = |k: usize| match (SIDE * row + k).checked_sub(above).filter(|line| *line < height) {
            Some(line) => input.add(plane * plane_stride + CHANNEL_BLOCK * line * width),
            None => zeros,
        };
        let lines: [*const f32; SPAN] = std::array::from_fn(line);
        for pixel in (0..width).step_by(V::PIXELS) {
            let mut d = [V::splat(0.0); SPAN];
            for k in 0..SPAN {
                d[k] = V::load(lines[k].add(CHANNEL_BLOCK * pixel));
            }
            let d = transform_input::<V>(d);
            for k in 0..SPAN {
                V::store(pixels.add(k * layout.row + CHANNEL_BLOCK * (left + pixel)), d[k]);
            }
        }
        for k in 0..SPAN {
            let line = std::slice::from_raw_parts_mut(pixels.add(k * layout.row), layout.row);
            line[..CHANNEL_BLOCK * left].fill(0.0);
            line[CHANNEL_BLOCK * (left + width)..].fill(0.0);
        }
    }
}

/// Transforms sums to results.
///
/// # Safety
/// As [`input`].
#[inline(always)]
unsafe fn output<V: Vector>(args: &OutputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    // SAFETY: the rows of pixels are inside the scratch.
    let pixels = unsafe { args.scratch.add(layout.pixels) };
    for plane in 0..packed.outputs() / CHANNEL_BLOCK {
        for row in 0..args.height.div_ceil(SIDE) {
            let tile = plane * packed.tiles() + row * packed.columns();
            // SAFETY: the plane and the row exist, and the caller enables the instructions. Tiles behind those of the row give pixels behind
            // the columns that are used.
            unsafe {
                let from = args.scratch.add(layout.sums + CHANNEL_BLOCK * tile);
                for line in 0..SPAN {
                    let to = pixels.add(line * layout.row);
                    for tile in (0..packed.columns()).step_by(V::PIXELS) {
                        let mut m = [V::splat(0.0); SPAN];
                        for j in 0..SPAN {
                            let position = SPAN * line + j;
                            m[j] = V::load(from.add(position * layout.sums_stride + CHANNEL_BLOCK * tile));
                        }
                        let m = transform_output::<V>(m);
                        for j in 0..SIDE {
                            V::store_apart(to.add(CHANNEL_BLOCK * (SIDE * tile + j)), CHANNEL_BLOCK * SIDE, m[j]);
                        }
                    }
                }
                rows::<V>(args, plane, row, pixels);
            }
        }
    }
}

/// Transforms the rows of `pixels` to the results of a row of tiles of a plane.
///
/// # Safety
/// As [`output`]; `pixels` are the scratch's rows of pixels.
#[inline(always)]
unsafe fn rows<V: Vector>(args: &OutputArgs<'_>, plane: usize, row: usize, pixels: *const f32) {
    let &OutputArgs { bias_clamp, width, height, .. } = args;
    let layout = args.packed.layout();
    // SAFETY: rows of pixels can be read up to a multiple of 4 pixels; all results can be written, and no more is. The caller enables the
    // instructions.
    unsafe {
        let four = |values: &[f32]| V::repeat(&values.as_chunks().0[plane]);
        let (mul, add) = (four(&bias_clamp.mul), four(&bias_clamp.add));
        let (low, high) = (V::splat(bias_clamp.bounds.low), V::splat(bias_clamp.bounds.high));
        let out = args.out.add(plane * args.plane_stride + CHANNEL_BLOCK * SIDE * row * width);
        let lines = SIDE.min(height - SIDE * row);
        for pixel in (0..width).step_by(V::PIXELS) {
            let mut m = [V::splat(0.0); SPAN];
            for k in 0..SPAN {
                m[k] = V::load(pixels.add(k * layout.row + CHANNEL_BLOCK * pixel));
            }
            let values = transform_output::<V>(m).map(|value| V::clamp(V::mul_add(value, mul, add), low, high));
            for k in 0..lines {
                let out = out.add(CHANNEL_BLOCK * (k * width + pixel));
                if pixel + V::PIXELS <= width {
                    V::store(out, values[k]);
                } else {
                    let mut last = [0.0; CHANNEL_BLOCK * super::MOST_PIXELS];
                    V::store(last.as_mut_ptr(), values[k]);
                    std::ptr::copy_nonoverlapping(last.as_ptr(), out, CHANNEL_BLOCK * (width - pixel));
                }
            }
        }
    }
}
