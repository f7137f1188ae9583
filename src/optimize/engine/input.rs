//! What a convolution reads, tile by tile, and where in that each place of its window is.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product};
use super::gather::{Gather, is_signed};
use super::im2row::Im2Row;
use super::lowering::Lowering;
use super::memory::{ScratchSize, Sources};
use super::segments::reads_as_is;
use crate::kernels::{Kernels, PIXEL_BLOCK};
use crate::model::fused::{Layer, Shape, Window};

/// What is convolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ConvolutionInput {
    /// A segment as it is, with its copies and what lies before it from `start` on.
    InPlace { start: usize, offsets: HaloOffsets },
    /// Points; planes are `plane_stride` values apart.
    Points { gather: Gather, plane_stride: usize },
    /// Whatever windows look at. `padding` is what lies around the image of each plane, `width` that of the image.
    Window { gather: Gather, im2row: Im2Row, padding: Vec<u8>, width: usize },
}

/// Where a window's places are in a segment that is read as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HaloOffsets {
    lead: usize,
    plane_stride: usize,
    planes: usize,
    width: usize,
    /// Rows above and columns to the left of the image.
    top: usize,
    left: usize,
}

impl HaloOffsets {
    fn offset(&self, [row, column]: [usize; 2], plane: usize) -> usize {
        let copy = match column as isize - self.left as isize {
            0 => 0,
            aside @ ..0 => (aside + self.left as isize) as usize + 1,
            aside => aside as usize + self.left,
        };
        let pixels = row * self.width + column;
        (copy * self.planes + plane) * self.plane_stride + self.lead + 4 * pixels
            - 4 * (self.top * self.width + self.left)
    }
}

/// Values of a tile, so that they stay in the cache until they are used.
const CACHED_VALUES: usize = 48 * 1024;

impl ConvolutionInput {
    /// What an int8 convolution reads, and how many pixels a tile has. `zero` is its zero point, which is one of the values that
    /// are read wherever the window has padding ([`FusedNetwork::check`](crate::model::fused::FusedNetwork::check)).
    pub(super) fn qvalues(lowering: Lowering<'_>, layer: &Layer, window: &Window, zero: i32) -> (Self, usize) {
        if let Some((segment, halo)) = reads_as_is(lowering.network, layer, lowering.segments) {
            let (place, segment) = (lowering.places[segment], &lowering.segments[segment]);
            let [top, left, ..] = halo.padding;
            let (lead, plane_stride) = (place.lead, place.plane_stride);
            let offsets =
                HaloOffsets { lead, plane_stride, planes: segment.planes, width: segment.shape.width, top, left };
            return (Self::InPlace { start: place.start - lead, offsets }, part(layer, 4 * segment.planes));
        }
        let gather = Gather::qvalues(&layer.reads, lowering.segments, lowering.places);
        let flip = if lowering.kernels.shifted() { 0x80 } else { 0 };
        let padding = layer.reads.iter().flat_map(|read| {
            let signed = if is_signed(read, lowering.segments) { 128 } else { 0 };
            // Without padding the zero point may be any, and this is never looked at.
            let padding = u8::try_from(zero + signed).unwrap_or_default() ^ flip;
            vec![padding; lowering.segments[read.segment].planes]
        });
        Self::of(lowering, layer, window, gather, padding.collect(), 1)
    }

    /// What a float convolution reads, and how many pixels a tile has.
    pub(super) fn real(lowering: Lowering<'_>, layer: &Layer, window: &Window) -> (Self, usize) {
        let gather = Gather::real(&layer.reads, lowering.segments, lowering.places);
        Self::of(lowering, layer, window, gather, Vec::new(), 4)
    }

    fn of(
        lowering: Lowering<'_>,
        layer: &Layer,
        window: &Window,
        gather: Gather,
        padding: Vec<u8>,
        size: usize,
    ) -> (Self, usize) {
        let planes = gather.planes();
        if *window == Window::ONE {
            let tile_len = part(layer, 4 * planes * size);
            // An odd number of cache lines.
            return (Self::Points { gather, plane_stride: (4 * tile_len).div_ceil(64) / 2 * 128 + 64 }, tile_len);
        }
        let from = lowering.network.input_shape(layer);
        let im2row = Im2Row::new(*window, from, layer.output, planes, CACHED_VALUES / size);
        let tile_len = im2row.tile_len();
        (Self::Window { gather, im2row, padding, width: from.width }, tile_len)
    }

    /// Where a place of the window is in what [`ConvolutionInput::gather_quantized`] or [`ConvolutionInput::read_real`] gives, for a plane
    /// that is read.
    pub(super) fn offset(&self, place: [usize; 2], plane: usize) -> usize {
        match self {
            Self::InPlace { offsets, .. } => offsets.offset(place, plane),
            Self::Points { plane_stride, .. } => plane * plane_stride,
            Self::Window { im2row, .. } => im2row.offset(place, plane),
        }
    }

