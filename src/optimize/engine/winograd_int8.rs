//! The int8 convolution with windows of 3x3 by Winograd's algorithm ([`crate::kernels`] has its kernels).
//!
//! A tile of the task is a chunk of rows of Winograd's tiles: all planes are transformed, multiplied, and the results transformed into the
//! segment. A segment of activations is read in place, others some planes at a time through their prologues.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::gather::Gather;
use super::int8_tiles::Int8Tiles;
use super::k_steps;
use super::layer_info::LayerInfo;
use super::lowering::{Int8Weights, Lowering};
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::is_signed;
use super::segments::{read_planes, reads_activations};
use crate::kernels::{
    Blob, Kernels, PIXEL_BLOCK, PackedWinogradInt8, PlanesMut, Requantize, WINOGRAD_INT8_ROWS, WinogradInt8Input,
};
use crate::model::fused::{Layer, OpKind};

/// A convolution by Winograd's algorithm whose results are its accumulators, as f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WinogradInt8 {
    source: Source,
    tiles: Int8Tiles,
    weights: PackedWinogradInt8,
    /// For each plane the u8 around its image.
    padding: Vec<u8>,
}

/// The same with results that are quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WinogradRequantized {
    convolution: WinogradInt8,
    /// For each part of the weights: there is one.
    requantize: Vec<Requantize>,
}

/// Where activations are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Source {
    /// In the planes of a segment, from byte `start` on.
    InPlace { start: usize, plane_stride: usize },
    /// Through prologues.
    Gathered(Gather<u8>),
}

/// Planes that are gathered together.
const TOGETHER: usize = 4;

impl WinogradInt8 {
    /// The operator for a layer, if it is to use the algorithm.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, weights: Int8Weights<'_>) -> Option<Self> {
        let planes = layer.reads.iter().map(|read| read_planes(read, lowering.segments).len()).sum();
        let tiles = Int8Tiles::chosen(lowering.kernels, layer, lowering.network.input_shape(layer), planes)?;
        let zero_point = weights.input_zero_point;
        let padding = layer.reads.iter().flat_map(|read| {
            let signed = if is_signed(read, lowering.segments) { 128 } else { 0 };
            // Without padding the zero point can have any value, and this one is never used.
            let padding = u8::try_from(zero_point + signed).unwrap_or_default();
            vec![padding; read_planes(read, lowering.segments).len()]
        });
        let source = match reads_activations(layer, lowering.segments) {
            Some(segment) => {
                let place = lowering.places[segment];
                Source::InPlace { start: place.start, plane_stride: place.plane_stride }
            }
            None => Source::Gathered(Gather::new(&layer.reads, lowering.segments, lowering.places)),
        };
        let chunk = [tiles.rows(), tiles.columns()];
        let padding = padding.collect();
        Some(Self { source, tiles, weights: k_steps::pack_winograd_int8(lowering, layer, weights, chunk)?, padding })
    }

    /// Pixels of a tile of the task.
    pub(super) fn tile_len(&self) -> usize {
        self.tiles.tile_len()
    }

    /// Number of output channels, padded to whole planes.
    pub(super) fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    /// The same, requantized.
    pub(super) fn requantized(self, requantize: Vec<Requantize>) -> WinogradRequantized {
        WinogradRequantized { convolution: self, requantize }
    }

    /// Transforms the input of a tile of the task into `transformed`; returns the rows and columns of its results.
    fn transform(&self, tile: Tile<'_>, raw: &mut [u8], transformed: &mut [i32]) -> [usize; 2] {
        let Self { source, tiles, weights, padding } = self;
        let Tile { kernels, sources, row: first, inside, .. } = tile;
        let [top, left, ..] = tiles.window.padding;
        let width = tiles.from.width;
        let results = inside / tiles.to.width;
        let (begin, height) = tiles.rows_read(first, results);
        let input = WinogradInt8Input {
            activations: &[],
            plane_stride: 0,
            padding,
            planes: 0..tiles.planes,
            height,
            width,
            above: top.saturating_sub(first),
            left,
            rows: results.div_ceil(WINOGRAD_INT8_ROWS),
        };
        match source {
            Source::InPlace { start, plane_stride } => {
                let activations = &sources.bytes.from(*start)[4 * begin * width..];
                let input = WinogradInt8Input { activations, plane_stride: *plane_stride, ..input };
                kernels.winograd_int8_input(weights, &input, transformed);
            }
            Source::Gathered(gather) => {
                let pixels = (height * width).next_multiple_of(PIXEL_BLOCK);
                for start in (0..tiles.planes).step_by(TOGETHER) {
                    let planes = start..tiles.planes.min(start + TOGETHER);
                    gather.read(kernels, sources, (begin * width, pixels), planes.clone(), raw, 4 * pixels);
                    let (plane_stride, padding) = (4 * pixels, &padding[planes.clone()]);
                    let input = WinogradInt8Input { activations: raw, plane_stride, padding, planes, ..input };
                    kernels.winograd_int8_input(weights, &input, transformed);
                }
            }
        }
        [results, tiles.to.width]
    }
}

