//! How threads share a layer: its tiles, made with the memory for a number of threads. [`divide`](super::divide) makes them.

use crate::kernels::{ThreadPool, TilePlace, Tiles};

/// How threads share a layer.
#[derive(Debug)]
pub(super) struct Sharing {
    tiles: Tiles,
    /// Whether one thread does it, as the others would take longer to begin.
    alone: bool,
}

/// A layer of fewer instructions is done by one thread: it takes less time than waking others and waiting for them.
const ALONE: u64 = 6000;

/// Whether a layer is so short; in tests none is, as theirs are small.
pub(super) fn is_short(cost: u64) -> bool {
    !cfg!(test) && cost <= ALONE
}

impl Sharing {
    /// With these tiles, by one thread or by several.
    pub(super) fn new(tiles: Tiles, alone: bool) -> Self {
        Self { tiles, alone }
    }

    /// By several threads, each of which has about as many pixels of all planes, a multiple of `unit`; `cost` is that of all.
    pub(super) fn of_pixels(threads: usize, planes: usize, pixels: usize, cost: u64, unit: usize) -> Self {
        let alone = threads == 1 || is_short(cost);
        let len = if alone { pixels } else { pixels.div_ceil(threads).next_multiple_of(unit) };
        let mut tiles = in_tiles(planes, pixels, len);
        tiles.share(threads, |place: &TilePlace| place.pixels.len() as u64);
        Self { tiles, alone }
    }

    /// The tiles.
    pub(super) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// Calls `work` with the number of each thread that has a share.
    pub(super) fn run(&self, thread_pool: &mut ThreadPool, work: &(dyn Fn(usize) + Sync)) {
        if self.alone { work(0) } else { thread_pool.run(work) }
    }
}

/// Tiles of `len` pixels and all planes.
pub(super) fn in_tiles(planes: usize, pixels: usize, len: usize) -> Tiles {
    let mut tiles = Tiles::new(planes);
    (0..pixels).step_by(len).for_each(|first| tiles.push(len.min(pixels - first), &[]));
    tiles
}
