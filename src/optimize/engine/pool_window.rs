//! The windows of a pool over one plane: the rows of a tile, and their reduction.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, ensure, product, work};
use super::operator::{Tile, Tiling};
use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Border, Shape, Window};

/// Values of a plane's tile, such that they stay in the cache until they are used.
const CACHED_VALUES: usize = 8 * 1024;

/// Windows over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PoolWindow {
    window: Window,
    from: Shape,
    to: Shape,
    /// Rows of results in a tile.
    rows: usize,
}

/// The rows of results of a tile, and the input under their windows.
pub(super) struct Rows {
    /// The rows of results.
    wanted: Range<usize>,
    /// The first input row.
    above: usize,
    /// The first input pixel, and the number of pixels in whole blocks.
    pub(super) seen: (usize, usize),
}

impl PoolWindow {
    /// Windows over an image of shape `from`, with results of shape `to`.
    pub(super) fn new(window: Window, from: Shape, to: Shape) -> Self {
        Self { window, from, to, rows: rows_of_tile(&window, from, to) }
    }

    /// The window.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Pixels of a tile.
    pub(super) fn tile_len(&self) -> usize {
        (self.rows * self.to.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// Pixels that are read of each plane: the last block of the last row may reach behind the image.
    pub(super) fn pixels_read(&self) -> usize {
        self.from.area() + PIXEL_BLOCK - 1
    }

    /// Checks that these are its tiles, and that nothing in them overflows.
    pub(super) fn check(&self, tiling: &Tiling) -> Checked {
        let Self { window, from, to, rows } = self;
        check::window(window, *from, *to)?;
        ensure(window.dilation == [1, 1] && window.border != Border::Reflect, "a pool that is dilated, or mirrors")?;
        product(&[8, from.width, window.stride[0]])?;
        ensure(*rows == rows_of_tile(window, *from, *to), "tiles that are no rows of the image")?;
        product(&[*rows, window.stride[0]])?;
        product(&[4, rows + PIXEL_BLOCK, to.width + PIXEL_BLOCK])?;
        ensure(*to == tiling.shape && self.tile_len() == tiling.tile_len, "tiles of other results")
    }

    /// Approximate multiply-adds of reducing `planes` planes, and the pixels that are read of each.
    pub(super) fn work(&self, planes: usize) -> (u64, usize) {
        let Self { window, from, to, rows } = self;
        let tiles = to.height.div_ceil(*rows);
        let read = tiles.saturating_mul((rows - 1) * window.stride[0] + window.kernel[0]).saturating_mul(from.width);
        let down = work(&[4, planes, to.height, from.width, window.kernel[0] + window.kernel[1]]);
        (down.saturating_add(work(&[4, planes, to.height, to.width, window.kernel[1]])), read)
    }

    /// Values of scratch: the input of a plane for a tile, two rows of it, and a tile of results.
    pub(super) fn scratch(&self) -> [usize; 3] {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.kernel[0];
        let read = 4 * (rows.min(self.from.height) * self.from.width).next_multiple_of(PIXEL_BLOCK);
        [read, 8 * self.from.width, 4 * self.tile_len()]
    }

    /// The rows of a tile.
    pub(super) fn rows(&self, tile: &Tile<'_>) -> Rows {
        let wanted = tile.row..(tile.row + tile.pixels / self.to.width).min(self.to.height);
        let above = self.window.inside(0, wanted.start, self.from.height).start;
        let below = self.window.inside(0, wanted.end - 1, self.from.height).end.max(above);
        let pixels = ((below - above) * self.from.width).next_multiple_of(PIXEL_BLOCK);
        Rows { wanted, above, seen: (above * self.from.width, pixels) }
    }

    /// Reduces a plane's input `values` under the windows of `rows`: first down each column of a window, then across the
    /// columns. `buffer` has room for two input rows.
    #[inline(always)]
    pub(super) fn reduce<S: Copy, T: Copy + Default>(
        &self,
        Rows { wanted, above, .. }: Rows,
        values: &[S],
        out: &mut [T],
        buffer: &mut [T],
        start: impl Fn(S) -> T,
        reduce: impl Fn(T, T) -> T,
    ) {
        let window = &self.window;
        let Window { kernel, stride: [_, right], padding: [_, left, ..], .. } = *window;
        let width = 4 * self.from.width;
        let (row, starts) = buffer.split_at_mut(width);
        // Windows that begin at each pixel and are inside the row.
        let starts = &mut starts[..(width + 4).saturating_sub(4 * kernel[1])];
        // Results whose windows are inside the row.
        let begin = left.div_ceil(right).min(self.to.width);
        let whole = begin..(starts.len() / 4 + left).div_ceil(right).clamp(begin, self.to.width);
        for (y, out) in wanted.zip(out.chunks_exact_mut(4 * self.to.width)) {
            let mut rows = window.inside(0, y, self.from.height).map(|y| &values[(y - above) * width..][..width]);
            match (rows.next(), rows.next()) {
                (Some(first), Some(second)) => {
                    let both = first.iter().zip(second);
                    row.iter_mut().zip(both).for_each(|(sum, (a, b))| *sum = reduce(start(*a), start(*b)));
                }
                (Some(first), None) => row.iter_mut().zip(first).for_each(|(sum, value)| *sum = start(*value)),
                (None, _) => row.fill(T::default()),
            }
            for other in rows {
                row.iter_mut().zip(other).for_each(|(sum, value)| *sum = reduce(*sum, start(*value)));
            }
            match row.get(4..) {
                Some(second) if kernel[1] > 1 => {
                    let both = row.iter().zip(second);
                    starts.iter_mut().zip(both).for_each(|(sum, (a, b))| *sum = reduce(*a, *b));
                }
                _ => starts.iter_mut().zip(&*row).for_each(|(sum, value)| *sum = *value),
            }
            for column in 2..kernel[1] {
                let others = row.get(4 * column..).unwrap_or_default();
                starts.iter_mut().zip(others).for_each(|(sum, value)| *sum = reduce(*sum, *value));
            }
            let (row, starts) = (row.as_chunks::<4>().0, starts.as_chunks::<4>().0);
            let out = out.as_chunks_mut::<4>().0;
            for column in (0..whole.start).chain(whole.end..out.len()) {
                let mut columns = row[window.inside(1, column, self.from.width)].iter();
                let first = columns.next().copied().unwrap_or_default();
                out[column] = columns.fold(first, |a, b| std::array::from_fn(|i| reduce(a[i], b[i])));
            }
            if !whole.is_empty() {
                let starts = starts[whole.start * right - left..].iter().step_by(right);
                out[whole.clone()].iter_mut().zip(starts).for_each(|(out, sum)| *out = *sum);
            }
        }
    }
}

impl PoolWindow {
    /// Scales a tile's sums of fewer values than the window has, if padding is absent.
    pub(super) fn scale_up(&self, tile: &Tile<'_>, sums: &mut [f32]) {
        let Self { window, from, to, .. } = self;
        if window.border != Border::Absent || window.padding == [0; 4] {
            return;
        }
        let Rows { wanted, .. } = self.rows(tile);
        for (row, sums) in wanted.zip(sums.chunks_exact_mut(4 * to.width)) {
            let rows = window.inside(0, row, from.height).len();
            for (column, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let factor = window.scale_up(rows * window.inside(1, column, from.width).len());
                sums.iter_mut().for_each(|sum| *sum *= factor);
            }
        }
    }
}

/// Rows of results in a tile: tiles end with a whole block.
fn rows_of_tile(window: &Window, from: Shape, to: Shape) -> usize {
    let unit = (1..=PIXEL_BLOCK).find(|rows| (rows * to.width).is_multiple_of(PIXEL_BLOCK)).unwrap_or(PIXEL_BLOCK);
    let most = CACHED_VALUES / (4 * from.width * window.stride[0]);
    (most / unit * unit).clamp(unit, to.height.next_multiple_of(unit)).min(to.height)
}
