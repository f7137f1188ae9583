//! F32 convolutions with windows of 3x3 by Winograd's algorithm F(4x4, 3x3): a quarter of the multiply-adds.
//!
//! Results are computed in tiles of 4x4, each from 6x6 values. `Bᵀ d B` takes the values of a channel to 36 positions, `G g Gᵀ` the weights
//! (when they are packed). At each position by itself, values and weights are multiplied and summed over channels, as a convolution
//! with a window of one value whose pixels are the tiles. `Aᵀ m A` takes the 36 sums to the 4x4 results. Matrices belong to the points 0,
//! ±3/4, ±3/2 and infinity ([`points`]).
//!
//! The order of all operations is fixed, so that instruction sets give the same bits, and so does each division of an image into chunks of
//! rows that begin at multiples of [`WINOGRAD_ROWS`].

use std::ops::Range;

use super::convolve::ConvolveF32Args;
use super::{BiasClamp, CHANNEL_BLOCK, Kernels, PlanesMut};

mod packed;
mod points;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

pub use packed::PackedWinograd;
pub use points::winograd_weights;

/// Rows of results that a row of tiles has.
pub const WINOGRAD_ROWS: usize = SIDE;

/// Results on a side of a tile.
const SIDE: usize = 4;

/// Values on a side of a tile.
const SPAN: usize = SIDE + 2;

/// Positions of a transformed tile.
pub const WINOGRAD_POSITIONS: usize = SPAN * SPAN;

/// The most pixels of a vector: numbers of tiles are padded to a multiple of it.
const MOST_PIXELS: usize = 4;

/// Some planes of a chunk's input: rows of an image, without padding, one after another.
#[derive(Debug, Clone)]
pub struct WinogradInput<'a> {
    /// The values, from the first pixel of the first plane on.
    pub values: &'a [f32],
    /// Values from one plane to the next.
    pub plane_stride: usize,
    /// The indices of these planes among those that the weights are for.
    pub planes: Range<usize>,
    /// Number of rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Rows of zeros above the first.
    pub above: usize,
    /// Columns of zeros to the left.
    pub left: usize,
    /// Number of rows of tiles.
    pub rows: usize,
}

/// An input transform's arguments, checked: from `input` on there are `planes` planes, `plane_stride` values apart, of `height` rows of `width`
/// pixels, each of which can be read up to a multiple of [`MOST_PIXELS`]; `scratch` has the length and division of `packed`, which has `first +
/// planes` planes and `rows` rows of tiles, whose columns cover `left + width` pixels.
struct InputArgs<'a> {
    input: *const f32,
    plane_stride: usize,
    first: usize,
    planes: usize,
    height: usize,
    width: usize,
    above: usize,
    left: usize,
    rows: usize,
    packed: &'a PackedWinograd,
    scratch: *mut f32,
}

/// An output transform's arguments, checked: `scratch` has the length and division of `packed`, which has tiles for `height` rows of `width`
/// results, and as many output channels as `bias_clamp`; to each plane from `out` on, `plane_stride` values apart, all of them can be written.
struct OutputArgs<'a> {
    packed: &'a PackedWinograd,
    bias_clamp: &'a BiasClamp,
    height: usize,
    width: usize,
    scratch: *mut f32,
    out: *mut f32,
    plane_stride: usize,
}

