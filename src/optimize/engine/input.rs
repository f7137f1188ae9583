//! A convolution's input for a tile, and the offset of each tap of its window.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::gather::Gather;
use super::im2row::Im2Row;
use super::lowering::Lowering;
use super::memory::ScratchSize;
use super::operator::{Tile, Tiling};
use super::pick::Pick;
use super::prologue::{Element, is_signed};
use super::segments::{read_lanes, read_planes, reads_as_is};
use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Layer, Op, Window};

/// The input of a convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + serde::de::DeserializeOwned")]
pub(super) enum ConvolutionInput<T: Element> {
    /// A segment in place, with its halo, from `start` on.
    InPlace { start: usize, offsets: HaloOffsets },
    /// Gathered pixels for a window of one value, perhaps picked from; planes are `plane_stride` values apart.
    Points { gather: Gather<T>, pick: Option<Pick>, plane_stride: usize },
    /// Gathered through [`Im2Row`], for any window. `padding` is the value around each plane's image, `width` the image's.
    Window { gather: Gather<T>, im2row: Im2Row, padding: Vec<T>, width: usize },
}

/// Offsets of a window's taps in a segment that is read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HaloOffsets {
    lead: usize,
    plane_stride: usize,
    planes: usize,
    width: usize,
    /// Rows above and columns to the left of the image.
    top: usize,
    left: usize,
    dilation: [usize; 2],
}

