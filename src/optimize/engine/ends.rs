//! Where real numbers in planes of one channel come in and go out.

use serde::{Deserialize, Serialize};

use super::Site;
use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::layout::Place;
use super::memory::{Around, Memory, Need, Sources, own};
use super::reads::Readings;
use super::segments::{Kind, Segment};
use crate::kernels::{BLOCK, Codes, PlanesMut, ReadReal, RealReader, Source};
use crate::model::fused::{Output, Read, Shape};
use crate::quant::Step;

/// An input that becomes a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Load {
    to: Place,
    shape: Shape,
    planes: usize,
    /// For each channel what makes codes of four of its pixels at a time.
    codes: Option<(Vec<RealReader>, Codes)>,
}

/// Pixels that are loaded at once.
const PART: usize = 64 * BLOCK;

impl Load {
    /// The loading of a segment.
    pub(super) fn new(segment: &Segment, to: Place) -> Self {
        let codes = match segment.kind {
            Kind::Real => None,
            Kind::Codes(codes) => Some(codes),
        };
        let four = |channel: usize| {
            let repeat = |values: &[f32]| vec![values[channel]; 4];
            let step = |step: &Step| Step { mul: repeat(&step.mul), add: repeat(&step.add), ..*step };
            RealReader::new(4, &segment.loading.iter().map(step).collect::<Vec<_>>())
        };
        let readers = (0..segment.shape.channels).map(four).collect();
        Self { to, shape: segment.shape, planes: segment.planes, codes: codes.map(|codes| (readers, codes)) }
    }

    /// Whether it can be run in `room` on values of this shape; about how many multiply-adds it takes.
    pub(super) fn check(&self, input: Shape, room: (usize, usize)) -> Checked<u64> {
        let Self { to, shape, planes, codes } = self;
        check::shape(*shape)?;
        ensure(*shape == input && shape.channels.div_ceil(4) == *planes, "an input of another shape")?;
        to.check(if codes.is_some() { room.0 } else { room.1 }, *shape)?;
        ensure(to.planes == *planes, "planes of other channels")?;
        let steps = match codes {
            None => 0,
            Some((readers, _)) => {
                let each = readers.len() == shape.channels && readers.iter().all(|reader| reader.planes() == 1);
                ensure(each, "steps of other channels")?;
                readers.iter().map(RealReader::steps).max().unwrap_or(0)
            }
        };
        Ok(work(&[shape.channels, blocks(*shape), 1 + steps]))
    }

    /// Scratch that it needs.
    pub(super) fn need(&self) -> Need {
        Need { raw_codes: PART, reals: PART, ..Need::default() }
    }

