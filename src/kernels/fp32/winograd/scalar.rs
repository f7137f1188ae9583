//! The definition.

use super::points::{FAR, FAR2, FAR3, NEAR, NEAR2, NEAR3, PRODUCT, SUM};
use super::{CHANNEL_BLOCK, InputArgs, OutputArgs, SIDE, SPAN};

/// `Bᵀ`, times a column or row.
fn transform_input([d0, d1, d2, d3, d4, d5]: [f32; SPAN]) -> [f32; SPAN] {
    let (even_far, odd_far) = (d2.mul_add(-FAR2, d4), d1.mul_add(-FAR2, d3));
    let (even_near, odd_near) = (d2.mul_add(-NEAR2, d4), d1.mul_add(-NEAR2, d3));
    [
        d0.mul_add(PRODUCT, d2.mul_add(-SUM, d4)),
        odd_far.mul_add(NEAR, even_far),
        odd_far.mul_add(-NEAR, even_far),
        odd_near.mul_add(FAR, even_near),
        odd_near.mul_add(-FAR, even_near),
        d1.mul_add(PRODUCT, d3.mul_add(-SUM, d5)),
    ]
}

/// `Aᵀ`, times a column or row.
fn transform_output([m0, m1, m2, m3, m4, m5]: [f32; SPAN]) -> [f32; SIDE] {
    let (near_sum, near_difference) = (m1 + m2, m1 - m2);
    let (far_sum, far_difference) = (m3 + m4, m3 - m4);
    [
        m0 + (near_sum + far_sum),
        near_difference.mul_add(NEAR, far_difference.mul_add(FAR, 0.0)),
        near_sum.mul_add(NEAR2, far_sum.mul_add(FAR2, 0.0)),
        near_difference.mul_add(NEAR3, far_difference.mul_add(FAR3, m5)),
    ]
}

/// Transforms planes: columns first.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn input(args: &InputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    let value = |plane: usize, row: usize, column: usize, lane: usize| {
        let (row, column) = (row.checked_sub(args.above), column.checked_sub(args.left));
        match (row.filter(|row| *row < args.height), column.filter(|column| *column < args.width)) {
            (Some(row), Some(column)) => {
                let at = plane * args.plane_stride + CHANNEL_BLOCK * (row * args.width + column) + lane;
                // SAFETY: all pixels of all planes can be read.
                unsafe { *args.input.add(at) }
            }
            _ => 0.0,
        }
    };
    for (plane, tile) in (0..args.planes).flat_map(|plane| (0..args.rows * packed.columns()).map(move |t| (plane, t))) {
        let (top, side) = (SIDE * (tile / packed.columns()), SIDE * (tile % packed.columns()));
        for lane in 0..CHANNEL_BLOCK {
            let column = |j: usize| std::array::from_fn(|k| value(plane, top + k, side + j, lane));
            let columns: [[f32; SPAN]; SPAN] = std::array::from_fn(|j| transform_input(column(j)));
            for row in 0..SPAN {
                let values = transform_input(std::array::from_fn(|j| columns[j][row]));
                for (j, value) in values.into_iter().enumerate() {
                    let position = SPAN * row + j;
                    let at = (args.first + plane) * packed.tiles() + tile;
                    // SAFETY: each position has room for all tiles of all planes.
                    unsafe { *args.scratch.add(position * layout.input_stride + CHANNEL_BLOCK * at + lane) = value };
                }
            }
        }
    }
}

/// Transforms sums to results: rows first.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn output(args: &OutputArgs<'_>) {
    let (packed, layout) = (args.packed, args.packed.layout());
    for channel in 0..packed.outputs() {
        let (plane, lane) = (channel / CHANNEL_BLOCK, channel % CHANNEL_BLOCK);
        for tile in 0..args.height.div_ceil(SIDE) * packed.columns() {
            let sum = |position: usize| {
                let at = CHANNEL_BLOCK * (plane * packed.tiles() + tile) + lane;
                // SAFETY: each position has sums for all tiles of all planes.
                unsafe { *args.scratch.add(layout.sums + position * layout.sums_stride + at) }
            };
            let row = |k: usize| transform_output(std::array::from_fn(|j| sum(SPAN * k + j)));
            let rows: [[f32; SIDE]; SPAN] = std::array::from_fn(row);
            for j in 0..SIDE {
                let values = transform_output(std::array::from_fn(|k| rows[k][j]));
                for (k, value) in values.into_iter().enumerate() {
                    let row = SIDE * (tile / packed.columns()) + k;
                    let column = SIDE * (tile % packed.columns()) + j;
                    if row < args.height && column < args.width {
                        let at = plane * args.plane_stride + CHANNEL_BLOCK * (row * args.width + column) + lane;
                        // SAFETY: all pixels of all planes can be written.
                        unsafe { *args.out.add(at) = args.bias_clamp.apply(channel, value) };
                    }
                }
            }
        }
    }
}