impl Operator for WinogradInt8 {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && info.int8
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { source, tiles, weights, padding } = self;
        let Int8Tiles { window, from, to, planes, .. } = *tiles;
        ensure(weights.isa() == kernels.isa(), "weights for another instruction set")?;
        ensure(to == tiling.shape, "windows for other results")?;
        check::window(&window, from, to)?;
        ensure(Int8Tiles::new(kernels, &window, [from, to], planes) == Some(*tiles), "a window that is no 3x3")?;
        // The last block of the last row may reach behind the image.
        let pixels = from.area() + PIXEL_BLOCK - 1;
        let gathering = match source {
            Source::InPlace { start, plane_stride } => {
                let last = product(&[planes, *plane_stride])? - plane_stride;
                memory.holds(false, *start, last + product(&[4, pixels])?)?;
                0
            }
            Source::Gathered(gather) => {
                ensure(gather.check(memory, pixels)? == planes, "windows over other planes")?;
                gather.work(from.area())
            }
        };
        ensure(tiling.tile_len == self.tile_len(), "tiles that do not fit their window")?;
        ensure(weights.outputs() == to.channels.next_multiple_of(4), "weights of other outputs")?;
        ensure(weights.planes() == planes && padding.len() == planes, "weights or padding of other planes")?;
        ensure([weights.rows(), weights.columns()] == [tiles.rows(), tiles.columns()], "weights of other tiles")?;
        product(&[weights.scratch()])?;
        product(&[4 * TOGETHER, tiles.raw_pixels() + PIXEL_BLOCK])?;
        // As many as without the algorithm, which is what the layer is described with.
        Ok(work(&[weights.len() / 4, blocks(to)]).saturating_add(gathering))
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
        let raw_qvalues = match self.source {
            Source::InPlace { .. } => 0,
            // Rows are read up to whole vectors.
            Source::Gathered(_) => 4 * (TOGETHER * self.tiles.raw_pixels() + PIXEL_BLOCK),
        };
        ScratchSize { raw_qvalues, accumulators: self.weights.scratch(), ..ScratchSize::default() }
    }

    fn tile_unit(&self, kernels: Kernels) -> Option<usize> {
        Some(self.tiles.least_len(kernels))
    }

    fn cuts(&self) -> Vec<usize> {
        self.weights.cuts().collect()
    }

    fn cost(&self, kernels: Kernels, _: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.tiles.cost(kernels.isa(), pixels, 4 * planes.len())
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        vec![self.weights.blob()]
    }
}

impl Compute<f32> for WinogradInt8 {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let TileScratch { raw_qvalues, accumulators, .. } = scratch;
        let accumulators = accumulators.values();
        let results = self.transform(tile, raw_qvalues.values(), accumulators);
        tile.kernels.winograd_int8_accumulators(&self.weights, results, accumulators, (planes.start, out));
    }
}

impl Operator for WinogradRequantized {
    fn is(&self, info: &LayerInfo) -> bool {
        self.convolution.is(info)
    }

    fn check(&self, kernels: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let channels = self.requantize.iter().map(Requantize::channels);
        ensure(channels.eq([self.convolution.outputs()]), "affines of other outputs")?;
        self.convolution.check(kernels, memory, tiling)
    }

    fn algorithm(&self) -> &'static str {
        "winograd"
    }

    fn planes(&self) -> usize {
        self.convolution.planes()
    }

    fn planes_at_once(&self) -> usize {
        self.planes()
    }

    fn scratch(&self, tiling: &Tiling) -> ScratchSize {
        self.convolution.scratch(tiling)
    }

    fn tile_unit(&self, kernels: Kernels) -> Option<usize> {
        self.convolution.tile_unit(kernels)
    }

    fn cuts(&self) -> Vec<usize> {
        self.convolution.cuts()
    }

    fn cost(&self, kernels: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.convolution.cost(kernels, tiling, pixels, planes)
    }

    fn blobs(&mut self) -> Vec<Blob<'_>> {
        self.convolution.blobs()
    }
}

impl Compute<u8> for WinogradRequantized {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, u8>) {
        let Self { convolution, requantize } = self;
        let TileScratch { raw_qvalues, accumulators, .. } = scratch;
        let accumulators = accumulators.values();
        let results = convolution.transform(tile, raw_qvalues.values(), accumulators);
        for requantize in requantize {
            let out = (planes.start, &mut *out);
            tile.kernels.winograd_int8_output(&convolution.weights, requantize, results, accumulators, out);
        }
    }
}
