//! Tiles of a layer's results: each a range of pixels and a range of planes, which threads take from a queue.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CHANNEL_BLOCK, PlanesMut};

/// The place of a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TilePlace {
    /// Its pixels.
    pub pixels: Range<usize>,
    /// Its planes.
    pub planes: Range<usize>,
}

/// A division of planes into tiles, and of those among threads. Each pixel of each plane is in one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tiles {
    /// No two of them overlap: the queue relies on it.
    places: Vec<TilePlace>,
    pixels: usize,
    planes: usize,
    /// The end of each thread's share in `places`.
    ends: Vec<usize>,
}

/// The most shares; further threads have one together with others.
const SHARES: usize = 32;

impl Tiles {
    /// No tiles yet, of planes of no pixels.
    pub fn new(planes: usize) -> Self {
        Self { places: Vec::new(), pixels: 0, planes, ends: Vec::new() }
    }

    /// Appends `pixels` pixels, whose planes are divided at `cuts`.
    ///
    /// # Panics
    /// If there are no pixels, or if cuts do not ascend or are not inside the planes.
    pub fn push(&mut self, pixels: usize, cuts: &[usize]) {
        assert!(pixels > 0 && self.planes > 0, "tiles of nothing");
        let begin = self.pixels;
        self.pixels = begin.checked_add(pixels).expect("pixels that can be counted");
        let mut first = 0;
        for &end in cuts.iter().chain([&self.planes]) {
            assert!(first < end && end <= self.planes, "planes {first} to {end} of {}", self.planes);
            self.places.push(TilePlace { pixels: begin..self.pixels, planes: first..end });
            first = end;
        }
        self.ends = vec![self.places.len()];
    }

    /// Gives each thread a share: tiles that follow one another, and take about as long as those of others.
    pub fn share(&mut self, threads: usize, cost: impl Fn(&TilePlace) -> u64) {
        let shares = threads.clamp(1, SHARES);
        let costs: Vec<u128> = self.places.iter().map(|place| u128::from(cost(place))).collect();
        let all = costs.iter().sum::<u128>().max(1);
        let mut ends = vec![0; shares];
        let mut before = 0;
        for (place, cost) in costs.into_iter().enumerate() {
            // Where its middle is.
            let share = ((2 * before + cost) * shares as u128 / (2 * all)) as usize;
            ends[share.min(shares - 1)] = place + 1;
            before += cost;
        }
        // An empty share ends where the one before does.
        ends.iter_mut().fold(0, |last, end| {
            *end = last.max(*end);
            *end
        });
        self.ends = ends;
    }

    /// The tiles, in order.
    pub fn places(&self) -> &[TilePlace] {
        &self.places
    }

    /// The tiles of each share.
    pub fn shares(&self) -> impl Iterator<Item = &[TilePlace]> {
        (0..self.ends.len()).map(|share| self.of(share))
    }

    fn of(&self, share: usize) -> &[TilePlace] {
        let begin = share.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[begin..self.ends[share]]
    }
}

/// A queue of tiles, which threads take one at a time: at first those of their own share, the same pixels in each layer, so that much of what they
/// read is in their core's cache; then what others have left.
#[derive(Debug)]
pub struct TileQueue<'a, T> {
    results: PlanesMut<'a, T>,
    tiles: &'a Tiles,
    /// The planes of the results and of each of their copies, and elements from one copy to the next.
    copies: usize,
    copy_stride: usize,
    /// How many tiles of each share are taken.
    taken: [AtomicUsize; SHARES],
}

// SAFETY: what threads get from a shared one does not overlap, as `take` gives each tile once.
unsafe impl<T: Send> Sync for TileQueue<'_, T> {}

/// A tile that is to be written: planes of results, and the same planes and pixels of their copies.
#[derive(Debug)]
pub struct TileMut<'a, T> {
    results: PlanesMut<'a, T>,
    copies: usize,
    copy_stride: usize,
}

impl<'a, T> TileQueue<'a, T> {
    /// A queue of `tiles` of `results`, which have their planes and pixels; behind the last plane there may be as many planes for each copy.
    ///
    /// # Panics
    /// If there are other pixels, or other planes.
    pub fn new(results: PlanesMut<'a, T>, tiles: &'a Tiles) -> Self {
        let planes = tiles.planes;
        assert!(planes > 0 && results.planes().is_multiple_of(planes), "tiles of {planes} planes");
        assert_eq!(Some(results.len()), tiles.pixels.checked_mul(CHANNEL_BLOCK), "tiles of other pixels");
        let (copies, copy_stride) = (results.planes() / planes - 1, planes * results.plane_stride());
        Self { results, tiles, copies, copy_stride, taken: [const { AtomicUsize::new(0) }; SHARES] }
    }

