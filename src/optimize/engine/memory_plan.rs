//! The place of each segment in memory: one arena for all quantized values, one for all f32 values, planned before the first run.
//!
//! Segments that are read together (the features of a dense block) lie plane behind plane in one region, so that a layer reads
//! all of them at once: the block's buffer grows, and nothing is concatenated. Regions whose live ranges do not overlap share
//! memory.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, blocks, ensure, product};
use super::segments::{Segment, Storage};
use crate::kernels::PIXEL_BLOCK;
use crate::model::fused::{FusedNetwork, Shape};
use crate::optimize::memory_planner::{self, Extent};

/// Bytes of a cache line.
const LINE: usize = 64;

/// The place of a segment: value `lane % 4` of pixel `p` of plane `lane / 4` is at
/// `start + (lane / 4) * plane_stride + 4 * p + lane % 4`. All fields count values, which are bytes or f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placement {
    /// The first value of the first plane.
    pub(super) start: usize,
    /// Values from one plane to the next.
    pub(super) plane_stride: usize,
    /// Planes, copies included.
    pub(super) planes: usize,
    /// Values that belong to the segment before its first one, and the first padding of the next planes.
    pub(super) lead: usize,
    /// Whether the padding around the image must be rewritten in each run, because other segments use the same memory.
    pub(super) fresh: bool,
}

impl Placement {
    /// Checks that all planes, for images of this shape, are inside `arena` values.
    pub(super) fn check(&self, arena: usize, shape: Shape) -> Checked {
        let end = self
            .start
            .checked_sub(self.lead)
            .and_then(|start| start.checked_add(product(&[self.planes, self.plane_stride]).ok()?));
        ensure(end.is_some_and(|end| end <= arena), "a place beyond the memory")?;
        let plane = product(&[4, blocks(shape)])?;
        ensure(plane.checked_add(self.lead).is_some_and(|plane| plane <= self.plane_stride), "planes that overlap")
    }

    /// All values of all planes, padding included.
    pub(super) fn range(&self) -> Range<usize> {
        self.start - self.lead..self.start - self.lead + self.planes * self.plane_stride
    }
}

/// Places of all segments and the sizes of the two arenas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    pub(super) places: Vec<Placement>,
    /// Number of all quantized values, which are bytes.
    pub(super) bytes: usize,
    /// Number of all f32 values.
    pub(super) floats: usize,
}

/// Segments that lie together.
struct Region {
    is_f32: bool,
    segments: Vec<usize>,
    plane_stride: usize,
    lead: usize,
    planes: usize,
    /// Its live range.
    life: Range<usize>,
    start: usize,
}

impl Region {
    fn size(&self) -> usize {
        self.planes * self.plane_stride
    }
}

/// Lays out the segments of `network`.
pub(super) fn memory_plan(network: &FusedNetwork, segments: &[Segment]) -> MemoryPlan {
    let live_ranges = memory_planner::live_ranges(network);
    let mut regions = regions(network, segments, &live_ranges);
    let bytes = place(&mut regions, false);
    let floats = place(&mut regions, true);
    let nowhere = Placement { start: 0, plane_stride: 0, planes: 0, lead: 0, fresh: false };
    let mut places = vec![nowhere; segments.len()];
    for region in &regions {
        let mut plane = 0;
        for (number, &segment) in region.segments.iter().enumerate() {
            let halo = segments[segment].halo.is_some();
            let start = region.start + region.lead + if halo { 0 } else { plane * region.plane_stride };
            let copies = 1 + segments[segment].halo.as_ref().map_or(0, |halo| halo.shifts.len());
            let planes = copies * segments[segment].planes;
            places[segment] =
                Placement { start, plane_stride: region.plane_stride, planes, lead: region.lead, fresh: number == 0 };
            plane += planes;
        }
    }
    MemoryPlan { places, bytes, floats }
}

