//! What a layer reads, made ready: segments that lie behind one another in one go.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, ensure, product, work};
use super::element::Element;
use super::memory::Sources;
use super::memory_plan::Placement;
use super::segments::{Segment, Storage, affines};
use crate::kernels::{AffineChain, AffineChainF32, ChainInput, ChainInputF32, Kernels, Operand, PlanesMut, QuantType};
use crate::model::fused::Read;
use crate::quant::Affine;

/// Some segments one behind the other, each value after its affines.
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

/// The affines that make values of type `T` of stored ones.
pub(super) trait Prologue<T>: Sized {
    /// What the values become, for those of a read.
    type To: Copy + PartialEq;

    /// What a read's values become.
    fn to(read: &Read, segments: &[Segment]) -> Self::To;

    /// The affines of values that are stored like `kind`, for `channels` channels.
    fn new(affines: &[Affine], channels: usize, kind: Storage, to: Self::To) -> Self;

    /// Whether it takes values that are stored so.
    fn takes(&self, kind: Storage) -> bool;

    /// Numbers of planes and affines.
    fn extent(&self) -> (usize, usize);

    /// Applies it to stored values.
    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, T>);
}

/// Some pixels of some planes, as they are stored.
pub(super) struct StoredPlanes<'a> {
    sources: Sources<'a>,
    kind: Storage,
    start: usize,
    plane_stride: usize,
    /// Which planes of the prologue's these are.
    planes: Range<usize>,
    pixels: usize,
}

/// To quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ToQuantized {
    /// From quantized values.
    Affine(AffineChain),
    /// From either, to values stored like these.
    Rounded(AffineChainF32, QuantType),
}

/// To f32 values, from either.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ToF32(AffineChainF32);

/// Planes that are read together, before they are made ready.
struct Group<To> {
    place: Placement,
    planes: usize,
    kind: Storage,
    affines: Vec<Affine>,
    to: To,
}

impl<T: Element> Gather<T> {
    /// What these reads give.
    pub(super) fn new(reads: &[Read], segments: &[Segment], places: &[Placement]) -> Self {
        let mut groups: Vec<Group<<T::Prologue as Prologue<T>>::To>> = Vec::new();
        for read in reads {
            let (segment, place) = (&segments[read.segment], places[read.segment]);
            let affines: Vec<Affine> = affines(read, segments).iter().map(|affine| laned(affine, segment)).collect();
            let (planes, kind, to) = (segment.planes, segment.kind, T::Prologue::to(read, segments));
            let next = Group { place, planes, kind, affines, to };
            match groups.last_mut() {
                Some(last) if last.is_followed_by(&next) => last.append(next),
                _ => groups.push(next),
            }
        }
        Self(groups.into_iter().map(Group::ready::<T>).collect())
    }

    /// Whether `pixels` pixels of each plane can be read; the number of planes.
    pub(super) fn check(&self, memory: &Readable, pixels: usize) -> Checked<usize> {
        for GatheredPlanes { start, plane_stride, planes, kind, prologue } in &self.0 {
            ensure(prologue.extent().0 == *planes && prologue.takes(*kind), "a prologue of other values")?;
            let last = product(&[*planes, *plane_stride])? - plane_stride;
            memory.holds(*kind == Storage::F32, *start, last + product(&[4, pixels])?)?;
        }
        let planes = self.0.iter().try_fold(0usize, |planes, group| planes.checked_add(group.planes));
        product(&[planes.ok_or("too many planes")?])
    }

    /// About how many multiply-adds it takes to read `pixels` pixels of each plane.
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

    /// Reads `pixels` from pixel `first` on of the planes `wanted` into planes that are `plane_stride` apart.
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

impl<'a> StoredPlanes<'a> {
    fn operand(self) -> ChainInputF32<'a> {
        let Self { sources, kind, start, plane_stride, planes, pixels } = self;
        let input = match kind {
            Storage::Quantized(qvalues) => Operand::Quantized(sources.bytes.from(start), qvalues),
            Storage::F32 => Operand::F32(sources.floats.from(start)),
        };
        ChainInputF32 { input, plane_stride, planes, pixels }
    }
}

