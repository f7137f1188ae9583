//! Loads inputs and stores outputs: f32 values in planes of one channel.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::gather::Gather;
use super::layer_info::Traffic;
use super::lowering::Lowering;
use super::memory::{Memory, ScratchSize, Sources, SplitBorrow, TileScratch, own};
use super::memory_plan::Placement;
use super::segments::{Segment, Storage, read_lanes};
use super::sharing::Sharing;
use crate::kernels::{AffineChainF32, ChainInputF32, Kernels, Operand, PIXEL_BLOCK, PlanesMut, QuantType, TileQueue};
use crate::model::fused::{Output, Read, Shape};
use crate::quant::Affine;

/// Loads an input into its segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LoadInput {
    to: Placement,
    shape: Shape,
    planes: usize,
    /// For each channel the affines that quantize four of its pixels at a time.
    qvalues: Option<(Vec<AffineChainF32>, QuantType)>,
}

/// Pixels that are loaded at a time.
const PART: usize = 64 * PIXEL_BLOCK;

impl LoadInput {
    /// Loads this segment.
    pub(super) fn new(segment: &Segment, to: Placement) -> Self {
        let qvalues = match segment.kind {
            Storage::F32 => None,
            Storage::Quantized(qvalues) => Some(qvalues),
        };
        let four = |channel: usize| {
            let repeat = |values: &[f32]| vec![values[channel]; 4];
            let affine =
                |affine: &Affine| Affine { mul: repeat(&affine.mul), add: repeat(&affine.add), ..affine.clone() };
            AffineChainF32::new(4, &segment.loading.iter().map(affine).collect::<Vec<_>>())
        };
        let chains = (0..segment.shape.channels).map(four).collect();
        Self { to, shape: segment.shape, planes: segment.planes, qvalues: qvalues.map(|qvalues| (chains, qvalues)) }
    }

    /// Checks that it can be run in `arena` on values of this shape; returns its approximate multiply-adds.
    pub(super) fn check(&self, input: Shape, arena: (usize, usize)) -> Checked<u64> {
        let Self { to, shape, planes, qvalues } = self;
        check::shape(*shape)?;
        ensure(*shape == input && shape.channels.div_ceil(4) == *planes, "an input of another shape")?;
        to.check(if qvalues.is_some() { arena.0 } else { arena.1 }, *shape)?;
        ensure(to.planes == *planes, "planes of other channels")?;
        let affines = match qvalues {
            None => 0,
            Some((chains, _)) => {
                let each = chains.len() == shape.channels && chains.iter().all(|chain| chain.planes() == 1);
                ensure(each, "affines of other channels")?;
                chains.iter().map(AffineChainF32::affines).max().unwrap_or(0)
            }
        };
        Ok(work(&[shape.channels, blocks(*shape), 1 + affines]))
    }

    /// The f32 values of the input, and what they become.
    pub(super) fn traffic(&self) -> Traffic {
        let value = if self.qvalues.is_some() { 1 } else { size_of::<f32>() };
        let bytes = |values: usize, value: usize| (values as u64).saturating_mul(value as u64);
        let written = bytes(self.planes.saturating_mul(self.shape.area()), 4 * value);
        Traffic { weights: 0, read: bytes(self.shape.len(), size_of::<f32>()), written }
    }

    /// Scratch that it needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        ScratchSize { raw_qvalues: PART, floats: PART, ..ScratchSize::default() }
    }

    /// How so many threads share it: each has a range of pixels.
    pub(super) fn sharing(&self, threads: usize) -> Sharing {
        let area = self.shape.area();
        Sharing::of_pixels(threads, self.planes, area, 8 * self.shape.len() as u64, PIXEL_BLOCK)
    }

    /// Writes the segment. `number` is its own among the engine's inputs, whose memory it is.
    pub(super) fn run(&self, number: usize, values: &[f32], memory: &mut Memory) {
        let Memory { kernels, bytes, floats, scratches, thread_pool, loadings, .. } = memory;
        let (sharing, Placement { start, plane_stride, .. }) = (&loadings[number], self.to);
        let (area, planes) = (self.shape.area(), self.planes);
        match &self.qvalues {
            None => {
                let segment = PlanesMut::new(&mut floats.values()[start..], planes, plane_stride, 4 * area);
                let queue = TileQueue::new(segment, sharing.tiles());
                sharing.run(thread_pool, &|index| {
                    while let Some((place, mut tile)) = queue.take(index) {
                        self.write_floats(values, &place.pixels, tile.results());
                    }
                });
            }
            Some((chains, qvalues)) => {
                let segment = PlanesMut::new(&mut bytes.values()[start..], planes, plane_stride, 4 * area);
                let queue = TileQueue::new(segment, sharing.tiles());
                sharing.run(thread_pool, &|index| {
                    let mut scratch = own(scratches, index);
                    while let Some((place, mut tile)) = queue.take(index) {
                        let out = tile.results();
                        for ((channel, values), chain) in values.chunks_exact(area).enumerate().zip(chains) {
                            let (values, plane) = (&values[place.pixels.clone()], out.plane(channel / 4));
                            quantize(*kernels, (chain, *qvalues), values, &mut scratch.tile, (plane, channel % 4));
                        }
                    }
                });
            }
        }
    }

    /// Writes some pixels as they are.
    fn write_floats(&self, values: &[f32], pixels: &Range<usize>, out: &mut PlanesMut<'_, f32>) {
        if !self.shape.channels.is_multiple_of(4) {
            // Lanes without a channel are multiplied by weights of 0: they must be finite.
            out.plane(self.planes - 1).fill(0.0);
        }
        for (channel, values) in values.chunks_exact(self.shape.area()).enumerate() {
            let plane = out.plane(channel / 4).as_chunks_mut::<4>().0;
            plane.iter_mut().zip(&values[pixels.clone()]).for_each(|(four, v)| four[channel % 4] = *v);
        }
    }
}