/// The regions of segments that lie together.
fn regions(network: &FusedNetwork, segments: &[Segment], live_ranges: &[Range<usize>]) -> Vec<Region> {
    let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (segment, head) in together(network, segments).into_iter().enumerate() {
        families.entry(head).or_default().push(segment);
    }
    let mut found: Vec<Region> = Vec::new();
    for members in families.into_values() {
        let first = &segments[members[0]];
        let life = memory_planner::union(members.iter().map(|&m| &live_ranges[m]));
        let (plane_stride, lead) = plane_stride(first);
        let copies = 1 + first.halo.as_ref().map_or(0, |halo| halo.shifts.len());
        let planes = copies * members.iter().map(|&m| segments[m].planes).sum::<usize>();
        // Segments that follow one another in the same place share their padding, which is written only once.
        let heir = found.iter_mut().rfind(|region: &&mut Region| {
            let other = &segments[region.segments[0]];
            // A pool keeps the lanes of what it reads, which may be spread over more planes than a convolution's.
            let same = (&first.halo, first.shape, first.planes) == (&other.halo, other.shape, other.planes);
            first.halo.is_some() && same && region.life.end < life.start
        });
        match heir {
            Some(region) => {
                region.life.end = life.end;
                region.segments.extend(members);
            }
            None => {
                let is_f32 = first.kind == Storage::F32;
                found.push(Region { is_f32, segments: members, plane_stride, lead, planes, life, start: 0 });
            }
        }
    }
    found
}

/// For each segment the first segment of its region.
fn together(network: &FusedNetwork, segments: &[Segment]) -> Vec<usize> {
    let mut heads: Vec<usize> = (0..segments.len()).collect();
    // Operands of sums and products are read one by one.
    for layer in network.layers.iter().filter(|layer| !layer.op.combines()) {
        let mut with: Option<usize> = None;
        for read in &layer.reads {
            let segment = &segments[read.segment];
            if segment.halo.is_some() {
                continue;
            }
            let head = heads[read.segment];
            match with {
                Some(other) if segments[other].kind == segment.kind && other != head => {
                    with = Some(memory_planner::join(&mut heads, other, head));
                }
                Some(_) => {}
                None => with = Some(head),
            }
        }
    }
    heads
}

/// Values from plane to plane, and values before the first pixel. Kernels read whole blocks, from any pixel on. Planes begin at
/// cache lines, an odd number of them apart, so that planes do not share cache sets.
fn plane_stride(segment: &Segment) -> (usize, usize) {
    let width = segment.shape.width;
    let [top, left, bottom, right] = segment.halo.as_ref().map_or([0; 4], |halo| halo.padding);
    let line = if segment.kind == Storage::F32 { LINE / 4 } else { LINE };
    let lead = (4 * (top * width + left)).next_multiple_of(line);
    let pixels = segment.shape.area().next_multiple_of(PIXEL_BLOCK) + (bottom * width + right).max(PIXEL_BLOCK);
    ((lead + 4 * pixels).div_ceil(line) / 2 * 2 * line + line, lead)
}

/// Gives all regions of a kind their start. Returns their total size.
fn place(regions: &mut [Region], is_f32: bool) -> usize {
    let chosen: Vec<&mut Region> = regions.iter_mut().filter(|region| region.is_f32 == is_f32).collect();
    let extent = |region: &&mut Region| Extent { life: region.life.clone(), size: region.size() };
    let (starts, end) = memory_planner::place(&chosen.iter().map(extent).collect::<Vec<_>>());
    chosen.into_iter().zip(starts).for_each(|(region, start)| region.start = start);
    end
}

#[cfg(test)]
mod tests {
    use super::super::segments::segments;
    use super::*;
    use crate::kernels::{Kernels, Winograd};
    use crate::model::fused::random::{NumberKind, network};

    #[test]
    fn segments_that_live_at_once_do_not_overlap() {
        let (mut halos, mut heirs) = (0, 0);
        let kernels = Kernels::best().with_winograd(Winograd::Never);
        for seed in 0..3000 {
            let numbers = [NumberKind::Int8, NumberKind::Exact, NumberKind::Float][seed as usize % 3];
            let network = network(seed, numbers);
            let segments = segments(&network, kernels);
            let (plan, live) = (memory_plan(&network, &segments), memory_planner::live_ranges(&network));
            halos += segments.iter().filter(|segment| segment.halo.is_some()).count();
            heirs += plan.places.iter().zip(&segments).filter(|(place, s)| !place.fresh && s.halo.is_some()).count();
            for (a, place) in plan.places.iter().enumerate() {
                let range = place.range();
                let is_f32 = segments[a].kind == Storage::F32;
                assert!(range.end <= if is_f32 { plan.floats } else { plan.bytes }, "seed {seed}: segment {a}");
                for b in (0..a).filter(|&b| (segments[b].kind == Storage::F32) == is_f32) {
                    let (other, apart) =
                        (plan.places[b].range(), live[a].end < live[b].start || live[b].end < live[a].start);
                    let disjoint = range.end <= other.start || other.end <= range.start;
                    assert!(apart || disjoint, "seed {seed}: segments {b} and {a} share memory");
                }
            }
        }
        assert!(halos > 500 && heirs > 50, "{halos} halos, {heirs} of them in another's place");
    }
}