impl Prologue<u8> for ToQuantized {
    type To = QuantType;

    fn to(read: &Read, segments: &[Segment]) -> QuantType {
        if is_signed(read, segments) { QuantType::ActivationSigned } else { QuantType::Activation }
    }

    fn new(affines: &[Affine], channels: usize, kind: Storage, to: QuantType) -> Self {
        let quantized = match kind {
            Storage::Quantized(from) => chain(affines, channels, from, to),
            Storage::F32 => None,
        };
        quantized.map_or_else(|| Self::Rounded(AffineChainF32::new(channels, affines), to), Self::Affine)
    }

    fn takes(&self, kind: Storage) -> bool {
        matches!((self, kind), (Self::Rounded(..), _) | (_, Storage::Quantized(_)))
    }

    fn extent(&self) -> (usize, usize) {
        match self {
            Self::Affine(chain) => (chain.planes(), chain.affines()),
            Self::Rounded(chain, _) => (chain.planes(), chain.affines()),
        }
    }

    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, u8>) {
        match self {
            Self::Affine(chain) => {
                let StoredPlanes { sources, start, plane_stride, planes, pixels, .. } = from;
                let input = sources.bytes.from(start);
                kernels.affine(chain, &ChainInput { input, plane_stride, planes, pixels }, out);
            }
            Self::Rounded(chain, qvalues) => kernels.affine_to_quantized(chain, &from.operand(), *qvalues, out),
        }
    }
}

impl Prologue<f32> for ToF32 {
    type To = ();

    fn to(_: &Read, _: &[Segment]) {}

    fn new(affines: &[Affine], channels: usize, _: Storage, (): ()) -> Self {
        Self(AffineChainF32::new(channels, affines))
    }

    fn takes(&self, _: Storage) -> bool {
        true
    }

    fn extent(&self) -> (usize, usize) {
        (self.0.planes(), self.0.affines())
    }

    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, f32>) {
        kernels.affine_to_f32(&self.0, &from.operand(), out);
    }
}

impl<To: PartialEq> Group<To> {
    fn is_followed_by(&self, next: &Self) -> bool {
        let bounds = |affine: &Affine| (affine.low, affine.high, affine.round);
        self.kind == next.kind
            && self.to == next.to
            && self.place.plane_stride == next.place.plane_stride
            && self.place.start + self.planes * self.place.plane_stride == next.place.start
            && self.affines.iter().map(bounds).eq(next.affines.iter().map(bounds))
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

/// Whether what is read are quantized values below 0.
pub(super) fn is_signed(read: &Read, segments: &[Segment]) -> bool {
    match affines(read, segments).last() {
        Some(affine) => affine.low < 0.0,
        None => segments[read.segment].signed(),
    }
}

/// An affine of channels as one of lanes; those without a channel become 0.
pub(super) fn laned(affine: &Affine, segment: &Segment) -> Affine {
    let spread = |values: &[f32]| {
        let mut lanes = vec![0.0; 4 * segment.planes];
        segment.lanes.iter().zip(values).for_each(|(&lane, &value)| lanes[lane] = value);
        lanes
    };
    Affine { mul: spread(&affine.mul), add: spread(&affine.add), ..*affine }
}

/// A chain of affines from quantized values to quantized values, if there can be one; without affines they stay.
pub(super) fn chain(affines: &[Affine], channels: usize, from: QuantType, to: QuantType) -> Option<AffineChain> {
    let (low, high) = to.range();
    let same = [Affine { mul: vec![1.0; channels], add: vec![0.0; channels], low, high, round: true }];
    AffineChain::new(if affines.is_empty() { &same } else { affines }, from, to).ok()
}
