//! Sums and products of two operands in f32, plane by plane.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure};
use super::gather::Gather;
use super::input::tile_len;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::prologue::Element;
use super::segments::read_lanes;
use crate::kernels::{Kernels, PIXEL_BLOCK, PlanesMut};
use crate::model::fused::{Layer, OpKind, Read};

/// What is done with each pair of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Combination {
    Sum,
    Product,
}

/// Combines two operands. Results have the lanes of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Combine {
    combination: Combination,
    first: Gather<f32>,
    second: Gather<f32>,
    /// For each plane the lanes of the second operand that meet the four lanes of the first; `None` where that holds no channel.
    lanes: Vec<[Option<usize>; 4]>,
    /// Whether the second operand has one value for each channel.
    single: bool,
}

/// Planes that a tile takes in the cache: results, the second operand, and what its lanes are picked from.
const PLANES: usize = 3;

impl Combine {
    /// The operator for a layer with these operands, and the pixels of a tile.
    pub(super) fn new(
        lowering: Lowering<'_>,
        layer: &Layer,
        [first, second]: [&[Read]; 2],
        combination: Combination,
    ) -> (Self, usize) {
        let gather = |reads| Gather::new(reads, lowering.segments, lowering.places);
        let (meets, single) = (read_lanes(second, lowering.segments), lowering.segments[second[0].segment].shape);
        let (first_gather, second) = (gather(first), gather(second));
        let mut lanes = vec![[None; 4]; first_gather.planes()];
        for (lane, meets) in read_lanes(first, lowering.segments).into_iter().zip(meets) {
            lanes[lane / 4][lane % 4] = Some(meets);
        }
        let single = single.area() == 1 && layer.output.area() > 1;
        (Self { combination, first: first_gather, second, lanes, single }, tile_len::<f32>(layer, 4 * PLANES))
    }

    /// Reads the second operand's values for a plane, in the lanes of the first: `pixels` pixels from pixel `first` on. `plane` has
    /// room for a plane.
    fn read_second(
        &self,
        tile: Tile<'_>,
        lanes: &[Option<usize>; 4],
        (first, pixels): (usize, usize),
        (out, plane): (&mut [f32], &mut [f32]),
    ) {
        let read = |number: usize, out: &mut [f32]| {
            self.second.read(tile.kernels, tile.sources, (first, pixels), number..number + 1, out, 4 * pixels);
        };
        if let Some(number) = in_order(lanes) {
            return read(number, out);
        }
        let out = out[..4 * pixels].as_chunks_mut::<4>().0;
        let mut held = None;
        for (lane, meets) in lanes.iter().enumerate() {
            let Some(meets) = meets else {
                out.iter_mut().for_each(|four| four[lane] = 0.0);
                continue;
            };
            if held != Some(meets / 4) {
                held = Some(meets / 4);
                read(meets / 4, plane);
            }
            out.iter_mut().zip(plane.as_chunks::<4>().0).for_each(|(out, four)| out[lane] = four[meets % 4]);
        }
    }
}

/// The plane whose lanes these are, in order; lanes without a channel may be any.
fn in_order(lanes: &[Option<usize>; 4]) -> Option<usize> {
    let plane = lanes.iter().flatten().next()? / 4;
    lanes.iter().enumerate().all(|(at, lane)| lane.is_none_or(|lane| lane == 4 * plane + at)).then_some(plane)
}

impl Operator for Combine {
    fn is(&self, info: &LayerInfo) -> bool {
        let op = match self.combination {
            Combination::Sum => OpKind::Add,
            Combination::Product => OpKind::Multiply,
        };
        info.op == op && info.macs == 0
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Tiling { shape, tile_len } = *tiling;
        check::parts(shape, tile_len)?;
        let planes = self.first.check(memory, blocks(shape))?;
        let read = if self.single { PIXEL_BLOCK } else { blocks(shape) };
        let others = self.second.check(memory, read)?;
        ensure(self.lanes.len() == planes && shape.channels <= 4 * planes, "planes of other results")?;
        ensure(self.lanes.iter().flatten().flatten().all(|lane| lane / 4 < others), "lanes of no plane")?;
        // In the worst case a plane of the second operand is read for each lane, by each tile.
        let tiles = blocks(shape).div_ceil(tile_len);
        let read = if self.single { PIXEL_BLOCK.saturating_mul(tiles) } else { blocks(shape) };
        let second = self.second.work(read).saturating_mul(4 * planes.div_ceil(others) as u64);
        Ok(self.first.work(blocks(shape)).saturating_add(second))
    }

    fn planes(&self) -> usize {
        self.lanes.len()
    }

    fn planes_at_once(&self) -> usize {
        1
    }

    fn scratch(&self, tiling: &Tiling) -> ScratchSize {
        f32::scratch_size((4 * tiling.tile_len, 4 * tiling.tile_len))
    }
}

impl Compute<f32> for Combine {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Tile { kernels, sources, first, pixels, .. } = tile;
        for (at, number) in planes.enumerate() {
            let (second, plane) = f32::scratch(scratch);
            let out = &mut out.plane(at)[..4 * pixels];
            self.first.read(kernels, sources, (first, pixels), number..number + 1, out, 4 * pixels);
            let seen = if self.single { (0, PIXEL_BLOCK) } else { (first, pixels) };
            self.read_second(tile, &self.lanes[number], seen, (&mut *second, plane));
            let second = &*second;
            kernels.vectorize(
                #[inline(always)]
                || match self.combination {
                    Combination::Sum => each(out, second, self.single, |a, b| a + b),
                    Combination::Product => each(out, second, self.single, |a, b| a * b),
                },
            );
        }
    }
}

/// Combines each value of a plane with its own in `second`, or with that of its channel.
#[inline(always)]
fn each(out: &mut [f32], second: &[f32], single: bool, combine: impl Fn(f32, f32) -> f32) {
    if !single {
        return out.iter_mut().zip(second).for_each(|(out, other)| *out = combine(*out, *other));
    }
    // As many values as the compiler makes vectors of.
    const LANES: usize = 4 * PIXEL_BLOCK;
    let other: [f32; LANES] = std::array::from_fn(|at| second[at % 4]);
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    blocks.iter_mut().for_each(|block| {
        block.iter_mut().zip(&other).for_each(|(out, other)| *out = combine(*out, *other));
    });
    rest.iter_mut().zip(&other).for_each(|(out, other)| *out = combine(*out, *other));
}
