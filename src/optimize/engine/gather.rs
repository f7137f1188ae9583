//! Reads a layer's input through its prologues; adjacent segments are read together.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, ensure, product, work};
use super::memory::Sources;
use super::memory_plan::Placement;
use super::prologue::{Element, Prologue, StoredPlanes, laned};
use super::segments::{Segment, Storage, affines, read_planes};
use crate::kernels::{Kernels, PlanesMut};
use crate::model::fused::Read;
use crate::quant::Affine;

/// The concatenation of some segments, after their prologues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Gather<T: Element>(Vec<GatheredPlanes<T::Prologue>>);

/// Planes that are read together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct GatheredPlanes<P> {
    start: usize,
    plane_stride: usize,
    planes: usize,
    kind: Storage,
    prologue: P,
}

/// Planes that are read together, before their prologue is made.
struct Group<To> {
    place: Placement,
    planes: usize,
    kind: Storage,
    affines: Vec<Affine>,
    to: To,
}

impl<T: Element> Gather<T> {
    /// The gather of these reads.
    pub(super) fn new(reads: &[Read], segments: &[Segment], places: &[Placement]) -> Self {
        let mut groups: Vec<Group<<T::Prologue as Prologue<T>>::To>> = Vec::new();
        for read in reads {
            let (segment, mut place, planes) =
                (&segments[read.segment], places[read.segment], read_planes(read, segments));
            place.start += planes.start * place.plane_stride;
            let affine = |affine: &Affine| in_planes(&laned(affine, segment), planes.clone());
            let affines: Vec<Affine> = affines(read, segments).iter().map(affine).collect();
            let (kind, to) = (segment.kind, T::Prologue::to(read, segments));
            let next = Group { place, planes: planes.len(), kind, affines, to };
            match groups.last_mut() {
                Some(last) if last.is_followed_by(&next) => last.append(next),
                _ => groups.push(next),
            }
        }
        Self(groups.into_iter().map(Group::ready::<T>).collect())
    }

    /// Checks that `pixels` pixels of each plane can be read; returns the number of planes.
    pub(super) fn check(&self, memory: &Readable, pixels: usize) -> Checked<usize> {
        for GatheredPlanes { start, plane_stride, planes, kind, prologue } in &self.0 {
            ensure(prologue.extent().0 == *planes && prologue.takes(*kind), "a prologue of other values")?;
            let last = product(&[*planes, *plane_stride])? - plane_stride;
            memory.holds(*kind == Storage::F32, *start, last + product(&[4, pixels])?)?;
        }
        let planes = self.0.iter().try_fold(0usize, |planes, group| planes.checked_add(group.planes));
        product(&[planes.ok_or("too many planes")?])
    }

    /// Approximate multiply-adds of reading `pixels` pixels of each plane.
    pub(super) fn work(&self, pixels: usize) -> u64 {
        let of = |group: &GatheredPlanes<T::Prologue>| {
            let (planes, affines) = group.prologue.extent();
            work(&[4, pixels, planes, 1 + affines])
        };
        self.0.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Number of planes.
    pub(super) fn planes(&self) -> usize {
        self.0.iter().map(|group| group.planes).sum()
    }

    /// Reads `pixels` pixels from pixel `first` on of the planes `wanted` into planes `plane_stride` values apart.
    pub(super) fn read(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        (first, pixels): (usize, usize),
        wanted: Range<usize>,
        out: &mut [T],
        plane_stride: usize,
    ) {
        let mut begin = 0;
        for group in &self.0 {
            let all = begin..begin + group.planes;
            begin = all.end;
            let (from, to) = (wanted.start.max(all.start), wanted.end.min(all.end));
            if from >= to {
                continue;
            }
            let planes = from - all.start..to - all.start;
            let stored = StoredPlanes {
                sources,
                kind: group.kind,
                start: group.start + planes.start * group.plane_stride + 4 * first,
                plane_stride: group.plane_stride,
                planes,
                pixels,
            };
            let out = &mut out[(from - wanted.start) * plane_stride..];
            group.prologue.run(kernels, stored, &mut PlanesMut::new(out, to - from, plane_stride, 4 * pixels));
        }
    }
}

impl<T: Element> Gather<T> {
    /// The first value, and the values from one plane to the next, if all planes are read from one place and their prologue does nothing to them.
    pub(super) fn in_place(&self) -> Option<(usize, usize)> {
        match self.0.as_slice() {
            [GatheredPlanes { start, plane_stride, kind, prologue, .. }] if prologue.is_identity(*kind) => {
                Some((*start, *plane_stride))
            }
            _ => None,
        }
    }
}

impl Gather<f32> {
    /// The values of some planes from pixel `first` on, and from one plane to the next, in the segment itself, if they lie in one and their
    /// prologue does nothing to them.
    pub(super) fn stored<'a>(
        &self,
        sources: Sources<'a>,
        first: usize,
        planes: &Range<usize>,
    ) -> Option<(&'a [f32], usize)> {
        let mut end = 0;
        let group = self.0.iter().find(|group| {
            end += group.planes;
            planes.start < end
        })?;
        let place = group.start + (planes.start + group.planes - end) * group.plane_stride + 4 * first;
        let as_is = planes.end <= end && group.prologue.is_identity(group.kind);
        as_is.then(|| (sources.floats.from(place), group.plane_stride))
    }
}

/// The part of an affine over lanes that is of some planes.
fn in_planes(affine: &Affine, planes: Range<usize>) -> Affine {
    let lanes = 4 * planes.start..4 * planes.end;
    Affine { mul: affine.mul[lanes.clone()].to_vec(), add: affine.add[lanes].to_vec(), ..affine.clone() }
}

impl<To: PartialEq> Group<To> {
    fn is_followed_by(&self, next: &Self) -> bool {
        let alike =
            |a: &Affine, b: &Affine| (a.low, a.high, a.round, &a.function) == (b.low, b.high, b.round, &b.function);
        self.kind == next.kind
            && self.to == next.to
            && self.place.plane_stride == next.place.plane_stride
            && self.place.start + self.planes * self.place.plane_stride == next.place.start
            && self.affines.len() == next.affines.len()
            && self.affines.iter().zip(&next.affines).all(|(a, b)| alike(a, b))
    }

    fn append(&mut self, next: Self) {
        self.planes += next.planes;
        for (affine, more) in self.affines.iter_mut().zip(next.affines) {
            affine.mul.extend(more.mul);
            affine.add.extend(more.add);
        }
    }

    fn ready<T: Element>(self) -> GatheredPlanes<T::Prologue>
    where
        T::Prologue: Prologue<T, To = To>,
    {
        let Self { place: Placement { start, plane_stride, .. }, planes, kind, affines, to } = self;
        let prologue = T::Prologue::new(&affines, 4 * planes, kind, to);
        GatheredPlanes { start, plane_stride, planes, kind, prologue }
    }
}
