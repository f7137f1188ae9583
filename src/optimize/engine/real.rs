//! A convolution of real numbers, part by part as those of codes.

use serde::{Deserialize, Serialize};

use super::Site;
use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::input::Input;
use super::layout::Place;
use super::memory::{Around, Memory, Need, Scratch, Sources, own};
use super::segments::{Kind, read_lanes};
use crate::error::Result;
use crate::kernels::{
    Blob, Chunks, Codes, ConvolveReal, Finish, Kernels, PackedReal, PlanesMut, ReadReal, RealReader, Source,
};
use crate::model::fused::{Layer, Op, Shape, Weights};
use crate::quant::Step;

/// A float convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RealConvolution {
    weights: PackedReal,
    /// Adds the bias.
    finish: Finish,
    input: Input,
    sink: Sink,
    to: Place,
    shape: Shape,
    /// Pixels of a part.
    chunk: usize,
}

/// What becomes of the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Sink {
    /// They are written as they are.
    Plain,
    /// Real numbers, after these steps.
    Real(RealReader),
    /// Codes.
    Rounded(RealReader, Codes),
}

impl RealConvolution {
    /// The convolution of a layer with float weights, which writes the segment `to`.
    ///
    /// # Errors
    /// None for bounds that are none.
    pub(super) fn new(site: Site<'_>, layer: &Layer, to: usize) -> Result<Self> {
        let Op::Convolution { window, weights: Weights::Float { values, bias } } = &layer.op else {
            unreachable!("the caller looked at the weights")
        };
        let (input, chunk) = Input::real(site, layer, window);
        let lanes = read_lanes(layer, site.segments);
        let planes: usize = layer.reads.iter().map(|read| site.segments[read.segment].planes).sum();
        let mut channels = vec![None; 4 * planes];
        lanes.iter().enumerate().for_each(|(channel, &lane)| channels[lane] = Some(channel));
        let taps = window.len();
        let outputs = layer.output.channels.next_multiple_of(4);
        let steps = || (0..planes).flat_map(|plane| (0..taps).map(move |tap| (plane, tap)));
        let place = |tap: usize| [tap / window.kernel[1], tap % window.kernel[1]];
        let offsets: Vec<u32> = steps().map(|(plane, tap)| input.offset(place(tap), plane) as u32).collect();
        let weight = |output: usize, plane: usize, tap: usize, i: usize| match channels[4 * plane + i] {
            Some(channel) if output < layer.output.channels => values[(output * lanes.len() + channel) * taps + tap],
            _ => 0.0,
        };
        let of = |output| steps().flat_map(move |(plane, tap)| (0..4).map(move |i| (output, plane, tap, i)));
        let packed: Vec<f32> =
            (0..outputs).flat_map(of).map(|(output, plane, tap, i)| weight(output, plane, tap, i)).collect();
        let padded = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(outputs, 0.0);
            values
        };
        let (mul, low, high) = (vec![1.0; outputs], f32::NEG_INFINITY, f32::INFINITY);
        let finish = Finish::new(&Step { mul, add: padded(bias), low, high, round: false })?;
        let step = |step: &Step| Step { mul: padded(&step.mul), add: padded(&step.add), ..*step };
        let reader = || RealReader::new(outputs, &layer.write.iter().map(step).collect::<Vec<_>>());
        let sink = match site.segments[to].kind {
            Kind::Codes(codes) => Sink::Rounded(reader(), codes),
            Kind::Real if layer.write.is_empty() => Sink::Plain,
            Kind::Real => Sink::Real(reader()),
        };
        let weights = site.kernels.pack_real(&packed, &offsets);
        Ok(Self { weights, finish, input, sink, to: site.places[to], shape: layer.output, chunk })
    }

    /// Its weights, which are stored apart.
    pub(super) fn blob(&mut self) -> Blob<'_> {
        self.weights.blob()
    }

    /// Whether it can be run in `room`; about how many multiply-adds it takes.
    pub(super) fn check(&self, room: (usize, usize)) -> Checked<u64> {
        let Self { weights, finish, input, sink, to, shape, chunk } = self;
        let outputs = weights.outputs();
        check::shape(*shape)?;
        ensure(shape.channels.next_multiple_of(4) == outputs, "weights of other outputs")?;
        let real = !matches!(sink, Sink::Rounded(..));
        to.check(if real { room.1 } else { room.0 }, *shape)?;
        let planes = outputs / 4;
        ensure(to.planes == planes && finish.channels() == outputs, "planes of other outputs")?;
        let memory = Readable::all(room).but(real, to.range());
        let read = input.check(&memory, true, (*shape, *chunk), weights.furthest())?;
        product(&[outputs, *chunk])?;
        let (has, steps) = match sink {
            Sink::Plain => (planes, 0),
            Sink::Real(reader) | Sink::Rounded(reader, _) => (reader.planes(), reader.steps()),
        };
        ensure(has == planes, "steps of other outputs")?;
        let macs = work(&[weights.len(), blocks(*shape)]);
        let after = work(&[4, planes, blocks(*shape), 1 + steps]);
        Ok(macs.saturating_add(read).saturating_add(after))
    }

    /// Scratch that a thread needs.
    pub(super) fn need(&self) -> Need {
        let results = match self.sink {
            Sink::Plain => 0,
            Sink::Real(_) | Sink::Rounded(..) => self.weights.outputs() * self.chunk,
        };
        Need { spare_reals: results, ..self.input.need_real() }
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, reals, scratches, team, .. } = memory;
        let kernels = *kernels;
        let (bytes, reals) = (bytes.values(), reals.values());
        let Place { pitch, planes, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(kernels.grain());
        if let Sink::Rounded(reader, codes) = &self.sink {
            let (out, around) = Around::split(bytes, self.to.range());
            let sources = Sources { bytes: around, reals: Around::whole(reals) };
            let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], planes, pitch, end), 4 * self.chunk);
            team.run(&|member| {
                let mut scratch = own(scratches, member);
                while let Some((begin, mut part)) = chunks.take() {
                    let what = self.results(kernels, sources, begin, part.len(), &mut scratch);
                    kernels.read_rounded(reader, &what, *codes, &mut part);
                }
            });
            return;
        }
        let (out, around) = Around::split(reals, self.to.range());
        let sources = Sources { bytes: Around::whole(bytes), reals: around };
        let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], planes, pitch, end), 4 * self.chunk);
        team.run(&|member| {
            let mut scratch = own(scratches, member);
            while let Some((begin, mut part)) = chunks.take() {
                let len = part.len();
                if let Sink::Real(reader) = &self.sink {
                    let what = self.results(kernels, sources, begin, len, &mut scratch);
                    kernels.read_real(reader, &what, &mut part);
                } else {
                    let Scratch { reals, raw_reals, .. } = &mut *scratch;
                    self.convolve(kernels, sources, begin, reals.values(), raw_reals.values(), &mut part);
                }
            }
        });
    }

    /// Convolves a part.
    fn convolve(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        reals: &mut [f32],
        raw: &mut [f32],
        out: &mut PlanesMut<'_, f32>,
    ) {
        let pixels = out.len() / 4;
        let part = (begin / 4, pixels, begin / 4 / self.shape.width);
        let input = self.input.read_real(kernels, sources, part, reals, raw);
        kernels.convolve_real(&ConvolveReal { input, weights: &self.weights, pixels }, &self.finish, out);
    }

    /// The results of a part.
    fn results<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        scratch: &'a mut Scratch,
    ) -> ReadReal<'a> {
        let Scratch { reals, raw_reals, spare_reals, .. } = scratch;
        let planes = self.weights.outputs() / 4;
        let out = spare_reals.values();
        let mut results = PlanesMut::new(out, planes, len, len);
        self.convolve(kernels, sources, begin, reals.values(), raw_reals.values(), &mut results);
        ReadReal { input: Source::Real(spare_reals.values()), pitch: len, planes: 0..planes, pixels: len / 4 }
    }
}
