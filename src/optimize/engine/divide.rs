//! Divides a layer into tiles, for a number of threads.
//!
//! A layer's results are a line of blocks of pixels, each with all its planes. The line is cut into as many pieces as there are threads, which take
//! about equally long. A cut inside a block divides its planes; the input of that block is read on both sides, so there are no more such blocks
//! than cuts. Pieces are tiles: those of whole blocks, and those that have some planes of a block. Each thread takes the tiles of its piece, then those
//! that others have not begun: a slow core ends up with less.

use std::ops::Range;

use super::operator::{Operator, Tiling};
use super::sharing::{Sharing, in_tiles, is_short};
use crate::kernels::{Kernels, TilePlace, Tiles};
use crate::model::fused::Shape;

/// What beginning and ending a tile takes, in instructions.
const TILE_COST: u64 = 400;

/// Blocks of so many units of pixels are tried.
const BLOCKS: [usize; 5] = [1, 3, 2, 4, 6];

/// Pixels of a layer's results, up to which they are computed.
pub(super) fn results_len(shape: Shape, kernels: Kernels) -> usize {
    shape.area().next_multiple_of(kernels.pixel_multiple())
}

/// By one thread, which takes so many tiles at a time.
pub(super) fn alone(operator: &dyn Operator, tiling: &Tiling, kernels: Kernels, together: usize) -> Sharing {
    let pixels = results_len(tiling.shape, kernels);
    Sharing::new(in_tiles(operator.planes(), pixels, tiling.tile_len.saturating_mul(together)), true)
}

/// By several threads.
pub(super) fn among(threads: usize, operator: &dyn Operator, tiling: &Tiling, kernels: Kernels) -> Sharing {
    let pixels = results_len(tiling.shape, kernels);
    let line = Line { operator, tiling, kernels, pixels, cuts: operator.cuts() };
    let whole = in_tiles(operator.planes(), pixels, tiling.tile_len);
    let all = whole.places().iter().map(|place| line.cost(place)).sum::<u64>();
    if is_short(all) {
        return Sharing::new(whole, true);
    }
    let unit = operator.tile_unit(kernels).unwrap_or(tiling.tile_len);
    let (least, mut best) = (all / threads as u64, None);
    let shorter = BLOCKS.into_iter().map(|units| units * unit).filter(|&block| block < tiling.tile_len);
    for block in shorter.chain([tiling.tile_len]) {
        let tiles = line.tiles(&line.pieces(threads, block, least), threads);
        let busiest = busiest(&tiles, |place| line.cost(place));
        if best.as_ref().is_none_or(|(most, _)| busiest < *most) {
            best = Some((busiest, tiles));
        }
        if busiest <= least + least / 128 {
            break;
        }
    }
    Sharing::new(best.map_or(whole, |(_, tiles)| tiles), false)
}

/// What the busiest thread does.
fn busiest(tiles: &Tiles, cost: impl Fn(&TilePlace) -> u64) -> u64 {
    tiles.shares().map(|share| share.iter().map(&cost).sum()).max().unwrap_or(0)
}

/// Pixels, and the planes behind which they are divided.
struct Column {
    pixels: usize,
    cuts: Vec<usize>,
}

/// The line of a layer's results.
struct Line<'a> {
    operator: &'a dyn Operator,
    tiling: &'a Tiling,
    kernels: Kernels,
    pixels: usize,
    /// Planes behind which results can be divided.
    cuts: Vec<usize>,
}