    /// Whether a convolution of all pixels of `to`, in tiles of `tile_len`, finds what it reads, up to `furthest` values behind each
    /// pixel's first: f32 values, or quantized values. About how many multiply-adds it takes to read it.
    pub(super) fn check(
        &self,
        memory: &Readable,
        real: bool,
        (to, tile_len): (Shape, usize),
        furthest: Option<u32>,
    ) -> Checked<u64> {
        let furthest = furthest.unwrap_or(0) as usize;
        let long = |len: usize| {
            let end = product(&[4, tile_len])?.checked_add(furthest);
            ensure(end.is_some_and(|end| end <= len), "weights of what is not there")
        };
        check::shape(to)?;
        match self {
            Self::InPlace { start, .. } => {
                ensure(!real, "f32 values that are read as they are")?;
                check::parts(to, tile_len)?;
                memory.holds(real, *start, product(&[4, blocks(to)])?.saturating_add(furthest))?;
                Ok(0)
            }
            Self::Points { gather, plane_stride } => {
                check::parts(to, tile_len)?;
                let planes = gather.check(memory, real, blocks(to))?;
                ensure(product(&[4, tile_len])? <= *plane_stride, "tiles that do not fit their planes")?;
                long(product(&[planes, *plane_stride])?)?;
                Ok(gather.work(blocks(to)))
            }
            Self::Window { gather, im2row, padding, width } => {
                let from = im2row.from();
                check::shape(from)?;
                // Of the last row read the last block may reach behind the image.
                let planes = gather.check(memory, real, from.area() + PIXEL_BLOCK - 1)?;
                im2row.check(to, planes, CACHED_VALUES / if real { 4 } else { 1 })?;
                ensure(*width == from.width && tile_len == im2row.tile_len(), "tiles that do not fit their window")?;
                ensure(padding.len() == if real { 0 } else { planes }, "padding of other planes")?;
                long(im2row.len())?;
                Ok(gather.work(im2row.pixels_read()).saturating_add(im2row.work()))
            }
        }
    }

    /// Values of scratch for what is convolved, and for what is read before it is put in order.
    fn lengths(&self) -> (usize, usize) {
        match self {
            Self::InPlace { .. } => (0, 0),
            Self::Points { gather, plane_stride } => (gather.planes() * plane_stride, 0),
            Self::Window { gather, im2row, .. } => (im2row.len(), gather.planes() * 4 * im2row.raw_pixels()),
        }
    }

    /// Scratch for quantized values.
    pub(super) fn scratch_quantized(&self) -> ScratchSize {
        let (qvalues, raw_qvalues) = self.lengths();
        ScratchSize { qvalues, raw_qvalues, ..ScratchSize::default() }
    }

    /// Scratch for f32 values.
    pub(super) fn scratch_f32(&self) -> ScratchSize {
        let (floats, raw_floats) = self.lengths();
        ScratchSize { floats, raw_floats, ..ScratchSize::default() }
    }

    /// The quantized values to convolve for the tile of `pixels` results from `first` on, whose rows are `width` wide.
    pub(super) fn gather_quantized<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'a>,
        (first, pixels, row): (usize, usize, usize),
        out: &'a mut [u8],
        raw: &mut [u8],
    ) -> &'a [u8] {
        match self {
            Self::InPlace { start, .. } => return &sources.bytes.from(*start)[4 * first..],
            Self::Points { gather, plane_stride } => {
                gather.gather_quantized(kernels, sources, (first, pixels), 0..gather.planes(), out, *plane_stride);
            }
            Self::Window { gather, im2row, padding, width } => {
                let (begin, rows) = im2row.rows_read(row);
                let (pixels, planes) = ((rows * width).next_multiple_of(PIXEL_BLOCK), 0..gather.planes());
                gather.gather_quantized(kernels, sources, (begin * width, pixels), planes, raw, 4 * pixels);
                im2row.fill(row, raw, 4 * pixels, |plane| padding[plane], out);
            }
        }
        out
    }

    /// As [`ConvolutionInput::gather_quantized`], for f32 values.
    pub(super) fn read_real<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'a>,
        (first, pixels, row): (usize, usize, usize),
        out: &'a mut [f32],
        raw: &mut [f32],
    ) -> &'a [f32] {
        match self {
            Self::InPlace { start, .. } => return &sources.floats.from(*start)[4 * first..],
            Self::Points { gather, plane_stride } => {
                gather.read_real(kernels, sources, (first, pixels), 0..gather.planes(), out, *plane_stride);
            }
            Self::Window { gather, im2row, width, .. } => {
                let (begin, rows) = im2row.rows_read(row);
                let (pixels, planes) = ((rows * width).next_multiple_of(PIXEL_BLOCK), 0..gather.planes());
                gather.read_real(kernels, sources, (begin * width, pixels), planes, raw, 4 * pixels);
                im2row.fill(row, raw, 4 * pixels, |_| 0.0, out);
            }
        }
        out
    }
}

/// Pixels of each tile of a layer's results, of each of which `values` are read: tiles are about as long, and end with a
/// block.
fn part(layer: &Layer, values: usize) -> usize {
    let blocks = layer.output.area().div_ceil(PIXEL_BLOCK);
    let most = (CACHED_VALUES / (values * PIXEL_BLOCK).max(1)).clamp(2, 16);
    let parts = blocks.div_ceil(most);
    blocks.div_ceil(parts) * PIXEL_BLOCK
}