    /// Writes the segment.
    pub(super) fn run(&self, values: &[f32], memory: &mut Memory) {
        let Memory { kernels, bytes, reals, scratches, .. } = memory;
        let scratch = &mut *own(scratches, 0);
        let (area, Place { start, pitch, .. }) = (self.shape.area(), self.to);
        let spare = self.shape.channels.next_multiple_of(4) > self.shape.channels;
        let last = start + (self.planes - 1) * pitch;
        match &self.codes {
            None => {
                let reals = reals.values();
                if spare {
                    // Lanes without a channel meet weights of 0: they must be numbers.
                    reals[last..last + 4 * area].fill(0.0);
                }
                for (channel, values) in values.chunks_exact(area).enumerate() {
                    let plane = &mut reals[start + channel / 4 * pitch..][..4 * area];
                    plane.as_chunks_mut::<4>().0.iter_mut().zip(values).for_each(|(four, v)| four[channel % 4] = *v);
                }
            }
            Some((readers, codes)) => {
                let bytes = bytes.values();
                let (buffer, input) = (scratch.raw_codes.values(), scratch.reals.values());
                for ((channel, values), reader) in values.chunks_exact(area).enumerate().zip(readers) {
                    let plane = &mut bytes[start + channel / 4 * pitch..][..4 * area];
                    for (values, out) in values.chunks(PART).zip(plane.chunks_mut(4 * PART)) {
                        // A pixel's place for four values; whole blocks of those.
                        let pixels = values.len().div_ceil(4).next_multiple_of(BLOCK);
                        let input = if values.len() == 4 * pixels {
                            values
                        } else {
                            input[..values.len()].copy_from_slice(values);
                            &*input
                        };
                        let what = ReadReal { input: Source::Real(input), pitch: 4 * pixels, planes: 0..1, pixels };
                        let mut codes_of = PlanesMut::new(buffer, 1, 4 * pixels, 4 * pixels);
                        kernels.read_rounded(reader, &what, *codes, &mut codes_of);
                        let out = out.as_chunks_mut::<4>().0;
                        out.iter_mut().zip(&*buffer).for_each(|(four, code)| four[channel % 4] = *code);
                    }
                }
            }
        }
    }
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Store {
    /// Its segments, each with its shape and the lanes of its channels.
    parts: Vec<(Readings, Shape, Vec<usize>)>,
}

impl Store {
    /// The output of these segments.
    pub(super) fn new(site: Site<'_>, output: &Output) -> Self {
        let part = |read: &Read| {
            let segment: &Segment = &site.segments[read.segment];
            let readings = Readings::real(std::slice::from_ref(read), site.segments, site.places);
            (readings, segment.shape, segment.lanes.clone())
        };
        Self { parts: output.reads.iter().map(part).collect() }
    }

    /// Whether it can be run in `room` and has as many numbers as there are in `dims`; about how many multiply-adds it takes.
    pub(super) fn check(&self, dims: &[usize], room: (usize, usize)) -> Checked<u64> {
        let memory = Readable::all(room);
        let (mut len, mut all) = (0, 0u64);
        for (readings, shape, lanes) in &self.parts {
            check::shape(*shape)?;
            let planes = readings.check(&memory, true, blocks(*shape))?;
            let inside = lanes.len() == shape.channels && lanes.iter().all(|lane| lane / 4 < planes);
            ensure(inside, "an output of other channels")?;
            len = product(&[shape.len() + len])?;
            // A plane is read again for each lane, where the one before it is another's.
            all = all.saturating_add(readings.work(blocks(*shape)).saturating_mul(lanes.len() as u64));
        }
        ensure(dims.first() == Some(&1) && product(dims)? == len, "an output of another shape")?;
        Ok(all)
    }

    /// How many numbers it has.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(_, shape, _)| shape.len()).sum()
    }

    /// Scratch that it needs.
    pub(super) fn need(&self) -> Need {
        let areas = self.parts.iter().map(|(_, shape, _)| 4 * shape.area().next_multiple_of(BLOCK));
        Need { reals: areas.max().unwrap_or(0), ..Need::default() }
    }

    /// Writes all its numbers to `out`.
    pub(super) fn run(&self, memory: &mut Memory, out: &mut [f32]) {
        let Memory { kernels, bytes, reals, scratches, .. } = memory;
        let sources = Sources { bytes: Around::whole(bytes.values()), reals: Around::whole(reals.values()) };
        let scratch = &mut *own(scratches, 0);
        let plane = scratch.reals.values();
        let mut rest = out;
        for (readings, shape, lanes) in &self.parts {
            let (all, behind) = rest.split_at_mut(shape.len());
            rest = behind;
            let pixels = shape.area().next_multiple_of(BLOCK);
            let mut read = usize::MAX;
            for (&lane, out) in lanes.iter().zip(all.chunks_exact_mut(shape.area())) {
                if lane / 4 != read {
                    read = lane / 4;
                    readings.read_real(*kernels, sources, (0, pixels), read..read + 1, plane, 4 * pixels);
                }
                out.iter_mut().zip(plane.as_chunks::<4>().0).for_each(|(out, four)| *out = four[lane % 4]);
            }
        }
    }
}
