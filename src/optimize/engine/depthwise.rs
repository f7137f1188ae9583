//! The depthwise convolution of f32 values: each channel by itself, so that vectors hold channels as they lie in memory. As one of many
//! groups it would be computed from four channels, three of them times 0.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, blocks, ensure, product, work};
use super::gather::Gather;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::padded_rows::PaddedRows;
use super::prologue::Element;
use super::segments::read_lanes;
use crate::error::Result;
use crate::kernels::{BiasClamp, DepthwiseF32, Kernels, PIXEL_BLOCK, PlanesMut};
use crate::model::fused::{Layer, OpKind, Window};
use crate::quant::Affine;

/// A depthwise convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Depthwise {
    gather: Gather<f32>,
    rows: PaddedRows,
    /// The offset of each tap in the rows.
    offsets: Vec<u32>,
    /// For each plane and tap the weights of four channels.
    weights: Vec<[f32; 4]>,
    /// Adds the bias, perhaps with bounds.
    bias_clamp: BiasClamp,
}

impl Depthwise {
    /// The operator for a layer with as many groups as channels, and what adds its bias, padded to whole planes; `None` where results would lie in other lanes than what they are computed
    /// from.
    ///
    /// # Errors
    /// If bounds are empty.
    pub(super) fn new(
        lowering: Lowering<'_>,
        layer: &Layer,
        window: &Window,
        (values, add_bias): (&[f32], &Affine),
    ) -> Result<Option<Self>> {
        let lanes = read_lanes(&layer.reads, lowering.segments);
        let aligned = lanes.iter().enumerate().all(|(channel, &lane)| channel == lane);
        if !aligned || layer.output.channels != lanes.len() {
            return Ok(None);
        }
        let rows = PaddedRows::new(*window, lowering.network.input_shape(layer), layer.output);
        let place = |tap: usize| [tap / window.kernel[1], tap % window.kernel[1]];
        let weight = |channel: usize, tap: usize| values.get(channel * window.len() + tap).copied().unwrap_or(0.0);
        let four = |(plane, tap): (usize, usize)| std::array::from_fn(|lane| weight(4 * plane + lane, tap));
        let taps = (0..lanes.len().div_ceil(4)).flat_map(|plane| (0..window.len()).map(move |tap| (plane, tap)));
        Ok(Some(Self {
            gather: Gather::new(&layer.reads, lowering.segments, lowering.places),
            rows,
            offsets: (0..window.len()).map(|tap| rows.offset(place(tap)) as u32).collect(),
            weights: taps.map(four).collect(),
            bias_clamp: BiasClamp::new(add_bias)?,
        }))
    }

    /// Pixels of a tile of the task.
    pub(super) fn tile_len(&self) -> usize {
        self.rows.tile_len()
    }
}

impl Operator for Depthwise {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::Convolution && !info.int8
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { gather, rows, offsets, weights, bias_clamp } = self;
        rows.check(tiling.shape)?;
        ensure(tiling.tile_len == rows.tile_len(), "tiles that do not fit their window")?;
        // The last block of the last row may reach behind the image.
        let planes = gather.check(memory, rows.from().area() + PIXEL_BLOCK - 1)?;
        ensure(tiling.shape.channels.div_ceil(4) == planes, "weights of other outputs")?;
        ensure(Some(weights.len()) == offsets.len().checked_mul(planes), "weights of other taps")?;
        ensure(bias_clamp.channels() == 4 * planes, "biases of other outputs")?;
        let furthest = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let last = (rows.results(0) - 1) * rows.row_stride() + product(&[4, tiling.shape.width])?;
        // What is read behind the last row's pixels is part of the rows' length.
        ensure(furthest.saturating_add(last) + 4 * PIXEL_BLOCK <= rows.len(), "weights for values beyond the input")?;
        let read = gather.work(blocks(rows.from())).saturating_mul(2);
        Ok(work(&[4, weights.len(), blocks(tiling.shape)]).saturating_add(read))
    }

    fn algorithm(&self) -> &'static str {
        "depthwise"
    }

    fn planes(&self) -> usize {
        self.gather.planes()
    }

    fn planes_at_once(&self) -> usize {
        1
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        f32::scratch_size((self.rows.len(), 4 * self.rows.raw_pixels()))
    }
}

impl Compute<f32> for Depthwise {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Self { gather, rows, offsets, weights, bias_clamp } = self;
        let Tile { kernels, sources, row: first, pixels, .. } = tile;
        let (input, raw) = f32::scratch(scratch);
        let width = rows.from().width;
        let (begin, height) = rows.rows_read(first);
        let (start, read) = (begin * width, (height * width).next_multiple_of(PIXEL_BLOCK));
        for (at, plane) in planes.enumerate() {
            let wanted = plane..plane + 1;
            let stored = match gather.stored(sources, start, &wanted) {
                Some((stored, _)) => stored,
                None => {
                    gather.read(kernels, sources, (start, read), wanted, raw, 4 * read);
                    &*raw
                }
            };
            rows.fill(first, stored, input);
            let operand = DepthwiseF32 {
                input,
                row_stride: rows.row_stride(),
                offsets,
                weights: &weights[plane * offsets.len()..][..offsets.len()],
                height: rows.results(first),
                width: rows.width(),
            };
            kernels.depthwise_f32(&operand, bias_clamp, plane, &mut out.plane(at)[..4 * pixels]);
        }
    }
}
