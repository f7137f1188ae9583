//! What a layer reads, made ready: segments that lie behind one another in one go.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, ensure, product, work};
use super::layout::Place;
use super::memory::Sources;
use super::segments::{Kind, Segment, steps};
use crate::kernels::{Codes, Kernels, PlanesMut, Read as Planes, ReadReal, Reader, RealReader, Source};
use crate::model::fused::Read;
use crate::quant::Step;

/// Some segments one behind the other, each value after its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Readings(Vec<Reading>);

/// Planes that are read together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reading {
    start: usize,
    pitch: usize,
    planes: usize,
    kind: Kind,
    way: Way,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Way {
    /// From codes to codes.
    Codes(Reader),
    /// From anything to codes stored like these.
    Rounded(RealReader, Codes),
    /// From anything to real numbers.
    Real(RealReader),
}

/// Planes that are read together, before they are made ready.
struct Group {
    place: Place,
    planes: usize,
    kind: Kind,
    steps: Vec<Step>,
    to: Option<Codes>,
}

impl Readings {
    /// Codes for a convolution.
    pub(super) fn codes(reads: &[Read], segments: &[Segment], places: &[Place]) -> Self {
        let form = |read: &Read| if is_signed(read, segments) { Codes::ActivationSigned } else { Codes::Activation };
        Self::new(reads, segments, places, |read| Some(form(read)))
    }

    /// Real numbers.
    pub(super) fn real(reads: &[Read], segments: &[Segment], places: &[Place]) -> Self {
        Self::new(reads, segments, places, |_| None)
    }

    fn new(reads: &[Read], segments: &[Segment], places: &[Place], to: impl Fn(&Read) -> Option<Codes>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for read in reads {
            let (segment, place) = (&segments[read.segment], places[read.segment]);
            let steps: Vec<Step> = steps(read, segments).iter().map(|step| laned(step, segment)).collect();
            let (planes, kind) = (segment.planes, segment.kind);
            let next = Group { place, planes, kind, steps, to: to(read) };
            match groups.last_mut() {
                Some(last) if last.is_followed_by(&next) => last.append(next),
                _ => groups.push(next),
            }
        }
        Self(groups.into_iter().map(Group::ready).collect())
    }

    /// Whether `pixels` pixels of each plane can be read, into real numbers if `real`, else into codes; the number of planes.
    pub(super) fn check(&self, memory: &Readable, real: bool, pixels: usize) -> Checked<usize> {
        self.0.iter().try_for_each(|reading| reading.check(memory, real, pixels))?;
        let planes = self.0.iter().try_fold(0usize, |planes, reading| planes.checked_add(reading.planes));
        product(&[planes.ok_or("too many planes")?])
    }

    /// About how many multiply-adds it takes to read `pixels` pixels of each plane.
    pub(super) fn work(&self, pixels: usize) -> u64 {
        let of = |reading: &Reading| work(&[4, pixels, reading.planes, 1 + reading.way.steps()]);
        self.0.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Number of planes.
    pub(super) fn planes(&self) -> usize {
        self.0.iter().map(|reading| reading.planes).sum()
    }

    /// Reads `pixels` from pixel `first` on of the planes `wanted` into codes, planes `pitch` apart.
    pub(super) fn read_codes(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        (first, pixels): (usize, usize),
        wanted: Range<usize>,
        out: &mut [u8],
        pitch: usize,
    ) {
        for (reading, planes, place) in self.within(wanted) {
            let mut out = PlanesMut::new(&mut out[place * pitch..], planes.len(), pitch, 4 * pixels);
            match &reading.way {
                Way::Codes(reader) => {
                    let input = sources.bytes.from(reading.start(&planes, first));
                    kernels.read(reader, &Planes { input, pitch: reading.pitch, planes, pixels }, &mut out);
                }
                Way::Rounded(reader, codes) => {
                    let what = reading.source(sources, planes, first, pixels);
                    kernels.read_rounded(reader, &what, *codes, &mut out);
                }
                Way::Real(_) => unreachable!("readings of real numbers give no codes"),
            }
        }
    }

    /// As [`Readings::read_codes`], into real numbers.
    pub(super) fn read_real(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        (first, pixels): (usize, usize),
        wanted: Range<usize>,
        out: &mut [f32],
        pitch: usize,
    ) {
        for (reading, planes, place) in self.within(wanted) {
            let Way::Real(reader) = &reading.way else { unreachable!("readings of codes give no real numbers") };
            let mut out = PlanesMut::new(&mut out[place * pitch..], planes.len(), pitch, 4 * pixels);
            kernels.read_real(reader, &reading.source(sources, planes, first, pixels), &mut out);
        }
    }

    /// The readings that some of all planes are of: which of theirs, and where the first of those is among the wanted.
    fn within(&self, wanted: Range<usize>) -> impl Iterator<Item = (&Reading, Range<usize>, usize)> {
        let mut begin = 0;
        let mut of = move |reading: &Reading| {
            let first = begin;
            begin += reading.planes;
            let (from, to) = (wanted.start.max(first), wanted.end.min(first + reading.planes));
            (from < to).then(|| (from - first..to - first, from - wanted.start))
        };
        self.0.iter().filter_map(move |reading| of(reading).map(|(planes, place)| (reading, planes, place)))
    }
}

impl Way {
    fn steps(&self) -> usize {
        match self {
            Self::Codes(reader) => reader.steps(),
            Self::Rounded(reader, _) | Self::Real(reader) => reader.steps(),
        }
    }
}

impl Reading {
    fn check(&self, memory: &Readable, real: bool, pixels: usize) -> Checked {
        let Self { start, pitch, planes, kind, way } = self;
        let (gives_real, has) = match way {
            Way::Codes(reader) => (false, reader.planes()),
            Way::Rounded(reader, _) => (false, reader.planes()),
            Way::Real(reader) => (true, reader.planes()),
        };
        ensure(gives_real == real && has == *planes, "a reader of other values")?;
        ensure(matches!(kind, Kind::Codes(_)) || !matches!(way, Way::Codes(_)), "a reader of codes for real numbers")?;
        let last = product(&[*planes, *pitch])? - pitch;
        memory.holds(*kind == Kind::Real, *start, last + product(&[4, pixels])?)
    }

