//! Input for windows that cannot read a segment in place: the input is copied so that each column of the window has planes of
//! its own, padding included, split by the vertical stride's phase.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, ensure, product, work};
use super::segments::reach;
use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{Border, Shape, Window};

/// The input of some rows of results: planes `[row % stride][column of the window][planes read]`, each row with a pixel for
/// each result. The input of a window's row begins a number of rows further down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Im2Row {
    window: Window,
    from: Shape,
    to: Shape,
    /// Number of planes that are read.
    planes: usize,
    /// Rows of results in a tile.
    pub(super) rows: usize,
    /// Values from one plane to the next.
    pub(super) plane_stride: usize,
}

impl Im2Row {
    /// For windows over `planes` planes of shape `from`, with results of shape `to`; a tile has about `most` values.
    pub(super) fn new(window: Window, from: Shape, to: Shape, planes: usize, most: usize) -> Self {
        let mut im2row = Self { window, from, to, planes, rows: to.height, plane_stride: 0 };
        // Tiles end with a whole block.
        let unit = (1..=PIXEL_BLOCK).find(|rows| (rows * to.width).is_multiple_of(PIXEL_BLOCK)).unwrap_or(PIXEL_BLOCK);
        if unit < to.height {
            let row = 4 * to.width * im2row.planes_expanded();
            im2row.rows = (most / row / unit * unit).clamp(unit, to.height.next_multiple_of(unit));
        }
        let rows = im2row.rows + reach(&window)[0] / window.stride[0];
        // The last block of a tile may reach behind it.
        let values = 4 * (rows * to.width + PIXEL_BLOCK);
        im2row.plane_stride = values.div_ceil(64) / 2 * 128 + 64;
        im2row
    }

    /// Checks that it equals what [`Im2Row::new`] makes for these arguments.
    pub(super) fn check(&self, to: Shape, planes: usize, most: usize) -> Checked {
        let Self { window, from, .. } = *self;
        check::window(&window, from, to)?;
        let [down, _] = window.stride;
        let expanded = product(&[down.min(window.span()[0]), window.kernel[1], planes])?;
        let rows = to.height.next_multiple_of(PIXEL_BLOCK);
        product(&[rows, down])?;
        // The input of a tile's last rows, and the last block, extend beyond it.
        let rows = rows + reach(&window)[0] / down;
        product(&[4, rows + PIXEL_BLOCK, to.width + PIXEL_BLOCK])?;
        product(&[expanded, 4, to.width])?;
        let made = Self::new(window, from, to, planes, most);
        ensure(made == *self, "an im2row buffer that does not fit its window")?;
        product(&[expanded, made.plane_stride])?;
        product(&[4, planes, made.raw_pixels()]).map(drop)
    }

    /// Approximate number of values copied for one image.
    pub(super) fn work(&self) -> u64 {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.span()[0];
        let parts = self.to.height.div_ceil(self.rows);
        work(&[4, parts, rows, self.window.kernel[1], self.planes, self.to.width])
    }

    /// Pixels of a plane that are read, for all tiles together.
    pub(super) fn pixels_read(&self) -> usize {
        self.to.height.div_ceil(self.rows).saturating_mul(self.raw_pixels())
    }

    /// The image.
    pub(super) fn from(&self) -> Shape {
        self.from
    }

    fn phases(&self) -> usize {
        self.window.stride[0].min(self.window.span()[0])
    }

    fn planes_expanded(&self) -> usize {
        self.phases() * self.window.kernel[1] * self.planes
    }

    /// Values of all planes.
    pub(super) fn len(&self) -> usize {
        self.planes_expanded() * self.plane_stride
    }

