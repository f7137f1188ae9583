//! What a layer reads, made ready: segments that lie behind one another in one go.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, ensure, product, work};
use super::memory::Sources;
use super::memory_plan::Placement;
use super::segments::{Segment, Storage, affines};
use crate::kernels::{AffineChain, AffineChainF32, ChainInput, ChainInputF32, Kernels, Operand, PlanesMut, QuantType};
use crate::model::fused::Read;
use crate::quant::Affine;

/// Some segments one behind the other, each value after its affines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Gather(Vec<GatheredPlanes>);

/// Planes that are read together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct GatheredPlanes {
    start: usize,
    plane_stride: usize,
    planes: usize,
    kind: Storage,
    to: GatherTo,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum GatherTo {
    /// From quantized values to quantized values.
    Quantized(AffineChain),
    /// From anything to quantized values stored like these.
    Rounded(AffineChainF32, QuantType),
    /// From anything to f32 values.
    F32(AffineChainF32),
}

/// Planes that are read together, before they are made ready.
struct Group {
    place: Placement,
    planes: usize,
    kind: Storage,
    affines: Vec<Affine>,
    to: Option<QuantType>,
}

impl Gather {
    /// Quantized values for a convolution.
    pub(super) fn qvalues(reads: &[Read], segments: &[Segment], places: &[Placement]) -> Self {
        let form =
            |read: &Read| if is_signed(read, segments) { QuantType::ActivationSigned } else { QuantType::Activation };
        Self::new(reads, segments, places, |read| Some(form(read)))
    }

    /// F32 values.
    pub(super) fn real(reads: &[Read], segments: &[Segment], places: &[Placement]) -> Self {
        Self::new(reads, segments, places, |_| None)
    }

    fn new(
        reads: &[Read],
        segments: &[Segment],
        places: &[Placement],
        to: impl Fn(&Read) -> Option<QuantType>,
    ) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for read in reads {
            let (segment, place) = (&segments[read.segment], places[read.segment]);
            let affines: Vec<Affine> = affines(read, segments).iter().map(|affine| laned(affine, segment)).collect();
            let (planes, kind) = (segment.planes, segment.kind);
            let next = Group { place, planes, kind, affines, to: to(read) };
            match groups.last_mut() {
                Some(last) if last.is_followed_by(&next) => last.append(next),
                _ => groups.push(next),
            }
        }
        Self(groups.into_iter().map(Group::ready).collect())
    }

    /// Whether `pixels` pixels of each plane can be read, into f32 values if `real`, else into quantized values; the number of planes.
    pub(super) fn check(&self, memory: &Readable, real: bool, pixels: usize) -> Checked<usize> {
        self.0.iter().try_for_each(|planes_read| planes_read.check(memory, real, pixels))?;
        let planes = self.0.iter().try_fold(0usize, |planes, planes_read| planes.checked_add(planes_read.planes));
        product(&[planes.ok_or("too many planes")?])
    }

    /// About how many multiply-adds it takes to read `pixels` pixels of each plane.
    pub(super) fn work(&self, pixels: usize) -> u64 {
        let of = |planes_read: &GatheredPlanes| work(&[4, pixels, planes_read.planes, 1 + planes_read.to.affines()]);
        self.0.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Number of planes.
    pub(super) fn planes(&self) -> usize {
        self.0.iter().map(|planes_read| planes_read.planes).sum()
    }

    /// Reads `pixels` from pixel `first` on of the planes `wanted` into quantized values, planes `plane_stride` apart.
    pub(super) fn gather_quantized(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        (first, pixels): (usize, usize),
        wanted: Range<usize>,
        out: &mut [u8],
        plane_stride: usize,
    ) {
        for (planes_read, planes, place) in self.within(wanted) {
            let mut out = PlanesMut::new(&mut out[place * plane_stride..], planes.len(), plane_stride, 4 * pixels);
            match &planes_read.to {
                GatherTo::Quantized(chain) => {
                    let input = sources.bytes.from(planes_read.start(&planes, first));
                    kernels.affine(
                        chain,
                        &ChainInput { input, plane_stride: planes_read.plane_stride, planes, pixels },
                        &mut out,
                    );
                }
                GatherTo::Rounded(chain, qvalues) => {
                    let operand = planes_read.source(sources, planes, first, pixels);
                    kernels.affine_to_quantized(chain, &operand, *qvalues, &mut out);
                }
                GatherTo::F32(_) => unreachable!("gathered f32 values are not quantized"),
            }
        }
    }

    /// As [`Gather::gather_quantized`], into f32 values.
    pub(super) fn read_real(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        (first, pixels): (usize, usize),
        wanted: Range<usize>,
        out: &mut [f32],
        plane_stride: usize,
    ) {
        for (planes_read, planes, place) in self.within(wanted) {
            let GatherTo::F32(chain) = &planes_read.to else { unreachable!("gathered quantized values are not f32") };
            let mut out = PlanesMut::new(&mut out[place * plane_stride..], planes.len(), plane_stride, 4 * pixels);
            kernels.affine_to_f32(chain, &planes_read.source(sources, planes, first, pixels), &mut out);
        }
    }

    /// The readings that some of all planes are of: which of theirs, and where the first of those is among the wanted.
    fn within(&self, wanted: Range<usize>) -> impl Iterator<Item = (&GatheredPlanes, Range<usize>, usize)> {
        let mut begin = 0;
        let mut of = move |planes_read: &GatheredPlanes| {
            let first = begin;
            begin += planes_read.planes;
            let (from, to) = (wanted.start.max(first), wanted.end.min(first + planes_read.planes));
            (from < to).then(|| (from - first..to - first, from - wanted.start))
        };
        self.0.iter().filter_map(move |planes_read| of(planes_read).map(|(planes, place)| (planes_read, planes, place)))
    }
}

