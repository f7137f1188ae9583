//! Int8 convolutions with windows of 3x3 by Winograd's algorithm F(4x4, 3x3): a quarter of the multiply-adds, in 16 bits, and exact.
//!
//! As in the [f32 kernels](super::super::WinogradInput), a tile of 4x4 results is computed from 6x6 values. The points are 0, ±1, ±2 and infinity,
//! and the weights' matrix is scaled to integers ([`transformed`]): transformed activations stay within ±12,750 and weights within ±18,288, so
//! both fit s16. All sums are computed modulo 2^32, where the output's transform gives 576 times the convolution. 9 has an inverse there, which
//! leaves 64 times the convolution, and an arithmetic shift by 6 the convolution itself if that is less than 2^25 in magnitude. Weights for which
//! this cannot be shown are not packed ([`Kernels::pack_winograd_int8`]).
//!
//! Kernels work on blocks of as many tiles as a vector has 32-bit lanes. A lane has two channels of a tile: activations are stored four channels
//! to 32 bits, of which the even and the odd bytes are two pairs.

use std::ops::Range;

use super::{CHANNEL_BLOCK, Kernels, PlanesMut, Requantize};
use crate::kernels::Isa;

mod lanes;
mod multiply;
mod packed;
mod scalar;
#[cfg(test)]
mod tests;
mod transform;

pub use packed::PackedWinogradInt8;

/// Rows of results that a row of tiles has.
pub const WINOGRAD_INT8_ROWS: usize = SIDE;

/// Results on a side of a tile.
const SIDE: usize = 4;

/// Values on a side of a tile.
const SPAN: usize = SIDE + 2;

/// Positions of a transformed tile.
const POSITIONS: usize = SPAN * SPAN;

/// The inverse of 9 modulo 2^32.
const NINTH: i32 = 0x38e3_8e39;

/// The weights' matrix `G`, its rows scaled by 24 and the last by 6: the output's matrix has a 4 in place of a 1 for it.
const WEIGHTS: [[i32; 3]; SPAN] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];

/// The weights of a window at each position, `G w Gᵀ`, row by row; with weights of 9 bits they fit 19.
fn transformed(window: &[i32; 9]) -> [i32; POSITIONS] {
    std::array::from_fn(|position| {
        let (rows, columns) = (WEIGHTS[position / SPAN], WEIGHTS[position % SPAN]);
        (0..9).map(|tap| rows[tap / 3] * columns[tap % 3] * window[tap]).sum()
    })
}

/// Some planes of a chunk's input: rows of an image, without padding, one after another.
#[derive(Debug, Clone)]
pub struct WinogradInt8Input<'a> {
    /// [Activations](super::super::QuantType::Activation), from the first pixel of the first plane on.
    pub activations: &'a [u8],
    /// Bytes from one plane to the next.
    pub plane_stride: usize,
    /// The indices of these planes among those that the weights are for.
    pub planes: Range<usize>,
    /// Number of rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Rows of padding above the first.
    pub above: usize,
    /// Columns of padding to the left.
    pub left: usize,
    /// Number of rows of tiles.
    pub rows: usize,
    /// For each of these planes the u8 around its image.
    pub padding: &'a [u8],
}

/// An input transform's arguments, checked: from `input` on there are as many planes as `padding` has values, `plane_stride` bytes apart, of
/// `height` rows of `width` pixels, each of which can be read up to a multiple of [`PIXEL_BLOCK`](super::super::PIXEL_BLOCK); `scratch` has the
/// length and division of `packed`, which has all these planes from `first` on and `rows` rows of tiles, whose columns cover `left + width` pixels.
struct InputArgs<'a> {
    input: *const u8,
    plane_stride: usize,
    first: usize,
    height: usize,
    width: usize,
    above: usize,
    left: usize,
    rows: usize,
    padding: &'a [u8],
    /// What activations are xored with to be u8.
    flip: u8,
    packed: &'a PackedWinogradInt8,
    scratch: *mut i32,
}

/// An output transform's arguments, checked: `scratch` has the length and division of `packed`, which has tiles for `height` rows of `width`
/// results, all of which can be written to each of the planes of `results` that
/// are those of `outputs`.
struct OutputArgs<'a> {
    packed: &'a PackedWinogradInt8,
    height: usize,
    width: usize,
    /// The output channels that are computed: whole blocks of the weights.
    outputs: Range<usize>,
    scratch: *mut i32,
    results: Results<'a>,
}

