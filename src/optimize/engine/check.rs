//! Whether an engine that was read from a file can be run: whoever wrote the file can have written anything, and nothing of it is
//! believed. Each structure checks its own fields, next to where they are used; kernels' arguments check themselves when they are
//! read ([`Packed`](crate::kernels::Packed), [`Requantize`](crate::kernels::Requantize), …).

use std::ops::Range;

use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Border, Shape, Window};

/// What a check gives; the text says what contradicts what.
pub(super) type Checked<T = ()> = std::result::Result<T, &'static str>;

/// The most values of anything: below that no sum or product in here is beyond what a `usize` holds. What is sensible, limits say.
const MOST_VALUES: usize = if usize::BITS > 32 { 1 << 40 } else { 1 << 28 };

/// The most rows or columns that a window has, goes on by or reaches over the image.
const MOST_SIDE: usize = 1 << 24;

/// An error if something does not hold.
pub(super) fn ensure(holds: bool, otherwise: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// The product of numbers of values, none of which is 0.
pub(super) fn product(factors: &[usize]) -> Checked<usize> {
    let all = factors.iter().try_fold(1usize, |all, &factor| all.checked_mul(factor));
    all.filter(|all| (1..=MOST_VALUES).contains(all)).ok_or("a size that is too great, or 0")
}

/// The product of numbers, or the greatest there is.
pub(super) fn work(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |all: u64, &factor| all.saturating_mul(factor as u64))
}

/// Whether a shape has values, and not too many.
pub(super) fn shape(shape: Shape) -> Checked {
    product(&[shape.channels, shape.height, shape.width]).map(drop)
}

/// Whether windows over an image give results of this shape.
pub(super) fn window(window: &Window, from: Shape, to: Shape) -> Checked {
    shape(from)?;
    shape(to)?;
    let Window { kernel, stride, padding, dilation, border } = window;
    let sides = kernel.iter().chain(stride).chain(padding).chain(dilation);
    ensure(sides.into_iter().all(|&side| side <= MOST_SIDE), "a window that is too great")?;
    product(kernel)?;
    product(stride)?;
    product(dilation)?;
    let [top, left, bottom, right] = *padding;
    let mirrored = *border == Border::Reflect;
    ensure(
        !mirrored || top.max(bottom) < from.height && left.max(right) < from.width,
        "a window that mirrors too much",
    )?;
    let fits = window.output(from.height, from.width) == Some([to.height, to.width]);
    ensure(fits, "a window whose results have another shape")
}

/// Pixels of an image as whole blocks.
pub(super) fn blocks(shape: Shape) -> usize {
    shape.area().next_multiple_of(PIXEL_BLOCK)
}

/// Whether an image can be gone through in tiles of `tile_len` pixels.
pub(super) fn parts(shape: Shape, tile_len: usize) -> Checked {
    let whole = tile_len > 0 && tile_len.is_multiple_of(PIXEL_BLOCK) && tile_len <= blocks(shape);
    ensure(whole, "tiles that are no whole blocks of the image")
}

/// What of an engine's memory a layer can read: all but the range that it writes.
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

    /// But for a range that is written, of f32 values if `is_f32`, else of quantized values.
    pub(super) fn but(mut self, is_f32: bool, written: Range<usize>) -> Self {
        let pieces = if is_f32 { &mut self.floats } else { &mut self.bytes };
        let end = pieces[0].end;
        *pieces = [0..written.start, written.end..end];
        self
    }

    /// Whether `len` values from `start` on can be read: all before what is written, or all behind it.
    pub(super) fn holds(&self, is_f32: bool, start: usize, len: usize) -> Checked {
        let end = start.checked_add(len);
        let inside = |piece: &Range<usize>| piece.start <= start && end.is_some_and(|end| end <= piece.end);
        let pieces = if is_f32 { &self.floats } else { &self.bytes };
        ensure(len > 0 && pieces.iter().any(inside), "something that is read where it is not")
    }
}
