//! Int8 convolutions with windows of 3x3 for Winograd's algorithm: which use it, and in which chunks of tiles.
//!
//! Both are known before segments are laid out: a layer that uses it needs no halo.

use serde::{Deserialize, Serialize};

use super::check::work;
use crate::kernels::{Isa, Kernels, PIXEL_BLOCK, PackedWinogradInt8, WINOGRAD_INT8_ROWS, Winograd};
use crate::model::fused::{Border, ConvolutionWeights, Layer, Op, Shape, Window};

/// The shapes of a convolution by tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Int8Tiles {
    pub(super) window: Window,
    pub(super) from: Shape,
    pub(super) to: Shape,
    /// Number of planes that are read.
    pub(super) planes: usize,
    /// Tiles of a vector.
    lanes: usize,
}

/// Transformed bytes of a chunk, if that is at least a vector of tiles: they stay in the second cache, with a layer's weights.
const CACHED_BYTES: usize = 320 * 1024;

/// Chunks of an image, if each has a vector of tiles: threads share them.
const SHARED: usize = 4;

/// The most bytes of a layer's weights that stay in the second cache from chunk to chunk.
const CACHED_WEIGHTS: u64 = 1024 * 1024;

/// Positions of a transformed tile.
const POSITIONS: usize = 36;

impl Int8Tiles {
    /// The tiles of an int8 convolution over so many planes of an image if it is to use the algorithm.
    pub(super) fn chosen(kernels: Kernels, layer: &Layer, from: Shape, planes: usize) -> Option<Self> {
        let Op::Convolution { window, groups: 1, weights: ConvolutionWeights::Int8 { values, zero_points, .. } } =
            &layer.op
        else {
            return None;
        };
        let tiles = Self::new(kernels, window, [from, layer.output], planes)?;
        let wanted = match kernels.winograd() {
            Winograd::Never => false,
            Winograd::WhereFaster => tiles.is_faster(kernels.isa()),
            Winograd::Always => true,
        };
        (wanted && fit(values, zero_points, from.channels)).then_some(tiles)
    }

    /// `None` unless windows are of 3x3 neighbours with a padding of at most one pixel of zeros.
    pub(super) fn new(kernels: Kernels, window: &Window, [from, to]: [Shape; 2], planes: usize) -> Option<Self> {
        let plain = Window { padding: window.padding, kernel: [3, 3], ..Window::ONE };
        let suits = *window == plain && window.border == Border::Zero && window.padding.iter().all(|&side| side <= 1);
        suits.then_some(Self { window: *window, from, to, planes, lanes: PackedWinogradInt8::lanes(kernels.isa()) })
    }

    /// Tiles in a row.
    pub(super) fn columns(&self) -> usize {
        self.to.width.div_ceil(WINOGRAD_INT8_ROWS)
    }

    /// Rows of tiles of a chunk. Chunks are about equally long, and end with a whole block of pixels.
    pub(super) fn rows(&self) -> usize {
        let all = self.to.height.div_ceil(WINOGRAD_INT8_ROWS);
        let unit = self.unit(PIXEL_BLOCK);
        let tiles = (CACHED_BYTES / (POSITIONS * 8 * self.planes).max(1)).max(self.lanes);
        let least = self.lanes.div_ceil(self.columns());
        let most = (tiles / self.columns()).max(1).min(all.div_ceil(SHARED).max(least));
        all.div_ceil(all.div_ceil(most)).next_multiple_of(unit).min(all)
    }

    /// Pixels of results of the shortest chunk that is worth a thread.
    pub(super) fn least_len(&self, kernels: Kernels) -> usize {
        let unit = self.unit(kernels.pixel_multiple());
        let rows = PackedWinogradInt8::least_lanes(kernels.isa()).div_ceil(self.columns());
        rows.next_multiple_of(unit) * WINOGRAD_INT8_ROWS * self.to.width
    }

    /// The fewest rows of tiles whose results are a multiple of so many pixels.
    fn unit(&self, pixels: usize) -> usize {
        let whole = |rows: &usize| (rows * WINOGRAD_INT8_ROWS * self.to.width).is_multiple_of(pixels);
        (1..=WINOGRAD_INT8_ROWS).find(whole).unwrap_or(WINOGRAD_INT8_ROWS)
    }