/// Quantizes values of a channel into a lane of a plane.
fn quantize(
    kernels: Kernels,
    (chain, qvalues): (&AffineChainF32, QuantType),
    values: &[f32],
    scratch: &mut TileScratch,
    (plane, lane): (&mut [u8], usize),
) {
    let (buffer, input) = (scratch.raw_qvalues.values(), scratch.floats.values());
    for (values, out) in values.chunks(PART).zip(plane.chunks_mut(4 * PART)) {
        // Four values take the place of a pixel; whole blocks of those.
        let pixels = values.len().div_ceil(4).next_multiple_of(PIXEL_BLOCK);
        let input = if values.len() == 4 * pixels {
            values
        } else {
            input[..values.len()].copy_from_slice(values);
            &*input
        };
        let operand = ChainInputF32 { input: Operand::F32(input), plane_stride: 4 * pixels, planes: 0..1, pixels };
        let mut quantized = PlanesMut::new(buffer, 1, 4 * pixels, 4 * pixels);
        kernels.affine_to_quantized(chain, &operand, qvalues, &mut quantized);
        out.as_chunks_mut::<4>().0.iter_mut().zip(&*buffer).for_each(|(four, qvalue)| four[lane] = *qvalue);
    }
}

/// Stores an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoreOutput {
    /// Its segments, each with its shape and the lanes of its channels.
    parts: Vec<(Gather<f32>, Shape, Vec<usize>)>,
}

impl StoreOutput {
    /// Stores this output.
    pub(super) fn new(lowering: Lowering<'_>, output: &Output) -> Self {
        let part = |read: &Read| {
            let read_alone = std::slice::from_ref(read);
            let gather = Gather::new(read_alone, lowering.segments, lowering.places);
            (gather, lowering.network.read_shape(read), read_lanes(read_alone, lowering.segments))
        };
        Self { parts: output.reads.iter().map(part).collect() }
    }

    /// Checks that it can be run in `arena` and has as many values as `dims`; returns its approximate multiply-adds.
    pub(super) fn check(&self, dims: &[usize], arena: (usize, usize)) -> Checked<u64> {
        let memory = Readable::all(arena);
        let (mut len, mut all) = (0, 0u64);
        for (gather, shape, lanes) in &self.parts {
            check::shape(*shape)?;
            let planes = gather.check(&memory, blocks(*shape))?;
            let inside = lanes.len() == shape.channels && lanes.iter().all(|lane| lane / 4 < planes);
            ensure(inside, "an output of other channels")?;
            len = product(&[shape.len() + len])?;
            // In the worst case a plane is read again for each lane.
            all = all.saturating_add(gather.work(blocks(*shape)).saturating_mul(lanes.len() as u64));
        }
        ensure(dims.first() == Some(&1) && product(dims)? == len, "an output of another shape")?;
        Ok(all)
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(_, shape, _)| shape.len()).sum()
    }

    /// Its values, which are counted as f32 where they are read, too.
    pub(super) fn traffic(&self) -> Traffic {
        let bytes = (self.len() as u64).saturating_mul(size_of::<f32>() as u64);
        Traffic { weights: 0, read: bytes, written: bytes }
    }

    /// Scratch that it needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        let areas = self.parts.iter().map(|(_, shape, _)| 4 * shape.area().next_multiple_of(PIXEL_BLOCK));
        ScratchSize { floats: areas.max().unwrap_or(0), ..ScratchSize::default() }
    }

    /// Writes all values to `out`.
    pub(super) fn run(&self, memory: &mut Memory, out: &mut [f32]) {
        let Memory { kernels, bytes, floats, scratches, .. } = memory;
        let sources =
            Sources { bytes: SplitBorrow::whole(bytes.values()), floats: SplitBorrow::whole(floats.values()) };
        let scratch = &mut own(scratches, 0).tile;
        let plane = scratch.floats.values();
        let mut rest = out;
        for (gather, shape, lanes) in &self.parts {
            let (all, behind) = rest.split_at_mut(shape.len());
            rest = behind;
            let pixels = shape.area().next_multiple_of(PIXEL_BLOCK);
            let mut read = usize::MAX;
            for (&lane, out) in lanes.iter().zip(all.chunks_exact_mut(shape.area())) {
                if lane / 4 != read {
                    read = lane / 4;
                    gather.read(*kernels, sources, (0, pixels), read..read + 1, plane, 4 * pixels);
                }
                out.iter_mut().zip(plane.as_chunks::<4>().0).for_each(|(out, four)| *out = four[lane % 4]);
            }
        }
    }
}
