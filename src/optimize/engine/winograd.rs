//! The convolution of f32 values with windows of 3x3 by Winograd's algorithm ([`crate::kernels`] has its kernels).
//!
//! A tile of the task is a chunk of rows of Winograd's tiles: some planes at a time are gathered and transformed, all of them are multiplied,
//! and the results are transformed into the segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::gather::Gather;
use super::k_steps;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use super::segments::read_planes;
use crate::error::Result;
use crate::kernels::{
    BiasClamp, Blob, F32_PIXELS, Kernels, PIXEL_BLOCK, PackedWinograd, PlanesMut, WINOGRAD_POSITIONS, WINOGRAD_ROWS,
    Winograd, WinogradInput,
};
use crate::model::fused::{Border, Layer, OpKind, Shape, Window};
use crate::quant::Affine;

/// A float convolution by Winograd's algorithm, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WinogradF32 {
    gather: Gather<f32>,
    geometry: Geometry,
    weights: PackedWinograd,
    /// Adds the bias, perhaps with bounds.
    bias_clamp: BiasClamp,
}

/// The shapes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Geometry {
    window: Window,
    from: Shape,
    to: Shape,
    /// Number of planes that are read.
    planes: usize,
}

/// Values of a chunk's transformed tiles, unless that would be fewer tiles than [`least_tiles`]: such that they stay in the second cache.
const CACHED_VALUES: usize = 96 * 1024;

/// The fewest tiles of a chunk for so many output channels, if the image has as many: the weights are read once for each chunk.
const fn least_tiles(outputs: usize) -> usize {
    if outputs > 32 { outputs / 4 } else { 8 }
}

/// Planes that are gathered together.
const TOGETHER: usize = 4;

impl Geometry {
    /// `None` unless windows are of 3x3 neighbours with a padding of at most one pixel of zeros.
    fn new(window: &Window, from: Shape, to: Shape, planes: usize) -> Option<Self> {
        let plain = Window { padding: window.padding, kernel: [3, 3], ..Window::ONE };
        let suits = *window == plain && window.border == Border::Zero && window.padding.iter().all(|&side| side <= 1);
        suits.then_some(Self { window: *window, from, to, planes })
    }

    /// Tiles in a row.
    fn columns(&self) -> usize {
        self.to.width.div_ceil(WINOGRAD_ROWS)
    }

    /// Rows of tiles of a chunk. Chunks are about equally long, and end with a whole block of pixels.
    fn rows(&self) -> usize {
        let all = self.to.height.div_ceil(WINOGRAD_ROWS);
        let unit = self.unit();
        let tiles = (CACHED_VALUES / (WINOGRAD_POSITIONS * 4 * self.planes)).max(least_tiles(self.to.channels));
        let most = (tiles / self.columns()).max(1);
        all.div_ceil(all.div_ceil(most)).next_multiple_of(unit).min(all)
    }

    /// The fewest rows of tiles whose results are whole blocks of pixels.
    fn unit(&self) -> usize {
        let whole = |rows: &usize| (rows * WINOGRAD_ROWS * self.to.width).is_multiple_of(PIXEL_BLOCK);
        (1..=WINOGRAD_ROWS).find(whole).unwrap_or(WINOGRAD_ROWS)
    }

