//! The definition.

use super::super::CHANNEL_BLOCK;
use super::{InputArgs, NINTH, OutputArgs, POSITIONS, Results, SIDE, SPAN};

/// `Bᵀ`, times a column or row.
fn transform_input([d0, d1, d2, d3, d4, d5]: [i32; SPAN]) -> [i32; SPAN] {
    [
        4 * d0 - 5 * d2 + d4,
        d4 + d3 - 4 * (d2 + d1),
        d4 - d3 - 4 * (d2 - d1),
        d4 - d2 + 2 * (d3 - d1),
        d4 - d2 - 2 * (d3 - d1),
        4 * d1 - 5 * d3 + d5,
    ]
}

/// `Aᵀ`, times a column or row, modulo 2^32.
fn transform_output(m: [i32; SPAN]) -> [i32; SIDE] {
    let matrix = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 4]];
    matrix.map(|row: [i32; SPAN]| {
        row.iter().zip(m).fold(0i32, |sum, (&factor, m)| sum.wrapping_add(m.wrapping_mul(factor)))
    })
}

/// Transforms planes.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn input(args: &InputArgs<'_>) {
    let packed = args.packed;
    let value = |plane: usize, row: usize, column: usize, lane: usize| {
        let (row, column) = (row.checked_sub(args.above), column.checked_sub(args.left));
        match (row.filter(|row| *row < args.height), column.filter(|column| *column < args.width)) {
            (Some(row), Some(column)) => {
                let at = plane * args.plane_stride + CHANNEL_BLOCK * (row * args.width + column) + lane;
                // SAFETY: all pixels of all planes can be read.
                i32::from(unsafe { *args.input.add(at) } ^ args.flip)
            }
            _ => i32::from(args.padding[plane]),
        }
    };
    for (channel, tile) in (0..CHANNEL_BLOCK * args.padding.len())
        .flat_map(|channel| (0..args.rows * packed.columns()).map(move |tile| (channel, tile)))
    {
        let (plane, lane) = (channel / CHANNEL_BLOCK, channel % CHANNEL_BLOCK);
        let (top, side) = (SIDE * (tile / packed.columns()), SIDE * (tile % packed.columns()));
        let column = |j: usize| std::array::from_fn(|k| value(plane, top + k, side + j, lane));
        let columns: [[i32; SPAN]; SPAN] = std::array::from_fn(|j| transform_input(column(j)));
        for row in 0..SPAN {
            let values = transform_input(std::array::from_fn(|j| columns[j][row]));
            for (j, value) in values.into_iter().enumerate() {
                let at = packed.place_of_tile(SPAN * row + j, CHANNEL_BLOCK * args.first + channel, tile);
                // SAFETY: each position has room for all tiles of all planes.
                unsafe { *args.scratch.cast::<i16>().add(at) = value as i16 };
            }
        }
    }
}

/// Multiplies, and transforms sums to results.
///
/// # Safety
/// What the fields of `args` promise must hold.
pub(super) unsafe fn output(args: &OutputArgs<'_>) {
    let packed = args.packed;
    let channels = CHANNEL_BLOCK * packed.planes();
    for (output, tile) in args
        .outputs
        .clone()
        .flat_map(|output| (0..args.height.div_ceil(SIDE) * packed.columns()).map(move |tile| (output, tile)))
    {
        let sum = |position: usize| {
            (0..channels).fold(0i32, |sum, channel| {
                let at = packed.place_of_tile(position, channel, tile);
                // SAFETY: each position has transformed activations for all tiles of all planes.
                let activation = unsafe { *args.scratch.cast::<i16>().add(at) };
                let weight = packed.weights()[packed.place(position, output, channel)];
                sum.wrapping_add(i32::from(activation) * i32::from(weight))
            })
        };
        let sums: [i32; POSITIONS] = std::array::from_fn(sum);
        let row = |k: usize| transform_output(std::array::from_fn(|j| sums[SPAN * k + j]));
        let rows: [[i32; SIDE]; SPAN] = std::array::from_fn(row);
        for j in 0..SIDE {
            let values = transform_output(std::array::from_fn(|k| rows[k][j]));
            for (k, value) in values.into_iter().enumerate() {
                let row = SIDE * (tile / packed.columns()) + k;
                let column = SIDE * (tile % packed.columns()) + j;
                if row < args.height && column < args.width {
                    let acc = (value.wrapping_mul(NINTH) >> 6).wrapping_add(packed.init()[output]);
                    // SAFETY: the result is inside its plane.
                    unsafe { args.results.write(output, row * args.width + column, acc) };
                }
            }
        }
    }
}

impl Results<'_> {
    /// Writes the result of an accumulator.
    ///
    /// # Safety
    /// The pixel must be inside the planes.
    unsafe fn write(&self, output: usize, pixel: usize, acc: i32) {
        let place =
            |plane_stride| output / CHANNEL_BLOCK * plane_stride + CHANNEL_BLOCK * pixel + output % CHANNEL_BLOCK;
        // SAFETY: the caller promises it.
        unsafe {
            match *self {
                Self::Quantized { requantize, flip, start, plane_stride } => {
                    *start.wrapping_add(place(plane_stride)) = requantize.apply(output, acc) as u8 ^ flip;
                }
                Self::F32 { start, plane_stride } => *start.wrapping_add(place(plane_stride)) = acc as f32,
            }
        }
    }
}