    /// The next tile for the thread of that number, and its place. `None` when all are taken.
    pub fn take(&self, thread: usize) -> Option<(&'a TilePlace, TileMut<'_, T>)> {
        let shares = self.tiles.ends.len();
        let place = (0..shares).find_map(|further| self.take_of((thread + further) % shares))?;
        let TilePlace { pixels, planes } = place;
        let begin = planes.start * self.results.plane_stride() + CHANNEL_BLOCK * pixels.start;
        let start = self.results.start().wrapping_add(begin);
        // SAFETY: a tile is inside the planes and pixels of `tiles`, which are those of the results; it is taken once and overlaps no other.
        let results = unsafe { self.results.part(start, planes.len(), CHANNEL_BLOCK * pixels.len()) };
        Some((place, TileMut { results, copies: self.copies, copy_stride: self.copy_stride }))
    }

    /// The next place of a share. No place is given twice: each share's are counted, and shares do not overlap.
    fn take_of(&self, share: usize) -> Option<&'a TilePlace> {
        self.tiles.of(share).get(self.taken[share].fetch_add(1, Ordering::Relaxed))
    }
}

impl<'a, T> TileMut<'a, T> {
    /// The results.
    pub fn results(&mut self) -> &mut PlanesMut<'a, T> {
        &mut self.results
    }

    /// Number of copies.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// A plane of the results to read, and the same of a copy to write.
    ///
    /// # Panics
    /// If there is no such plane or copy.
    pub fn copy(&mut self, plane: usize, copy: usize) -> (&[T], &mut [T]) {
        assert!(copy < self.copies, "copy {copy} of {}", self.copies);
        let (len, place) = (self.results.len(), plane * self.results.plane_stride() + (copy + 1) * self.copy_stride);
        let to = self.results.start().wrapping_add(place);
        let from = self.results.plane(plane);
        // SAFETY: the copies' planes follow those of the results, `copy_stride` apart, and these pixels of them are the tile's alone.
        (from, unsafe { std::slice::from_raw_parts_mut(to, len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three planes and a copy of each, of seven pixels; the last plane has a gap behind it.
    #[test]
    fn tiles_are_taken_once() {
        let mut tiles = Tiles::new(3);
        tiles.push(2, &[]);
        tiles.push(4, &[1, 2]);
        tiles.push(1, &[2]);
        tiles.share(2, |place| (place.pixels.len() * place.planes.len()) as u64);
        // 6 and 4 of 21, then 4, 4, 2 and 1.
        assert_eq!(tiles.ends, [2, 6]);
        let mut buffer = vec![0; 6 * 30];
        let queue = TileQueue::new(PlanesMut::new(&mut buffer, 6, 30, 28), &tiles);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let queue = &queue;
                scope.spawn(move || {
                    while let Some((place, mut tile)) = queue.take(thread) {
                        assert_eq!((tile.results().planes(), tile.copies()), (place.planes.len(), 1));
                        for plane in 0..place.planes.len() {
                            tile.results().plane(plane).iter_mut().for_each(|x| *x += 1);
                            let (from, to) = tile.copy(plane, 0);
                            to.iter_mut().zip(from).for_each(|(to, from)| *to += 2 * from);
                        }
                    }
                });
            }
        });
        assert!((0..3).all(|thread| queue.take(thread).is_none()));
        for (plane, values) in buffer.chunks(30).enumerate() {
            assert!(
                values[..28].iter().all(|&x| x == if plane < 3 { 1 } else { 2 }) && values[28..] == [0; 2],
                "{plane}"
            );
        }
    }

    #[test]
    #[should_panic = "planes 2 to 2"]
    fn cuts_ascend() {
        Tiles::new(3).push(4, &[2, 2]);
    }

    #[test]
    #[should_panic = "tiles of other pixels"]
    fn all_pixels_are_in_a_tile() {
        let mut tiles = Tiles::new(1);
        tiles.push(2, &[]);
        TileQueue::new(PlanesMut::new(&mut [0; 12], 1, 12, 12), &tiles);
    }
}