impl Kernels {
    /// Transforms some planes of a chunk's input into `scratch`, of [`PackedWinograd::scratch`] values.
    ///
    /// # Panics
    /// If the weights have no such planes, or tiles for fewer rows or columns; if rows exceed the values (each is read up to a multiple of 4
    /// pixels), or `scratch` is shorter.
    pub fn winograd_input(self, packed: &PackedWinograd, input: &WinogradInput<'_>, scratch: &mut [f32]) {
        let WinogradInput { values, plane_stride, ref planes, height, width, above, left, rows } = *input;
        let Range { start, end } = *planes;
        assert!(start <= end && end <= packed.planes(), "planes {start} to {end} of {}", packed.planes());
        assert!(rows <= packed.rows(), "{rows} rows of tiles are more than {}", packed.rows());
        let covered = left <= SPAN - SIDE && left + width <= SIDE * packed.columns() + SPAN - SIDE;
        assert!(covered, "{left} and {width} columns exceed {} tiles", packed.columns());
        let last_row = height.checked_sub(1).map_or(0, |last| CHANNEL_BLOCK * last * width);
        let plane = if height == 0 { 0 } else { last_row + CHANNEL_BLOCK * width.next_multiple_of(MOST_PIXELS) };
        let last = (end - start).checked_sub(1).map_or(Some(0), |last| last.checked_mul(plane_stride));
        let needed = last.and_then(|last| last.checked_add(plane));
        assert!(needed.is_some_and(|needed| needed <= values.len()), "planes exceed {} values", values.len());
        assert!(scratch.len() >= packed.scratch(), "scratch of {} values", scratch.len());
        let args = InputArgs {
            input: values.as_ptr(),
            plane_stride,
            first: start,
            planes: end - start,
            height,
            width,
            above,
            left,
            rows,
            packed,
            scratch: scratch.as_mut_ptr(),
        };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_winograd_input(&args) };
        #[cfg(feature = "check-kernels")]
        {
            let mut expected = scratch.to_vec();
            // SAFETY: as above, with another scratch of the same length.
            unsafe { scalar::input(&InputArgs { scratch: expected.as_mut_ptr(), ..args }) };
            let tiles = |scratch: &[f32]| packed.transformed(scratch, planes.clone(), rows);
            assert!(tiles(scratch) == tiles(&expected), "{} transforms differently from scalar", self.isa());
        }
    }

    /// Multiplies what [`Kernels::winograd_input`] left in `scratch` for all planes, and writes `height` rows of `width` results, after
    /// `bias_clamp`: `out[o / 4][p][o % 4]` is the result for output channel `o` and pixel `p`, counted row by row.
    ///
    /// # Panics
    /// If numbers of output channels or planes do not match, if results exceed the weights' tiles or a plane of `out`, or `scratch` is shorter
    /// than [`PackedWinograd::scratch`].
    pub fn winograd_output(
        self,
        packed: &PackedWinograd,
        bias_clamp: &BiasClamp,
        [height, width]: [usize; 2],
        scratch: &mut [f32],
        out: &mut PlanesMut<'_, f32>,
    ) {
        assert_eq!(bias_clamp.channels(), packed.outputs(), "channels to finish");
        assert_eq!(out.planes() * CHANNEL_BLOCK, packed.outputs(), "channels of the output's planes");
        assert!(height.div_ceil(SIDE) <= packed.rows(), "{height} rows exceed {} of tiles", packed.rows());
        assert_eq!(width.div_ceil(SIDE), packed.columns(), "tiles for {width} columns");
        let fits = CHANNEL_BLOCK * height * width <= out.len();
        assert!(fits, "{height} rows of {width} pixels exceed planes of {} values", out.len());
        assert!(scratch.len() >= packed.scratch(), "scratch of {} values", scratch.len());
        let (start, plane_stride) = out.raw();
        let args =
            OutputArgs { packed, bias_clamp, height, width, scratch: scratch.as_mut_ptr(), out: start, plane_stride };
        // SAFETY: what `args` promises was checked above.
        unsafe {
            self.multiply(&args);
            self.run_winograd_output(&args);
        }
        #[cfg(feature = "check-kernels")]
        {
            let plane = CHANNEL_BLOCK * height * width;
            let mut expected = vec![0.0; plane * packed.outputs() / CHANNEL_BLOCK];
            // SAFETY: as above, with an output that was made to fit.
            unsafe { scalar::output(&OutputArgs { out: expected.as_mut_ptr(), plane_stride: plane, ..args }) };
            for (number, expected) in expected.chunks(plane.max(1)).enumerate() {
                let same = out.plane(number).iter().zip(expected).all(|(x, y)| x.to_bits() == y.to_bits());
                assert!(same, "{} differs from scalar in plane {number}", self.isa());
            }
        }
    }

    /// Multiplies at each position.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn multiply(self, args: &OutputArgs<'_>) {
        let packed = args.packed;
        let (tiles, layout) = (packed.tiles_of(args.height.div_ceil(SIDE)), packed.layout());
        let weights = packed.weights().chunks_exact((packed.weights().len() / WINOGRAD_POSITIONS).max(1));
        for (position, weights) in weights.enumerate() {
            let args = ConvolveF32Args {
                // SAFETY: the scratch has the layout's length.
                input: unsafe { args.scratch.add(position * layout.input_stride) },
                offsets: packed.offsets(),
                weights,
                outputs: packed.outputs(),
                pixels: tiles,
                bias_clamp: None,
                // SAFETY: as before.
                out: unsafe { args.scratch.add(layout.sums + position * layout.sums_stride) },
                plane_stride: CHANNEL_BLOCK * packed.tiles(),
            };
            // SAFETY: planes of both are `tiles` tiles apart, and a position has room for all of them.
            unsafe { self.run_convolve_f32(&args) };
        }
    }

    /// Calls the instruction set's transform of the input.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_winograd_input(self, args: &InputArgs<'_>) {
        use super::super::Isa;
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => vector::input_avx2(args),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => vector::input_avx512(args),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => vector::input_neon(args),
                _ => scalar::input(args),
            }
        }
    }

    /// Calls the instruction set's transform of the output.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_winograd_output(self, args: &OutputArgs<'_>) {
        use super::super::Isa;
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => vector::output_avx2(args),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => vector::output_avx512(args),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => vector::output_neon(args),
                _ => scalar::output(args),
            }
        }
    }
}
