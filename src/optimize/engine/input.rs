//! What a convolution reads, part by part, and where in that each place of its window is.

use serde::{Deserialize, Serialize};

use super::Site;
use super::check::{self, Checked, Readable, blocks, ensure, product};
use super::memory::{Need, Sources};
use super::reads::{Readings, is_signed};
use super::segments::reads_as_is;
use super::window::Expansion;
use crate::kernels::{BLOCK, Kernels};
use crate::model::fused::{Layer, Shape, Window};

/// What is convolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Input {
    /// A segment as it is, with its copies and what lies before it from `start` on.
    Near { start: usize, offsets: Near },
    /// Points; planes are `pitch` values apart.
    Points { readings: Readings, pitch: usize },
    /// Whatever windows look at. `padding` is what lies around the picture of each plane, `width` that of the picture.
    Window { readings: Readings, expansion: Expansion, padding: Vec<u8>, width: usize },
}

/// Where a window's places are in a segment that is read as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Near {
    lead: usize,
    pitch: usize,
    planes: usize,
    width: usize,
    /// Rows above and columns to the left of the picture.
    top: usize,
    left: usize,
}

impl Near {
    fn offset(&self, [row, column]: [usize; 2], plane: usize) -> usize {
        let copy = match column as isize - self.left as isize {
            0 => 0,
            aside @ ..0 => (aside + self.left as isize) as usize + 1,
            aside => aside as usize + self.left,
        };
        let pixels = row * self.width + column;
        (copy * self.planes + plane) * self.pitch + self.lead + 4 * pixels - 4 * (self.top * self.width + self.left)
    }
}

/// Values of a part that may be near at once.
const NEAR: usize = 48 * 1024;

impl Input {
    /// What an int8 convolution reads, and how many pixels a part has. `zero` is its zero point, which is one of the values that
    /// are read wherever the window has padding ([`FusedNetwork::check`](crate::model::fused::FusedNetwork::check)).
    pub(super) fn codes(site: Site<'_>, layer: &Layer, window: &Window, zero: i32) -> (Self, usize) {
        if let Some((segment, near)) = reads_as_is(site.network, layer, site.segments) {
            let (place, segment) = (site.places[segment], &site.segments[segment]);
            let [top, left, ..] = near.padding;
            let (lead, pitch) = (place.lead, place.pitch);
            let offsets = Near { lead, pitch, planes: segment.planes, width: segment.shape.width, top, left };
            return (Self::Near { start: place.start - lead, offsets }, part(layer, 4 * segment.planes));
        }
        let readings = Readings::codes(&layer.reads, site.segments, site.places);
        let flip = if site.kernels.shifted() { 0x80 } else { 0 };
        let padding = layer.reads.iter().flat_map(|read| {
            let signed = if is_signed(read, site.segments) { 128 } else { 0 };
            // Without padding the zero point may be any, and this is never looked at.
            let padding = u8::try_from(zero + signed).unwrap_or_default() ^ flip;
            vec![padding; site.segments[read.segment].planes]
        });
        Self::of(site, layer, window, readings, padding.collect(), 1)
    }

    /// What a float convolution reads, and how many pixels a part has.
    pub(super) fn real(site: Site<'_>, layer: &Layer, window: &Window) -> (Self, usize) {
        let readings = Readings::real(&layer.reads, site.segments, site.places);
        Self::of(site, layer, window, readings, Vec::new(), 4)
    }

    fn of(
        site: Site<'_>,
        layer: &Layer,
        window: &Window,
        readings: Readings,
        padding: Vec<u8>,
        size: usize,
    ) -> (Self, usize) {
        let planes = readings.planes();
        if *window == Window::ONE {
            let chunk = part(layer, 4 * planes * size);
            // An odd number of cache lines.
            return (Self::Points { readings, pitch: (4 * chunk).div_ceil(64) / 2 * 128 + 64 }, chunk);
        }
        let from = site.network.input_shape(layer);
        let expansion = Expansion::new(*window, from, layer.output, planes, NEAR / size);
        let chunk = expansion.chunk();
        (Self::Window { readings, expansion, padding, width: from.width }, chunk)
    }

    /// Where a place of the window is in what [`Input::read_codes`] or [`Input::read_real`] gives, for a plane that is read.
    pub(super) fn offset(&self, place: [usize; 2], plane: usize) -> usize {
        match self {
            Self::Near { offsets, .. } => offsets.offset(place, plane),
            Self::Points { pitch, .. } => plane * pitch,
            Self::Window { expansion, .. } => expansion.offset(place, plane),
        }
    }

