//! A lowered layer: an operator, its tiles, and the epilogue.
//!
//! A tile's input stays in the cache until it is used; threads take the tiles from a queue.

use std::ops::Range;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::divide::{self, results_len};
use super::layer_info::LayerInfo;
use super::memory::{Memory, Scratch, ScratchSize, Sources, SplitBorrow, own};
use super::memory_plan::Placement;
use super::operator::{Tile, Tiling};
use super::results::Results;
use super::sharing::Sharing;
use crate::kernels::{Blob, Kernels, PlanesMut, ThreadPool, TileMut, TileQueue};

/// A lowered layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Task {
    results: Results,
    to: Placement,
    tiling: Tiling,
}

impl Task {
    /// A task that writes these results to the segment at `to`.
    pub(super) fn new(results: Results, to: Placement, tiling: Tiling) -> Self {
        Self { results, to, tiling }
    }

    /// Checks that `info` describes it and that `kernels` can run it in `arena`; returns its approximate multiply-adds.
    pub(super) fn check(&self, kernels: Kernels, arena: (usize, usize), info: &LayerInfo) -> Checked<u64> {
        let Self { results, to, tiling } = self;
        let (operator, f32_results) = (results.operator(), matches!(results, Results::F32(_)));
        ensure(operator.is(info), "a layer that is described as another")?;
        check::shape(tiling.shape)?;
        to.check(if f32_results { arena.1 } else { arena.0 }, tiling.shape)?;
        let planes = operator.planes();
        product(&[4, planes, operator.planes_at_once(), tiling.tile_len])?;
        let memory = Readable::all(arena).but(f32_results, to.range());
        let mut all = operator.check(kernels, &memory, tiling)?;
        ensure(info.macs <= all, "a layer that is described as another")?;
        if let Some(halo) = results.halo() {
            halo.check(to, planes, tiling.shape)?;
            all = all.saturating_add(halo.work());
        } else {
            ensure(to.planes == planes, "planes of other results")?;
        }
        Ok(all.saturating_add(work(&[4, planes, blocks(tiling.shape), 1 + results.affines(planes)?])))
    }

    /// The scratch that a thread needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        let (operator, tiling) = (self.results.operator(), &self.tiling);
        operator.scratch(tiling).max(self.results.scratch(4 * operator.planes_at_once() * tiling.tile_len))
    }

    /// Its weights, which are stored apart.
    pub(super) fn blobs(&mut self) -> Vec<Blob<'_>> {
        self.results.operator_mut().blobs()
    }

    /// How it is computed.
    pub(super) fn algorithm(&self) -> &'static str {
        self.results.operator().algorithm()
    }

    /// How so many threads share it.
    pub(super) fn sharing(&self, kernels: Kernels, threads: usize) -> Sharing {
        let (operator, tiling) = (self.results.operator(), &self.tiling);
        match threads {
            1 => divide::alone(operator, tiling, kernels, self.results.tiles_together(tiling)),
            threads => divide::among(threads, operator, tiling, kernels),
        }
    }

    /// Runs it. `number` is its own among the engine's tasks, whose memory it is.
    pub(super) fn run(&self, number: usize, memory: &mut Memory) {
        let Memory { kernels, bytes, floats, scratches, thread_pool, sharings, .. } = memory;
        let threads = Threads { kernels: *kernels, thread_pool, scratches, sharing: &sharings[number] };
        let (bytes, floats) = (bytes.values(), floats.values());
        match &self.results {
            Results::Quantized(results) => {
                let (out, rest) = SplitBorrow::split(bytes, self.to.range());
                if let Some(halo) = results.halo() {
                    halo.write_around(out, self.to.plane_stride);
                }
                let sources = Sources { bytes: rest, floats: SplitBorrow::whole(floats) };
                self.run_tiles(threads, sources, out, |tile, planes, scratch, part| {
                    results.run(tile, planes, scratch, part)
                });
            }
            Results::F32(results) => {
                let (out, rest) = SplitBorrow::split(floats, self.to.range());
                let sources = Sources { bytes: SplitBorrow::whole(bytes), floats: rest };
                self.run_tiles(threads, sources, out, |tile, planes, scratch, part| {
                    results.run(tile, planes, scratch, part)
                });
            }
        }
    }

    /// Runs `compute` on each tile of the segment, whose memory is `out`.
    fn run_tiles<T: Send>(
        &self,
        threads: Threads<'_>,
        sources: Sources<'_>,
        out: &mut [T],
        compute: impl Fn(Tile<'_>, Range<usize>, &mut Scratch, &mut TileMut<'_, T>) + Sync,
    ) {
        let Self { to: Placement { plane_stride, planes, lead, .. }, tiling: Tiling { shape, .. }, .. } = self;
        let Threads { kernels, thread_pool, scratches, sharing } = threads;
        let end = 4 * results_len(*shape, kernels);
        let queue = TileQueue::new(PlanesMut::new(&mut out[*lead..], *planes, *plane_stride, end), sharing.tiles());
        sharing.run(thread_pool, &|index| {
            let mut scratch = own(scratches, index);
            while let Some((place, mut part)) = queue.take(index) {
                let (first, pixels) = (place.pixels.start, place.pixels.len());
                let inside = pixels.min(shape.area() - first);
                let tile = Tile { kernels, sources, first, pixels, inside, row: first / shape.width };
                compute(tile, place.planes.clone(), &mut scratch, &mut part);
            }
        });
    }
}

/// The threads that compute tiles.
struct Threads<'a> {
    kernels: Kernels,
    thread_pool: &'a mut ThreadPool,
    scratches: &'a [Mutex<Scratch>],
    sharing: &'a Sharing,
}