    /// Where a pixel of the first of some planes is.
    fn start(&self, planes: &Range<usize>, pixel: usize) -> usize {
        self.start + planes.start * self.pitch + 4 * pixel
    }

    fn source<'a>(&self, sources: Sources<'a>, planes: Range<usize>, first: usize, pixels: usize) -> ReadReal<'a> {
        let start = self.start(&planes, first);
        let input = match self.kind {
            Kind::Codes(codes) => Source::Codes(sources.bytes.from(start), codes),
            Kind::Real => Source::Real(sources.reals.from(start)),
        };
        ReadReal { input, pitch: self.pitch, planes, pixels }
    }
}

impl Group {
    fn is_followed_by(&self, next: &Self) -> bool {
        let bounds = |step: &Step| (step.low, step.high, step.round);
        self.kind == next.kind
            && self.to == next.to
            && self.place.pitch == next.place.pitch
            && self.place.start + self.planes * self.place.pitch == next.place.start
            && self.steps.iter().map(bounds).eq(next.steps.iter().map(bounds))
    }

    fn append(&mut self, next: Self) {
        self.planes += next.planes;
        for (step, more) in self.steps.iter_mut().zip(next.steps) {
            step.mul.extend(more.mul);
            step.add.extend(more.add);
        }
    }

    fn ready(self) -> Reading {
        let channels = 4 * self.planes;
        let way = match (self.to, self.kind) {
            (None, _) => Way::Real(RealReader::new(channels, &self.steps)),
            (Some(to), Kind::Codes(from)) => match reader(&self.steps, channels, from, to) {
                Some(reader) => Way::Codes(reader),
                None => Way::Rounded(RealReader::new(channels, &self.steps), to),
            },
            (Some(to), Kind::Real) => Way::Rounded(RealReader::new(channels, &self.steps), to),
        };
        Reading { start: self.place.start, pitch: self.place.pitch, planes: self.planes, kind: self.kind, way }
    }
}

/// Whether what is read are codes below 0.
pub(super) fn is_signed(read: &Read, segments: &[Segment]) -> bool {
    match steps(read, segments).last() {
        Some(step) => step.low < 0.0,
        None => segments[read.segment].signed(),
    }
}

/// A step of channels as one of lanes; those without a channel become 0.
pub(super) fn laned(step: &Step, segment: &Segment) -> Step {
    let spread = |values: &[f32]| {
        let mut lanes = vec![0.0; 4 * segment.planes];
        segment.lanes.iter().zip(values).for_each(|(&lane, &value)| lanes[lane] = value);
        lanes
    };
    Step { mul: spread(&step.mul), add: spread(&step.add), ..*step }
}

/// A reader for steps from codes to codes, if there can be one; without steps they stay.
pub(super) fn reader(steps: &[Step], channels: usize, from: Codes, to: Codes) -> Option<Reader> {
    let (low, high) = to.range();
    let same = [Step { mul: vec![1.0; channels], add: vec![0.0; channels], low, high, round: true }];
    Reader::new(if steps.is_empty() { &same } else { steps }, from, to).ok()
}
