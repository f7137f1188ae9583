//! Checks that an engine read from a file can be run: the file is untrusted. Each structure checks its own fields, next to
//! where they are used; kernels' arguments are checked when they are deserialized ([`Packed`](crate::kernels::Packed),
//! [`Requantize`](crate::kernels::Requantize), …).

use std::ops::Range;

use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Border, Shape, Window};

/// The result of a check; the text names the contradiction.
pub(super) type Checked<T = ()> = std::result::Result<T, &'static str>;

/// The greatest number of values of anything: up to it, no sum or product in here overflows `usize`. [`crate::model::Limits`]
/// are far lower.
const MOST_VALUES: usize = if usize::BITS > 32 { 1 << 40 } else { 1 << 28 };

/// The greatest extent, stride or padding of a window.
const MOST_SIDE: usize = 1 << 24;

/// The error `otherwise` unless `holds`.
pub(super) fn ensure(holds: bool, otherwise: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// The product of sizes, none of which may be 0.
pub(super) fn product(factors: &[usize]) -> Checked<usize> {
    let all = factors.iter().try_fold(1usize, |all, &factor| all.checked_mul(factor));
    all.filter(|all| (1..=MOST_VALUES).contains(all)).ok_or("a size that is 0 or too large")
}

/// The product; saturates.
pub(super) fn work(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |all: u64, &factor| all.saturating_mul(factor as u64))
}

/// Checks that a shape has values, and not too many.
pub(super) fn shape(shape: Shape) -> Checked {
    product(&[shape.channels, shape.height, shape.width]).map(drop)
}

/// Checks that windows over an image give results of this shape.
pub(super) fn window(window: &Window, from: Shape, to: Shape) -> Checked {
    shape(from)?;
    shape(to)?;
    let Window { kernel, stride, padding, dilation, border } = window;
    let sides = kernel.iter().chain(stride).chain(padding).chain(dilation);
    ensure(sides.into_iter().all(|&side| side <= MOST_SIDE), "a window that is too large")?;
    product(kernel)?;
    product(stride)?;
    product(dilation)?;
    let [top, left, bottom, right] = *padding;
    let mirrored = *border == Border::Reflect;
    ensure(
        !mirrored || top.max(bottom) < from.height && left.max(right) < from.width,
        "a window that mirrors beyond its image",
    )?;
    let fits = window.output(from.height, from.width) == Some([to.height, to.width]);
    ensure(fits, "a window whose results have another shape")
}

/// Pixels of an image, rounded up to whole blocks.
pub(super) fn blocks(shape: Shape) -> usize {
    shape.area().next_multiple_of(PIXEL_BLOCK)
}

/// Checks that an image can be processed in tiles of `tile_len` pixels.
pub(super) fn parts(shape: Shape, tile_len: usize) -> Checked {
    let whole = tile_len > 0 && tile_len.is_multiple_of(PIXEL_BLOCK) && tile_len <= blocks(shape);
    ensure(whole, "tiles that are not whole blocks")
}

/// The part of an engine's memory that a layer can read: all but the range that it writes.
#[derive(Debug, Clone)]
pub(super) struct Readable {
    bytes: [Range<usize>; 2],
    floats: [Range<usize>; 2],
}

impl Readable {
    /// All of `bytes` quantized values and `floats` f32 values.
    pub(super) fn all((bytes, floats): (usize, usize)) -> Self {
        Self { bytes: [0..bytes, 0..0], floats: [0..floats, 0..0] }
    }

    /// Without a range that is written, of f32 values if `is_f32`, else of quantized values.
    pub(super) fn but(mut self, is_f32: bool, written: Range<usize>) -> Self {
        let pieces = if is_f32 { &mut self.floats } else { &mut self.bytes };
        let end = pieces[0].end;
        *pieces = [0..written.start, written.end..end];
        self
    }

    /// Checks that `len` values from `start` on can be read: all before the written range, or all behind it.
    pub(super) fn holds(&self, is_f32: bool, start: usize, len: usize) -> Checked {
        let end = start.checked_add(len);
        let inside = |piece: &Range<usize>| piece.start <= start && end.is_some_and(|end| end <= piece.end);
        let pieces = if is_f32 { &self.floats } else { &self.bytes };
        ensure(len > 0 && pieces.iter().any(inside), "a read outside the readable memory")
    }
}