/// Where results are written: planes of four channels, `plane_stride` values apart. They begin where the first plane of all would, which need not
/// exist.
#[derive(Clone, Copy)]
enum Results<'a> {
    /// Quantized values, for as many channels as `requantize` has, their low bytes xored with `flip`.
    Quantized { requantize: &'a Requantize, flip: u8, start: *mut u8, plane_stride: usize },
    /// Accumulators as f32.
    F32 { start: *mut f32, plane_stride: usize },
}

impl Kernels {
    /// Transforms some planes of a chunk's input into `scratch`, of [`PackedWinogradInt8::scratch`] values.
    ///
    /// # Panics
    /// If weights were packed for other kernels; if they have no such planes, or tiles for fewer rows or columns; if rows exceed the activations
    /// (each is read up to a multiple of 16 pixels), if there is not one padding for each plane, or if `scratch` is shorter.
    pub fn winograd_int8_input(self, packed: &PackedWinogradInt8, input: &WinogradInt8Input<'_>, scratch: &mut [i32]) {
        let WinogradInt8Input { activations, plane_stride, ref planes, height, width, above, left, rows, padding } =
            *input;
        let Range { start, end } = *planes;
        assert_eq!(packed.isa(), self.isa(), "weights are packed for other kernels");
        assert!(start <= end && end <= packed.planes(), "planes {start} to {end} of {}", packed.planes());
        assert_eq!(padding.len(), end - start, "padding of each plane");
        assert!(rows <= packed.rows(), "{rows} rows of tiles are more than {}", packed.rows());
        let covered = left <= SPAN - SIDE && left + width <= SIDE * packed.columns() + SPAN - SIDE;
        assert!(covered, "{left} and {width} columns exceed {} tiles", packed.columns());
        let last_row = height.checked_sub(1).map_or(0, |last| CHANNEL_BLOCK * last * width);
        let row = CHANNEL_BLOCK * width.next_multiple_of(super::super::PIXEL_BLOCK);
        let plane = if height == 0 { 0 } else { last_row + row };
        let last = (end - start).checked_sub(1).map_or(Some(0), |last| last.checked_mul(plane_stride));
        let needed = last.and_then(|last| last.checked_add(plane));
        assert!(needed.is_some_and(|needed| needed <= activations.len()), "planes exceed {} bytes", activations.len());
        assert!(scratch.len() >= packed.scratch(), "scratch of {} values", scratch.len());
        let args = InputArgs {
            input: activations.as_ptr(),
            plane_stride,
            first: start,
            height,
            width,
            above,
            left,
            rows,
            padding,
            flip: self.zero(),
            packed,
            scratch: scratch.as_mut_ptr(),
        };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_winograd_int8_input(&args) };
        #[cfg(feature = "check-kernels")]
        {
            let mut expected = scratch.to_vec();
            // SAFETY: as above, with another scratch of the same length.
            unsafe { scalar::input(&InputArgs { scratch: expected.as_mut_ptr(), ..args }) };
            let tiles = |scratch: &[i32]| packed.transformed(scratch, planes.clone(), rows);
            assert!(tiles(scratch) == tiles(&expected), "{} transforms differently from scalar", self.isa());
        }
    }

    /// Multiplies what [`Kernels::winograd_int8_input`] left in `scratch` for all planes, and writes `height` rows of `width` results, requantized:
    /// `out[o / 4 - first][p][o % 4]` is the result for output channel `o` and pixel `p`, counted row by row. As many planes of output channels
    /// are computed as `out` has, from plane `first` on.
    ///
    /// # Panics
    /// If numbers of output channels do not match, if weights cannot be cut at these planes ([`PackedWinogradInt8::cuts`]), if results exceed the weights' tiles or a plane of `out`, or `scratch` is shorter
    /// than [`PackedWinogradInt8::scratch`].
    pub fn winograd_int8_output(
        self,
        packed: &PackedWinogradInt8,
        requantize: &Requantize,
        [height, width]: [usize; 2],
        scratch: &mut [i32],
        (first, out): (usize, &mut PlanesMut<'_, u8>),
    ) {
        assert_eq!(requantize.channels(), packed.outputs(), "channels to requantize");
        let outputs = self.check_winograd_int8(packed, [height, width], scratch, (first, out.planes(), out.len()));
        let flip = requantize.qvalues().flip(self.shifted());
        let (start, plane_stride) = out.raw();
        let start = start.wrapping_sub(first * plane_stride);
        let results = Results::Quantized { requantize, flip, start, plane_stride };
        let args = OutputArgs { packed, height, width, outputs, scratch: scratch.as_mut_ptr(), results };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_winograd_int8_output(&args) };
        #[cfg(feature = "check-kernels")]
        {
            let plane_stride = CHANNEL_BLOCK * height * width;
            let mut expected = vec![0; plane_stride * out.planes()];
            let start = expected.as_mut_ptr().wrapping_sub(first * plane_stride);
            let results = Results::Quantized { requantize, flip, start, plane_stride };
            // SAFETY: as above, with an output that was made to fit.
            unsafe { scalar::output(&OutputArgs { results, outputs: args.outputs.clone(), ..args }) };
            super::checked::same(&expected, out, plane_stride, self);
        }
    }

    /// As [`Kernels::winograd_int8_output`], but writes accumulators, as f32.
    ///
    /// # Panics
    /// As there.
    pub fn winograd_int8_accumulators(
        self,
        packed: &PackedWinogradInt8,
        [height, width]: [usize; 2],
        scratch: &mut [i32],
        (first, out): (usize, &mut PlanesMut<'_, f32>),
    ) {
        let outputs = self.check_winograd_int8(packed, [height, width], scratch, (first, out.planes(), out.len()));
        let (start, plane_stride) = out.raw();
        let start = start.wrapping_sub(first * plane_stride);
        let results = Results::F32 { start, plane_stride };
        let args = OutputArgs { packed, height, width, outputs, scratch: scratch.as_mut_ptr(), results };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_winograd_int8_output(&args) };
        #[cfg(feature = "check-kernels")]
        {
            let plane_stride = CHANNEL_BLOCK * height * width;
            let mut expected = vec![0.0; plane_stride * out.planes()];
            let start = expected.as_mut_ptr().wrapping_sub(first * plane_stride);
            let results = Results::F32 { start, plane_stride };
            // SAFETY: as above, with an output that was made to fit.
            unsafe { scalar::output(&OutputArgs { results, outputs: args.outputs.clone(), ..args }) };
            super::checked::same(&expected, out, plane_stride, self);
        }
    }

    /// Panics unless an output's arguments fit together; returns the output channels.
    fn check_winograd_int8(
        self,
        packed: &PackedWinogradInt8,
        [height, width]: [usize; 2],
        scratch: &[i32],
        (first, planes, len): (usize, usize, usize),
    ) -> Range<usize> {
        assert_eq!(packed.isa(), self.isa(), "weights are packed for other kernels");
        packed.assert_complete();
        let end = first.checked_add(planes).expect("planes that can be counted");
        assert!(
            packed.has_cut(first) && packed.has_cut(end),
            "planes {first} to {end} of {} channels",
            packed.outputs()
        );
        assert!(height.div_ceil(SIDE) <= packed.rows(), "{height} rows exceed {} of tiles", packed.rows());
        assert_eq!(width.div_ceil(SIDE), packed.columns(), "tiles for {width} columns");
        assert!(CHANNEL_BLOCK * height * width <= len, "{height} rows of {width} pixels exceed planes of {len} values");
        assert!(scratch.len() >= packed.scratch(), "scratch of {} values", scratch.len());
        CHANNEL_BLOCK * first..CHANNEL_BLOCK * end
    }

    /// Calls the instruction set's transform of the input.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_winograd_int8_input(self, args: &InputArgs<'_>) {
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => transform::input_avx2(args),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => transform::input_avx512(args),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => transform::input_neon(args),
                _ => scalar::input(args),
            }
        }
    }

    /// Calls the instruction set's products and its transform of the output.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_winograd_int8_output(self, args: &OutputArgs<'_>) {
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => {
                    multiply::avx2(args);
                    transform::output_avx2(args);
                }
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => {
                    multiply::avx512vnni(args);
                    transform::output_avx512(args);
                }
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => {
                    multiply::neon(args);
                    transform::output_neon(args);
                }
                _ => scalar::output(args),
            }
        }
    }
}