    /// Pixels of a chunk of results.
    fn tile_len(&self) -> usize {
        let rows = (WINOGRAD_ROWS * self.rows()).min(self.to.height);
        (rows * self.to.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// The first row of the input of `results` rows from row `first` on, and the number of rows.
    fn rows_read(&self, first: usize, results: usize) -> (usize, usize) {
        let [top, _, bottom, _] = self.window.padding;
        let begin = first.saturating_sub(top);
        let end = first + results + 2 - top;
        debug_assert!(end <= self.from.height + bottom, "rows beyond the padding");
        (begin, end.min(self.from.height) - begin)
    }

    /// Pixels of a plane of the gathered rows.
    fn raw_pixels(&self) -> usize {
        let rows = (WINOGRAD_ROWS * self.rows() + 2).min(self.from.height);
        (rows * self.from.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// Whether it takes less time than a convolution over k-steps: about, in multiply-adds.
    fn is_faster(&self) -> bool {
        let (inputs, outputs) = (4 * self.planes, self.to.channels.next_multiple_of(4));
        let tiles = self.to.height.div_ceil(WINOGRAD_ROWS) * self.columns();
        let direct = work(&[9, inputs, outputs, self.to.area().next_multiple_of(F32_PIXELS) + WEIGHT_COST]);
        let chunks = self.to.height.div_ceil(WINOGRAD_ROWS * self.rows());
        let weights = work(&[WINOGRAD_POSITIONS, inputs, outputs, chunks * WEIGHT_COST]);
        self.cost(tiles).saturating_add(weights) < direct
    }

    /// What so many tiles take, without reading weights: about, in multiply-adds.
    fn cost(&self, tiles: usize) -> u64 {
        let (inputs, outputs) = (4 * self.planes, self.to.channels.next_multiple_of(4));
        let products = work(&[WINOGRAD_POSITIONS, inputs, outputs, tiles.next_multiple_of(4)]);
        products.saturating_add(work(&[tiles, inputs * INPUT_COST + outputs * OUTPUT_COST]))
    }
}

/// What takes about as long as so many multiply-adds: reading a weight that lies in no near cache, and transforming a channel's values or
/// results of a tile (measured with AVX2, `docs/performance.md`).
const WEIGHT_COST: usize = 14;
const INPUT_COST: usize = 350;
const OUTPUT_COST: usize = 500;

impl WinogradF32 {
    /// The geometry of a layer that is to use the algorithm.
    pub(super) fn chosen(
        lowering: Lowering<'_>,
        layer: &Layer,
        (window, groups): (&Window, usize),
    ) -> Option<Geometry> {
        let planes = layer.reads.iter().map(|read| read_planes(read, lowering.segments).len()).sum();
        let geometry = Geometry::new(window, lowering.network.input_shape(layer), layer.output, planes)?;
        let wanted = match lowering.kernels.winograd() {
            Winograd::Never => false,
            Winograd::WhereFaster => geometry.is_faster(),
            Winograd::Always => true,
        };
        (wanted && groups == 1).then_some(geometry)
    }

    /// The operator for a layer with these weights, and what adds its bias, padded to whole planes.
    ///
    /// # Errors
    /// If bounds are empty.
    pub(super) fn new(
        lowering: Lowering<'_>,
        layer: &Layer,
        geometry: Geometry,
        (values, add_bias): (&[f32], &Affine),
    ) -> Result<Self> {
        let weights = k_steps::pack_winograd(lowering, layer, values, [geometry.rows(), geometry.columns()]);
        Ok(Self {
            gather: Gather::new(&layer.reads, lowering.segments, lowering.places),
            geometry,
            bias_clamp: BiasClamp::new(add_bias)?,
            weights,
        })
    }

    /// Pixels of a tile of the task.
    pub(super) fn tile_len(&self) -> usize {
        self.geometry.tile_len()
    }
}

impl Operator for WinogradF32 {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && !info.int8
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { gather, geometry, weights, bias_clamp } = self;
        let Geometry { window, from, to, planes } = *geometry;
        ensure(to == tiling.shape, "windows for other results")?;
        check::window(&window, from, to)?;
        ensure(Geometry::new(&window, from, to, planes) == Some(*geometry), "a window that is no 3x3")?;
        // The last block of the last row may reach behind the image.
        ensure(gather.check(memory, from.area() + PIXEL_BLOCK - 1)? == planes, "windows over other planes")?;
        ensure(tiling.tile_len == self.tile_len(), "tiles that do not fit their window")?;
        let outputs = to.channels.next_multiple_of(4);
        ensure(weights.outputs() == outputs && weights.planes() == planes, "weights of other channels")?;
        let tiles = [weights.rows(), weights.columns()] == [geometry.rows(), geometry.columns()];
        ensure(tiles && bias_clamp.channels() == outputs, "weights of other tiles")?;
        product(&[weights.scratch()])?;
        product(&[4 * TOGETHER, geometry.raw_pixels() + PIXEL_BLOCK])?;
        // As many as without the algorithm, which is what the layer is described with.
        Ok(work(&[weights.len() / 4, blocks(to)]).saturating_add(gather.work(from.area())))
    }

    fn algorithm(&self) -> &'static str {
        "winograd"
    }

    fn planes(&self) -> usize {
        self.weights.outputs() / 4
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        // Rows are read up to whole vectors.
        f32::scratch_size((self.weights.scratch(), 4 * (TOGETHER * self.geometry.raw_pixels() + PIXEL_BLOCK)))
    }

    fn tile_unit(&self, _: Kernels) -> Option<usize> {
        Some(self.geometry.unit() * WINOGRAD_ROWS * self.geometry.to.width)
    }

    fn cost(&self, _: Kernels, _: &Tiling, pixels: usize, _: Range<usize>) -> u64 {
        let rows = pixels.div_ceil(WINOGRAD_ROWS * self.geometry.to.width);
        // Four multiply-adds in an instruction.
        self.geometry.cost(rows * self.geometry.columns()) / 4
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        vec![self.weights.blob()]
    }
}

impl Compute<f32> for WinogradF32 {
    fn run(&self, tile: Tile<'_>, _: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Self { gather, geometry, weights, bias_clamp } = self;
        let Tile { kernels, sources, row: first, inside, .. } = tile;
        let (transformed, raw) = f32::scratch(scratch);
        let [top, left, ..] = geometry.window.padding;
        let width = geometry.from.width;
        let results = inside / geometry.to.width;
        let (begin, height) = geometry.rows_read(first, results);
        let pixels = (height * width).next_multiple_of(PIXEL_BLOCK);
        for start in (0..geometry.planes).step_by(TOGETHER) {
            let planes = start..geometry.planes.min(start + TOGETHER);
            let (values, plane_stride) = match gather.stored(sources, begin * width, &planes) {
                Some(stored) => stored,
                None => {
                    gather.read(kernels, sources, (begin * width, pixels), planes.clone(), raw, 4 * pixels);
                    (&*raw, 4 * pixels)
                }
            };
            let input = WinogradInput {
                values,
                plane_stride,
                planes,
                height,
                width,
                above: top.saturating_sub(first),
                left,
                rows: results.div_ceil(WINOGRAD_ROWS),
            };
            kernels.winograd_input(weights, &input, transformed);
        }
        kernels.winograd_output(weights, bias_clamp, [results, geometry.to.width], transformed, out);
    }
}
