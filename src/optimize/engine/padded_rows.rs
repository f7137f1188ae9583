//! Rows of a plane with their padding, so that windows read them without a copy for each tap.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, ensure, product};
use super::im2row::{Taps, rows_read};
use super::segments::reach;
use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Shape, Window};

/// The input of some rows of results, for one plane. Each row is divided by the horizontal stride into parts: part `p` has the pixels `p`, `p +
/// stride`, and so on, so that what a window's tap sees for neighbouring results are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaddedRows {
    window: Window,
    from: Shape,
    to: Shape,
    /// Rows of results in a tile.
    rows: usize,
}

/// Values of a tile, unless that would be too few rows: such that they stay in the nearest cache.
const CACHED_VALUES: usize = 6 * 1024;

/// Tiles that an image has at least, if it has the rows: threads share them.
const TILES: usize = 3;

impl PaddedRows {
    /// For windows over an image of shape `from`, with results of shape `to`.
    pub(super) fn new(window: Window, from: Shape, to: Shape) -> Self {
        let mut padded = Self { window, from, to, rows: to.height };
        // Tiles end with a whole block.
        let unit = (1..=PIXEL_BLOCK).find(|rows| (rows * to.width).is_multiple_of(PIXEL_BLOCK)).unwrap_or(PIXEL_BLOCK);
        if unit < to.height {
            let most = (CACHED_VALUES / padded.row_stride()).min(to.height.div_ceil(TILES));
            padded.rows = (most / unit * unit).clamp(unit, to.height.next_multiple_of(unit));
        }
        padded
    }

    /// Checks that it equals what [`PaddedRows::new`] makes for these results.
    pub(super) fn check(&self, to: Shape) -> Checked {
        let Self { window, from, .. } = *self;
        check::window(&window, from, to)?;
        let [down, right] = window.stride;
        let [high, wide] = window.span();
        let rows = product(&[to.height + PIXEL_BLOCK, down])?.saturating_add(high);
        product(&[4, rows, right, to.width.saturating_add(wide)])?;
        let made = Self::new(window, from, to);
        ensure(made == *self, "rows that do not fit their window")?;
        product(&[4, made.raw_pixels()]).map(drop)
    }

    /// The image.
    pub(super) fn from(&self) -> Shape {
        self.from
    }

    /// Pixels of a tile.
    pub(super) fn tile_len(&self) -> usize {
        (self.rows * self.to.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// Rows of results of the tile that begins at row `first`.
    pub(super) fn results(&self, first: usize) -> usize {
        self.rows.min(self.to.height - first)
    }

    /// Results of a row.
    pub(super) fn width(&self) -> usize {
        self.to.width
    }

    /// Pixels of a part of a row.
    fn part_len(&self) -> usize {
        self.to.width + reach(&self.window)[1] / self.window.stride[1]
    }

    /// Parts of a row in which a window looks.
    fn parts(&self) -> usize {
        self.window.stride[1].min(self.window.span()[1])
    }

    /// Values of a row.
    fn row_len(&self) -> usize {
        4 * self.parts() * self.part_len()
    }

    /// Values from those of a row of results to those of the next.
    pub(super) fn row_stride(&self) -> usize {
        self.window.stride[0] * self.row_len()
    }

    /// The offset of a tap of the window.
    pub(super) fn offset(&self, [row, column]: [usize; 2]) -> usize {
        let (row, column) = (row * self.window.dilation[0], column * self.window.dilation[1]);
        let right = self.window.stride[1];
        row * self.row_len() + 4 * (column % right * self.part_len() + column / right)
    }

    /// Values of a tile. Behind the last row there is room to read whole vectors.
    pub(super) fn len(&self) -> usize {
        ((self.rows - 1) * self.window.stride[0] + self.window.span()[0]) * self.row_len() + 4 * PIXEL_BLOCK
    }

    /// Pixels of the rows that [`PaddedRows::fill`] takes.
    pub(super) fn raw_pixels(&self) -> usize {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.span()[0];
        (rows.min(self.from.height) * self.from.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// The first input row of the tile of results that begins at row `first`, and the number of input rows.
    pub(super) fn rows_read(&self, first: usize) -> (usize, usize) {
        rows_read(&self.window, self.from.height, (first, self.results(first)))
    }

    /// Fills `out` for the results from row `first` on; `raw` holds the rows [`PaddedRows::rows_read`].
    pub(super) fn fill(&self, first: usize, raw: &[f32], out: &mut [f32]) {
        let Window { stride: [down, right], padding: [top, left, ..], border, .. } = self.window;
        let (begin, _) = self.rows_read(first);
        let rows = (self.results(first) - 1) * down + self.window.span()[0];
        let part_len = self.part_len();
        for (row, out) in out.chunks_exact_mut(self.row_len()).take(rows).enumerate() {
            let Some(y) = border.place(first * down + row, top, self.from.height) else {
                out.fill(0.0);
                continue;
            };
            let raw = &raw[4 * (y - begin) * self.from.width..][..4 * self.from.width];
            for (part, out) in out.chunks_exact_mut(4 * part_len).enumerate() {
                Taps::new([part, left, right], self.from.width, part_len).copy(raw, out, border, 0.0);
            }
        }
    }
}