    /// Pixels of a tile.
    pub(super) fn tile_len(&self) -> usize {
        (self.rows * self.to.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// Pixels from one plane to the next of the rows that [`Im2Row::fill`] takes.
    pub(super) fn raw_pixels(&self) -> usize {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.span()[0];
        (rows.min(self.from.height) * self.from.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// The offset of a tap of the window for a plane that is read.
    pub(super) fn offset(&self, [row, column]: [usize; 2], plane: usize) -> usize {
        let (down, row) = (self.window.stride[0], row * self.window.dilation[0]);
        let expanded = (row % down * self.window.kernel[1] + column) * self.planes + plane;
        expanded * self.plane_stride + 4 * self.to.width * (row / down)
    }

    /// The first input row of the tile of results that begins at row `first`, and the number of input rows.
    pub(super) fn rows_read(&self, first: usize) -> (usize, usize) {
        rows_read(&self.window, self.from.height, (first, self.rows.min(self.to.height - first)))
    }

    /// Fills `out` for the results from row `first` on. `raw` holds the rows [`Im2Row::rows_read`] of each plane, `raw_pitch`
    /// values apart; `padding` is the value around each plane's image.
    pub(super) fn fill<T: Copy>(
        &self,
        first: usize,
        raw: &[T],
        raw_pitch: usize,
        padding: impl Fn(usize) -> T,
        out: &mut [T],
    ) {
        let Window { kernel, stride: [down, right], padding: [top, left, ..], dilation, border } = self.window;
        let (begin, _) = self.rows_read(first);
        let rows = (self.rows.min(self.to.height - first) - 1) * down + self.window.span()[0];
        for plane in 0..self.planes {
            let padding = padding(plane);
            for column in 0..kernel[1] {
                let taps = Taps::new([column * dilation[1], left, right], self.from.width, self.to.width);
                for row in 0..rows {
                    if row % down >= self.phases() {
                        continue; // No window looks there.
                    }
                    let expanded = (row % down * kernel[1] + column) * self.planes + plane;
                    let at = expanded * self.plane_stride + 4 * self.to.width * (row / down);
                    let out = &mut out[at..at + 4 * self.to.width];
                    match border.place(first * down + row, top, self.from.height) {
                        None => out.fill(padding),
                        Some(y) => {
                            let start = plane * raw_pitch + 4 * (y - begin) * self.from.width;
                            taps.copy(&raw[start..start + 4 * self.from.width], out, border, padding);
                        }
                    }
                }
            }
        }
    }
}

/// The first row that windows look at in an image of so many rows, and the number of rows, for `rows` rows of results from row `first` on.
pub(super) fn rows_read(window: &Window, height: usize, (first, rows): (usize, usize)) -> (usize, usize) {
    let top = window.padding[0];
    let begin = first * window.stride[0];
    let end = begin + (rows - 1) * window.stride[0] + window.span()[0];
    if window.border == Border::Reflect {
        let seen = || (begin..end).filter_map(|row| window.border.place(row, top, height));
        let (begin, last) = (seen().min().unwrap_or(0), seen().max().unwrap_or(0));
        return (begin, last + 1 - begin);
    }
    let (begin, end) = (begin.saturating_sub(top), end.saturating_sub(top).min(height));
    (begin.min(end), end - begin.min(end))
}

/// The taps of one column of a window, for a row of results.
pub(super) struct Taps {
    column: usize,
    left: usize,
    right: usize,
    /// The first result whose tap is inside the row.
    begin: usize,
    /// The first result whose tap is behind it.
    end: usize,
}

impl Taps {
    /// For the tap `column`, behind a padding of `left` pixels, with a stride of `right`: rows of `width` pixels, `results` results.
    pub(super) fn new([column, left, right]: [usize; 3], width: usize, results: usize) -> Self {
        let begin = left.saturating_sub(column).div_ceil(right).min(results);
        let end = (width + left).saturating_sub(column).div_ceil(right).clamp(begin, results);
        Self { column, left, right, begin, end }
    }

    /// Copies the pixel that each result's tap sees.
    pub(super) fn copy<T: Copy>(&self, raw: &[T], out: &mut [T], border: Border, padding: T) {
        let &Self { column, left, right, begin, end } = self;
        let (raw, out) = (raw.as_chunks::<4>().0, out.as_chunks_mut::<4>().0);
        match border {
            Border::Zero | Border::Absent => {
                out[..begin].fill([padding; 4]);
                out[end..].fill([padding; 4]);
            }
            Border::Reflect => {
                for place in (0..begin).chain(end..out.len()) {
                    let seen = border.place(place * right + column, left, raw.len());
                    out[place] = seen.map_or([padding; 4], |x| raw[x]);
                }
            }
        }
        if begin == end {
            return;
        }
        let raw = &raw[begin * right + column - left..];
        match right {
            1 => out[begin..end].copy_from_slice(&raw[..end - begin]),
            _ => out[begin..end].iter_mut().zip(raw.iter().step_by(right)).for_each(|(out, raw)| *out = *raw),
        }
    }
}