    /// Pixels of a chunk of results.
    pub(super) fn tile_len(&self) -> usize {
        let rows = (WINOGRAD_INT8_ROWS * self.rows()).min(self.to.height);
        (rows * self.to.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// The first row of the input of `results` rows from row `first` on, and the number of rows.
    pub(super) fn rows_read(&self, first: usize, results: usize) -> (usize, usize) {
        let [top, _, bottom, _] = self.window.padding;
        let begin = first.saturating_sub(top);
        let end = first + results + 2 - top;
        debug_assert!(end <= self.from.height + bottom, "rows beyond the padding");
        (begin, end.min(self.from.height) - begin)
    }

    /// Pixels of a plane of the rows of a chunk.
    pub(super) fn raw_pixels(&self) -> usize {
        let rows = (WINOGRAD_INT8_ROWS * self.rows() + 2).min(self.from.height);
        (rows * self.from.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// About how many instructions a chunk with so many pixels of results takes for some output channels.
    pub(super) fn cost(&self, isa: Isa, pixels: usize, outputs: usize) -> u64 {
        let costs = Costs::of(isa).filter(|_| isa != Isa::Neon).unwrap_or(Costs::COUNTED);
        let tiles = pixels.div_ceil(WINOGRAD_INT8_ROWS * self.to.width) * self.columns();
        let vectors = tiles.div_ceil(self.lanes);
        // Products of the last vector may be half as many.
        let least = PackedWinogradInt8::least_lanes(isa);
        let multiplied = tiles.div_ceil(least) * least;
        // Of nine instructions one loads.
        let product = costs.product * vectors / 9 + 8 * costs.product * multiplied / (9 * self.lanes);
        let products = work(&[2 * POSITIONS, self.planes, outputs, product]);
        let transforms = work(&[vectors, self.planes * costs.input + outputs * costs.output]);
        // A plane's rows are divided first, whatever their length.
        let division = work(&[self.planes, costs.input / 3]);
        products.saturating_add(transforms).saturating_add(division) / 8
    }

    /// Whether it takes less time than a convolution over k-steps.
    fn is_faster(&self, isa: Isa) -> bool {
        let Some(costs) = Costs::of(isa) else { return false };
        let (rows, all) = (self.rows(), self.to.height.div_ceil(WINOGRAD_INT8_ROWS));
        let (whole, rest) = (all / rows, all % rows);
        let vectors = |rows: usize| (rows * self.columns()).div_ceil(self.lanes);
        let vectors = whole * vectors(rows) + vectors(rest);
        let outputs = self.to.channels.next_multiple_of(4);
        let pixels = self.to.area().div_ceil(self.lanes);
        let direct = work(&[9, self.planes, outputs, pixels, costs.step]);
        let products = work(&[2 * POSITIONS, self.planes, outputs, vectors, costs.product]);
        let transforms = work(&[vectors, self.planes * costs.input + outputs * costs.output]);
        // Weights that stay in the second cache are fetched once, others for each chunk.
        let weights = work(&[POSITIONS, self.planes, outputs]);
        let fetches = if 8 * weights > CACHED_WEIGHTS { all.div_ceil(rows) } else { 1 };
        let weights = weights.saturating_mul((fetches * costs.weights) as u64);
        products.saturating_add(transforms).saturating_add(weights) < direct
    }
}

/// Whether the algorithm is exact with all weights, `[out, in, 3, 3]` minus the zero point of their output.
fn fit(values: &[i8], zero_points: &[i16], inputs: usize) -> bool {
    let windows = values.as_chunks::<9>().0;
    windows.chunks(inputs.max(1)).enumerate().all(|(output, windows)| {
        let zero_point = zero_points.get(output).copied().map_or(0, i32::from);
        let of = |window: &[i8; 9]| window.map(|weight| i32::from(weight) - zero_point);
        PackedWinogradInt8::suits(&windows.iter().map(of).collect::<Vec<_>>())
    })
}

/// What a vector of an instruction set takes: on x86 in 64ths of a nanosecond as measured (`docs/performance.md`), for NEON in eighths of a cycle of
/// a Cortex-A72, as the numbers of its instructions suggest.
struct Costs {
    /// A k-step of the direct convolution, for an output channel.
    step: usize,
    /// A pair of channels at a position, for an output channel.
    product: usize,
    /// Transforming four channels.
    input: usize,
    /// Transforming and requantizing an output channel.
    output: usize,
    /// Fetching the weights of four channels at a position, for an output channel.
    weights: usize,
}

impl Costs {
    const NEON: Self = Self { step: 36, product: 36, input: 4_800, output: 2_300, weights: 21 };

    /// Eighths of an instruction of ARM's, as counted: how threads share the work is counted in instructions.
    const COUNTED: Self = Self { input: 17_600, output: 12_800, ..Self::NEON };

    /// `None` where the direct convolution is taken always: with dot products of bytes it has as few multiplications.
    fn of(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Scalar | Isa::Dotprod | Isa::I8mm => None,
            Isa::Avx512Vnni => Some(Self { step: 12, product: 12, input: 12_000, output: 2_700, weights: 17 }),
            Isa::Avx2 => Some(Self { step: 19, product: 12, input: 6_000, output: 2_600, weights: 17 }),
            Isa::Neon => Some(Self::NEON),
        }
    }
}