impl GatherTo {
    fn affines(&self) -> usize {
        match self {
            Self::Quantized(chain) => chain.affines(),
            Self::Rounded(chain, _) | Self::F32(chain) => chain.affines(),
        }
    }
}

impl GatheredPlanes {
    fn check(&self, memory: &Readable, real: bool, pixels: usize) -> Checked {
        let Self { start, plane_stride, planes, kind, to } = self;
        let (gives_real, has) = match to {
            GatherTo::Quantized(chain) => (false, chain.planes()),
            GatherTo::Rounded(chain, _) => (false, chain.planes()),
            GatherTo::F32(chain) => (true, chain.planes()),
        };
        ensure(gives_real == real && has == *planes, "a chain of other values")?;
        ensure(
            matches!(kind, Storage::Quantized(_)) || !matches!(to, GatherTo::Quantized(_)),
            "a chain of quantized values for f32 values",
        )?;
        let last = product(&[*planes, *plane_stride])? - plane_stride;
        memory.holds(*kind == Storage::F32, *start, last + product(&[4, pixels])?)
    }

    /// Where a pixel of the first of some planes is.
    fn start(&self, planes: &Range<usize>, pixel: usize) -> usize {
        self.start + planes.start * self.plane_stride + 4 * pixel
    }

    fn source<'a>(&self, sources: Sources<'a>, planes: Range<usize>, first: usize, pixels: usize) -> ChainInputF32<'a> {
        let start = self.start(&planes, first);
        let input = match self.kind {
            Storage::Quantized(qvalues) => Operand::Quantized(sources.bytes.from(start), qvalues),
            Storage::F32 => Operand::F32(sources.floats.from(start)),
        };
        ChainInputF32 { input, plane_stride: self.plane_stride, planes, pixels }
    }
}

impl Group {
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

    fn ready(self) -> GatheredPlanes {
        let channels = 4 * self.planes;
        let to = match (self.to, self.kind) {
            (None, _) => GatherTo::F32(AffineChainF32::new(channels, &self.affines)),
            (Some(to), Storage::Quantized(from)) => match chain(&self.affines, channels, from, to) {
                Some(chain) => GatherTo::Quantized(chain),
                None => GatherTo::Rounded(AffineChainF32::new(channels, &self.affines), to),
            },
            (Some(to), Storage::F32) => GatherTo::Rounded(AffineChainF32::new(channels, &self.affines), to),
        };
        GatheredPlanes {
            start: self.place.start,
            plane_stride: self.place.plane_stride,
            planes: self.planes,
            kind: self.kind,
            to,
        }
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