    /// Whether a convolution of all pixels of `to`, in parts of `chunk`, finds what it reads, up to `furthest` values behind each
    /// pixel's first: real numbers, or codes. About how many multiply-adds it takes to read it.
    pub(super) fn check(
        &self,
        memory: &Readable,
        real: bool,
        (to, chunk): (Shape, usize),
        furthest: Option<u32>,
    ) -> Checked<u64> {
        let furthest = furthest.unwrap_or(0) as usize;
        let long = |len: usize| {
            let end = product(&[4, chunk])?.checked_add(furthest);
            ensure(end.is_some_and(|end| end <= len), "weights of what is not there")
        };
        check::shape(to)?;
        match self {
            Self::Near { start, .. } => {
                ensure(!real, "real numbers that are read as they are")?;
                check::parts(to, chunk)?;
                memory.holds(real, *start, product(&[4, blocks(to)])?.saturating_add(furthest))?;
                Ok(0)
            }
            Self::Points { readings, pitch } => {
                check::parts(to, chunk)?;
                let planes = readings.check(memory, real, blocks(to))?;
                ensure(product(&[4, chunk])? <= *pitch, "parts that do not fit their planes")?;
                long(product(&[planes, *pitch])?)?;
                Ok(readings.work(blocks(to)))
            }
            Self::Window { readings, expansion, padding, width } => {
                let from = expansion.from();
                check::shape(from)?;
                // Of the last row read the last block may reach behind the picture.
                let planes = readings.check(memory, real, from.area() + BLOCK - 1)?;
                expansion.check(to, planes, NEAR / if real { 4 } else { 1 })?;
                ensure(*width == from.width && chunk == expansion.chunk(), "parts that do not fit their window")?;
                ensure(padding.len() == if real { 0 } else { planes }, "padding of other planes")?;
                long(expansion.len())?;
                Ok(readings.work(expansion.pixels_read()).saturating_add(expansion.work()))
            }
        }
    }

    /// Values of scratch for what is convolved, and for what is read before it is put in order.
    fn lengths(&self) -> (usize, usize) {
        match self {
            Self::Near { .. } => (0, 0),
            Self::Points { readings, pitch } => (readings.planes() * pitch, 0),
            Self::Window { readings, expansion, .. } => {
                (expansion.len(), readings.planes() * 4 * expansion.raw_pixels())
            }
        }
    }

    /// Scratch for codes.
    pub(super) fn need_codes(&self) -> Need {
        let (codes, raw_codes) = self.lengths();
        Need { codes, raw_codes, ..Need::default() }
    }

    /// Scratch for real numbers.
    pub(super) fn need_real(&self) -> Need {
        let (reals, raw_reals) = self.lengths();
        Need { reals, raw_reals, ..Need::default() }
    }

    /// The codes to convolve for the part of `pixels` results from `first` on, whose rows are `width` wide.
    pub(super) fn read_codes<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'a>,
        (first, pixels, row): (usize, usize, usize),
        out: &'a mut [u8],
        raw: &mut [u8],
    ) -> &'a [u8] {
        match self {
            Self::Near { start, .. } => return &sources.bytes.from(*start)[4 * first..],
            Self::Points { readings, pitch } => {
                readings.read_codes(kernels, sources, (first, pixels), 0..readings.planes(), out, *pitch);
            }
            Self::Window { readings, expansion, padding, width } => {
                let (begin, rows) = expansion.rows_read(row);
                let (pixels, planes) = ((rows * width).next_multiple_of(BLOCK), 0..readings.planes());
                readings.read_codes(kernels, sources, (begin * width, pixels), planes, raw, 4 * pixels);
                expansion.fill(row, raw, 4 * pixels, |plane| padding[plane], out);
            }
        }
        out
    }

    /// As [`Input::read_codes`], for real numbers.
    pub(super) fn read_real<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'a>,
        (first, pixels, row): (usize, usize, usize),
        out: &'a mut [f32],
        raw: &mut [f32],
    ) -> &'a [f32] {
        match self {
            Self::Near { start, .. } => return &sources.reals.from(*start)[4 * first..],
            Self::Points { readings, pitch } => {
                readings.read_real(kernels, sources, (first, pixels), 0..readings.planes(), out, *pitch);
            }
            Self::Window { readings, expansion, width, .. } => {
                let (begin, rows) = expansion.rows_read(row);
                let (pixels, planes) = ((rows * width).next_multiple_of(BLOCK), 0..readings.planes());
                readings.read_real(kernels, sources, (begin * width, pixels), planes, raw, 4 * pixels);
                expansion.fill(row, raw, 4 * pixels, |_| 0.0, out);
            }
        }
        out
    }
}

/// Pixels of each part of a layer's results, of each of which `values` are read: parts are about as long, and end with a
/// block.
fn part(layer: &Layer, values: usize) -> usize {
    let blocks = layer.output.area().div_ceil(BLOCK);
    let most = (NEAR / (values * BLOCK).max(1)).clamp(2, 16);
    let parts = blocks.div_ceil(most);
    blocks.div_ceil(parts) * BLOCK
}