impl Line<'_> {
    fn cost(&self, place: &TilePlace) -> u64 {
        self.tile_cost(place.pixels.len(), place.planes.clone())
    }

    fn tile_cost(&self, pixels: usize, planes: Range<usize>) -> u64 {
        self.operator.cost(self.kernels, self.tiling, pixels, planes).saturating_add(TILE_COST)
    }

    /// Pixels of tiles, multiples of `block` but for the last, with which `blocks` blocks from pixel `first` on are computed.
    fn run(&self, block: usize, first: usize, blocks: usize) -> impl Iterator<Item = usize> {
        let most = self.tiling.tile_len / block;
        let len = block * blocks.div_ceil(blocks.div_ceil(most).max(1));
        let end = (first + block * blocks).min(self.pixels);
        (first..end).step_by(len.max(1)).map(move |begin| len.min(end - begin))
    }

    /// What they take.
    fn run_cost(&self, block: usize, first: usize, blocks: usize) -> u64 {
        let (mut last, mut cost, planes) = (0, 0, self.operator.planes());
        self.run(block, first, blocks)
            .map(|len| {
                if len != last {
                    (last, cost) = (len, self.tile_cost(len, 0..planes));
                }
                cost
            })
            .sum()
    }

    /// The greatest number up to `most` for which `fits` holds, as it does for all below.
    fn greatest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, most);
        while low < high {
            let middle = high - (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// Pieces for each of the threads, of blocks of so many pixels, the longest of which takes as little as possible, but not less than `least`.
    fn pieces(&self, threads: usize, block: usize, least: u64) -> Vec<Column> {
        let mut most = least.max(1);
        loop {
            if let Some(columns) = self.filled(threads, block, most) {
                return columns;
            }
            most += most / 64 + 1;
        }
    }

    /// The whole line in pieces, none of which takes more than `most`; `None` if it takes more threads.
    fn filled(&self, threads: usize, block: usize, most: u64) -> Option<Vec<Column>> {
        let (planes, mut columns, mut first) = (self.operator.planes(), Vec::new(), 0);
        // The planes of the block at `first` that earlier pieces have.
        let mut open: Vec<usize> = Vec::new();
        for _ in 0..threads {
            let mut left = most;
            if let Some(&begun) = open.last() {
                let pixels = block.min(self.pixels - first);
                let end = self.furthest(pixels, begun, left);
                if end < planes {
                    open.extend((end > begun).then_some(end));
                    continue;
                }
                left -= self.tile_cost(pixels, begun..end);
                columns.push(Column { pixels, cuts: std::mem::take(&mut open) });
                first += pixels;
            }
            let blocks = (self.pixels - first).div_ceil(block);
            let whole = Self::greatest(blocks, |blocks| self.run_cost(block, first, blocks) <= left);
            left -= self.run_cost(block, first, whole);
            columns.extend(self.run(block, first, whole).map(|pixels| Column { pixels, cuts: Vec::new() }));
            first = (first + block * whole).min(self.pixels);
            if first == self.pixels {
                return Some(columns);
            }
            let end = self.furthest(block.min(self.pixels - first), 0, left);
            open.extend((0 < end && end < planes).then_some(end));
        }
        None
    }

    /// The last plane up to which a tile that begins at plane `begun` takes no more than `left`; `begun` if it takes more with any.
    fn furthest(&self, pixels: usize, begun: usize, left: u64) -> usize {
        let cuts = &self.cuts[self.cuts.partition_point(|&cut| cut <= begun)..];
        let fitting =
            Self::greatest(cuts.len(), |count| count == 0 || self.tile_cost(pixels, begun..cuts[count - 1]) <= left);
        fitting.checked_sub(1).map_or(begun, |last| cuts[last])
    }

    /// The tiles of pieces, of which each thread has one.
    fn tiles(&self, columns: &[Column], threads: usize) -> Tiles {
        let mut tiles = Tiles::new(self.operator.planes());
        columns.iter().for_each(|column| tiles.push(column.pixels, &column.cuts));
        tiles.share(threads, |place| self.cost(place));
        tiles
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Checked, Readable};
    use super::super::layer_info::LayerInfo;
    use super::super::memory::ScratchSize;
    use super::*;

    /// A layer that reads `read` instructions' worth for a pixel, and computes `planes` planes of 100 instructions a pixel; groups of `together`
    /// can be computed apart.
    struct Fake {
        read: u64,
        planes: usize,
        together: usize,
    }

    impl Operator for Fake {
        fn is(&self, _: &LayerInfo) -> bool {
            true
        }

        fn check(&self, _: Kernels, _: &Readable, _: &Tiling) -> Checked<u64> {
            Ok(0)
        }

        fn planes(&self) -> usize {
            self.planes
        }

        fn planes_at_once(&self) -> usize {
            self.planes
        }

        fn scratch(&self, _: &Tiling) -> ScratchSize {
            ScratchSize::default()
        }

        fn tile_unit(&self, _: Kernels) -> Option<usize> {
            Some(8)
        }

        fn cuts(&self) -> Vec<usize> {
            (1..=self.planes).filter(|&plane| plane == self.planes || plane.is_multiple_of(self.together)).collect()
        }

        fn cost(&self, _: Kernels, _: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
            pixels as u64 * (self.read + 100 * planes.len() as u64)
        }
    }

    fn among(threads: usize, fake: &Fake, side: usize, tile_len: usize) -> Sharing {
        let tiling = Tiling { shape: Shape { channels: 4 * fake.planes, height: side, width: side }, tile_len };
        super::among(threads, fake, &tiling, Kernels::scalar())
    }

    /// How much more than an equal share the busiest thread does, in percent of it.
    fn excess(threads: usize, fake: &Fake, side: usize, tile_len: usize) -> u64 {
        let sharing = among(threads, fake, side, tile_len);
        let cost = |pixels: usize, planes: usize| pixels as u64 * (fake.read + 100 * planes as u64);
        let busiest = busiest(sharing.tiles(), |place| cost(place.pixels.len(), place.planes.len()));
        (busiest * threads as u64 * 100 / cost(side * side, fake.planes)).saturating_sub(100)
    }

    #[test]
    fn blocks_that_do_not_divide_evenly_are_divided_by_planes() {
        let fake = Fake { read: 160, planes: 32, together: 1 };
        // 25 blocks are computed for 24.5; 7 for 6.125.
        for (side, tile_len, rounded) in [(56, 256, 0), (28, 208, 0), (14, 112, 2), (7, 64, 15)] {
            for threads in 1..=6 {
                let excess = excess(threads, &fake, side, tile_len);
                assert!(excess <= rounded + 5, "{side}, {threads} threads: {excess} %");
            }
        }
        // One pixel, as in a network's head.
        assert_eq!(among(4, &Fake { read: 0, planes: 250, together: 1 }, 1, 16).tiles().places().len(), 4);
    }

    #[test]
    fn planes_stay_together_where_they_cannot_be_cut() {
        let fake = Fake { read: 160, planes: 11, together: 3 };
        for place in among(4, &fake, 7, 64).tiles().places() {
            assert!(place.planes.start.is_multiple_of(3), "{place:?}");
            assert!(place.planes.end == 11 || place.planes.end.is_multiple_of(3), "{place:?}");
        }
        let whole = Fake { read: 160, planes: 11, together: 11 };
        assert!(among(4, &whole, 7, 64).tiles().places().iter().all(|place| place.planes == (0..11)));
    }

    /// Where reading takes long, planes are not divided: each part would read again.
    #[test]
    fn what_is_read_twice_counts() {
        let cut = |read: u64| {
            let sharing = among(4, &Fake { read, planes: 8, together: 1 }, 14, 112);
            sharing.tiles().places().iter().filter(|place| place.planes.len() < 8).count()
        };
        assert!(cut(10) > 0);
        assert_eq!(cut(100_000), 0);
    }

    #[test]
    fn all_pixels_of_all_planes_are_in_one_tile() {
        for (threads, side, tile_len, planes, together) in
            [(2, 1, 16, 1, 1), (3, 9, 32, 5, 2), (5, 30, 256, 32, 3), (64, 7, 64, 9, 1), (4, 14, 208, 250, 250)]
        {
            let sharing = among(threads, &Fake { read: 50, planes, together }, side, tile_len);
            let mut seen =
                vec![0; planes * results_len(Shape { channels: 1, height: side, width: side }, Kernels::scalar())];
            for TilePlace { pixels, planes: range } in sharing.tiles().places() {
                assert!(pixels.len() <= tile_len && pixels.start.is_multiple_of(8), "{pixels:?}");
                pixels.clone().for_each(|pixel| range.clone().for_each(|plane| seen[pixel * planes + plane] += 1));
            }
            assert!(seen.iter().all(|&times| times == 1), "{threads}, {side}");
        }
    }
}