impl HaloOffsets {
    fn offset(&self, tap: [usize; 2], plane: usize) -> usize {
        let [row, column] = [tap[0] * self.dilation[0], tap[1] * self.dilation[1]];
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

/// Bytes of a tile's input, such that it stays in the cache until it is used.
const CACHED_BYTES: usize = 48 * 1024;

/// Bytes of some tiles' input, such that it stays in the second cache.
const SECOND_CACHE: usize = 256 * 1024;

/// The most planes of f32 that are read in place. Of more it takes less time to copy the values of a tile next to one another first, as each plane
/// is in a page of its own, unless there are only a few output channels.
const PLANES_IN_PLACE: usize = 12;
const FEW_OUTPUTS: usize = 32;

/// The same as [`CACHED_BYTES`], in values.
const fn cached_values<T>() -> usize {
    CACHED_BYTES / size_of::<T>()
}

impl ConvolutionInput<u8> {
    /// The input of an int8 convolution, and the pixels of a tile. `zero` is its zero point, which is in the range of the
    /// values read if the window has padding ([`FusedNetwork::check`](crate::model::fused::FusedNetwork::check)).
    pub(super) fn quantized(lowering: Lowering<'_>, layer: &Layer, window: &Window, zero: i32) -> (Self, usize) {
        if let Some((segment, halo)) = reads_as_is(lowering.network, layer, lowering.segments) {
            let (place, segment) = (lowering.places[segment], &lowering.segments[segment]);
            let [top, left, ..] = halo.padding;
            let (lead, plane_stride) = (place.lead, place.plane_stride);
            let (planes, width, dilation) = (segment.planes, segment.shape.width, window.dilation);
            let offsets = HaloOffsets { lead, plane_stride, planes, width, top, left, dilation };
            return (Self::InPlace { start: place.start - lead, offsets }, tile_len::<u8>(layer, 4 * segment.planes));
        }
        let flip = if lowering.kernels.shifted() { 0x80 } else { 0 };
        let padding = layer.reads.iter().flat_map(|read| {
            let signed = if is_signed(read, lowering.segments) { 128 } else { 0 };
            // Without padding the zero point can have any value, and this one is never used.
            let padding = u8::try_from(zero + signed).unwrap_or_default() ^ flip;
            vec![padding; read_planes(read, lowering.segments).len()]
        });
        Self::gathered(lowering, layer, window, padding.collect())
    }
}

impl ConvolutionInput<f32> {
    /// The input of a float convolution, and the pixels of a tile.
    pub(super) fn f32(lowering: Lowering<'_>, layer: &Layer, window: &Window) -> (Self, usize) {
        let planes = layer.reads.iter().map(|read| read_planes(read, lowering.segments).len()).sum();
        Self::gathered(lowering, layer, window, vec![0.0; planes])
    }
}

impl<T: Element> ConvolutionInput<T> {
    fn gathered(lowering: Lowering<'_>, layer: &Layer, window: &Window, padding: Vec<T>) -> (Self, usize) {
        let gather = Gather::new(&layer.reads, lowering.segments, lowering.places);
        let planes = gather.planes();
        if *window == Window::ONE {
            let pick = match layer.op {
                Op::Convolution { groups, .. } => Pick::of(&read_lanes(&layer.reads, lowering.segments), groups),
                _ => None,
            };
            if T::F32
                && (planes <= PLANES_IN_PLACE || layer.output.channels <= FEW_OUTPUTS)
                && pick.is_none()
                && let Some((start, plane_stride)) = gather.in_place()
            {
                let offsets =
                    HaloOffsets { lead: 0, plane_stride, planes, width: 0, top: 0, left: 0, dilation: [1; 2] };
                return (Self::InPlace { start, offsets }, tile_len::<T>(layer, 2 * planes));
            }
            let values = 4 * (planes + pick.as_ref().map_or(0, |pick| pick.planes().len()));
            // Of f32 twice as many bytes: longer pieces of a plane come faster from far away, and the kernel reads each value once.
            let tile_len = tile_len::<T>(layer, if T::F32 { values / 2 } else { values });
            // An odd number of cache lines, so that planes do not share cache sets.
            let plane_stride = (4 * tile_len).div_ceil(64) / 2 * 128 + 64;
            return (Self::Points { gather, pick, plane_stride }, tile_len);
        }
        let from = lowering.network.input_shape(layer);
        let im2row = Im2Row::new(*window, from, layer.output, planes, cached_values::<T>());
        let tile_len = im2row.tile_len();
        (Self::Window { gather, im2row, padding, width: from.width }, tile_len)
    }

    /// What is picked of the planes that are read, if it is not all of them in order.
    pub(super) fn pick(&self) -> Option<&Pick> {
        match self {
            Self::Points { pick, .. } => pick.as_ref(),
            Self::InPlace { .. } | Self::Window { .. } => None,
        }
    }

    /// The offset of a tap of the window in the result of [`ConvolutionInput::read`], for a plane that is read.
    pub(super) fn offset(&self, tap: [usize; 2], plane: usize) -> usize {
        match self {
            Self::InPlace { offsets, .. } => offsets.offset(tap, plane),
            Self::Points { plane_stride, .. } => plane * plane_stride,
            Self::Window { im2row, .. } => im2row.offset(tap, plane),
        }
    }

    /// Checks that the input of all tiles can be read, up to `furthest` values behind each pixel's first. Returns the
    /// approximate multiply-adds of reading it.
    pub(super) fn check(&self, memory: &Readable, tiling: &Tiling, furthest: Option<u32>) -> Checked<u64> {
        let Tiling { shape: to, tile_len } = *tiling;
        let furthest = furthest.unwrap_or(0) as usize;
        let long = |len: usize| {
            let end = product(&[4, tile_len])?.checked_add(furthest);
            ensure(end.is_some_and(|end| end <= len), "weights for values beyond the input")
        };
        match self {
            Self::InPlace { start, .. } => {
                check::parts(to, tile_len)?;
                memory.holds(T::F32, *start, product(&[4, blocks(to)])?.saturating_add(furthest))?;
                Ok(0)
            }
            Self::Points { gather, pick, plane_stride } => {
                check::parts(to, tile_len)?;
                let planes = gather.check(memory, blocks(to))?;
                ensure(product(&[4, tile_len])? <= *plane_stride, "tiles that do not fit their planes")?;
                product(&[planes, *plane_stride])?;
                let picked =
                    pick.as_ref().map_or(Ok(planes), |pick| pick.check(planes).map(|()| pick.planes().len()))?;
                long(product(&[picked, *plane_stride])?)?;
                let picking = if pick.is_some() { work(&[4, picked, blocks(to)]) } else { 0 };
                Ok(gather.work(blocks(to)).saturating_add(picking))
            }
            Self::Window { gather, im2row, padding, width } => {
                let from = im2row.from();
                check::shape(from)?;
                // The last block of the last row may reach behind the image.
                let planes = gather.check(memory, from.area() + PIXEL_BLOCK - 1)?;
                im2row.check(to, planes, cached_values::<T>())?;
                ensure(*width == from.width && tile_len == im2row.tile_len(), "tiles that do not fit their window")?;
                ensure(padding.len() == planes, "padding of other planes")?;
                long(im2row.len())?;
                Ok(gather.work(im2row.pixels_read()).saturating_add(im2row.work()))
            }
        }
    }

    /// Scratch that it takes.
    pub(super) fn scratch(&self) -> ScratchSize {
        T::scratch_size(match self {
            Self::InPlace { .. } => (0, 0),
            Self::Points { gather, pick: None, plane_stride } => (gather.planes() * plane_stride, 0),
            Self::Points { gather, pick: Some(pick), plane_stride } => {
                (pick.planes().len() * plane_stride, gather.planes() * plane_stride)
            }
            Self::Window { gather, im2row, .. } => (im2row.len(), gather.planes() * 4 * im2row.raw_pixels()),
        })
    }

    /// About how many instructions it takes to read the input of so many pixels of results.
    pub(super) fn cost(&self, tiling: &Tiling, pixels: usize) -> u64 {
        match self {
            Self::InPlace { .. } => 0,
            Self::Points { gather, .. } => gather.work(pixels).saturating_mul(5) / 4,
            Self::Window { gather, im2row, .. } => {
                let all = gather.work(im2row.pixels_read()).saturating_add(im2row.work() / 4);
                all.saturating_mul(pixels as u64) / blocks(tiling.shape) as u64
            }
        }
    }

    /// Tiles that are read in place and stay in the second cache together, next to the weights; 1 for those that are gathered.
    pub(super) fn tiles_together(&self, tiling: &Tiling) -> usize {
        match self {
            Self::InPlace { offsets, .. } => {
                let values = offsets.planes.saturating_mul(4).saturating_mul(tiling.tile_len);
                (SECOND_CACHE / size_of::<T>() / values.max(1)).max(1)
            }
            Self::Points { .. } | Self::Window { .. } => 1,
        }
    }

    /// The values to convolve for a tile.
    pub(super) fn read<'a>(&self, tile: Tile<'a>, scratch: (&'a mut [T], &mut [T])) -> &'a [T] {
        let Tile { kernels, sources, first, pixels, row, .. } = tile;
        let (out, raw) = scratch;
        match self {
            Self::InPlace { start, .. } => return &T::stored(sources).from(*start)[4 * first..],
            Self::Points { gather, pick, plane_stride } => {
                let gathered = if pick.is_some() { &mut *raw } else { &mut *out };
                gather.read(kernels, sources, (first, pixels), 0..gather.planes(), gathered, *plane_stride);
                if let Some(pick) = pick {
                    kernels.vectorize(
                        #[inline(always)]
                        || pick.fill(raw, *plane_stride, pixels, out),
                    );
                }
            }
            Self::Window { gather, im2row, padding, width } => {
                let (begin, rows) = im2row.rows_read(row);
                let (pixels, planes) = ((rows * width).next_multiple_of(PIXEL_BLOCK), 0..gather.planes());
                gather.read(kernels, sources, (begin * width, pixels), planes, raw, 4 * pixels);
                im2row.fill(row, raw, 4 * pixels, |plane| padding[plane], out);
            }
        }
        out
    }
}

/// Pixels of a tile of a layer's results, each computed from `values` input values: tiles are about equally long and end with a
/// whole block.
pub(super) fn tile_len<T>(layer: &Layer, values: usize) -> usize {
    let blocks = layer.output.area().div_ceil(PIXEL_BLOCK);
    let least = if size_of::<T>() == 1 { 2 } else { 4 };
    let most = (CACHED_BYTES / (values * size_of::<T>() * PIXEL_BLOCK).max(1)).clamp(least, 16);
    let tiles = blocks.div_ceil(most);
    blocks.div_ceil(tiles) * PIXEL_BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused::Shape;

    #[test]
    fn tiles_that_are_read_in_place_are_taken_together_as_far_as_they_stay_in_the_cache() {
        let together = |planes: usize| {
            let offsets =
                HaloOffsets { lead: 0, plane_stride: 4096, planes, width: 0, top: 0, left: 0, dilation: [1; 2] };
            let shape = Shape { channels: 8, height: 32, width: 32 };
            ConvolutionInput::<f32>::InPlace { start: 0, offsets }.tiles_together(&Tiling { shape, tile_len: 64 })
        };
        assert_eq!([1, 16, 64, 65, 1000].map(together), [256, 16, 4, 3, 1]);
    }
}
