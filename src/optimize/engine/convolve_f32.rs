//! A convolution of f32 values, tile by tile as those of quantized values.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::input::ConvolutionInput;
use super::lowering::Lowering;
use super::memory::{Memory, Scratch, ScratchSize, Sources, SplitBorrow, own};
use super::memory_plan::Placement;
use super::segments::{Storage, read_lanes};
use crate::error::Result;
use crate::kernels::{
    AffineChainF32, BiasClamp, Blob, ChainInputF32, ConvolveF32, Kernels, Operand, PackedF32, PlanesMut, QuantType,
    TileQueue,
};
use crate::model::fused::{ConvolutionWeights, Layer, Op, Shape};
use crate::quant::Affine;

/// A float convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConvolutionF32 {
    weights: PackedF32,
    /// Adds the bias.
    bias_clamp: BiasClamp,
    input: ConvolutionInput,
    epilogue: EpilogueF32,
    to: Placement,
    shape: Shape,
    /// Pixels of a tile.
    tile_len: usize,
}

/// What becomes of the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum EpilogueF32 {
    /// They are written as they are.
    Plain,
    /// F32 values, after these affines.
    F32(AffineChainF32),
    /// Quantized values.
    Rounded(AffineChainF32, QuantType),
}

impl ConvolutionF32 {
    /// The convolution of a layer with float weights, which writes the segment `to`.
    ///
    /// # Errors
    /// None for bounds that are none.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, to: usize) -> Result<Self> {
        let Op::Convolution { window, weights: ConvolutionWeights::Float { values, bias } } = &layer.op else {
            unreachable!("the caller looked at the weights")
        };
        let (input, tile_len) = ConvolutionInput::real(lowering, layer, window);
        let lanes = read_lanes(layer, lowering.segments);
        let planes: usize = layer.reads.iter().map(|read| lowering.segments[read.segment].planes).sum();
        let mut channels = vec![None; 4 * planes];
        lanes.iter().enumerate().for_each(|(channel, &lane)| channels[lane] = Some(channel));
        let taps = window.len();
        let outputs = layer.output.channels.next_multiple_of(4);
        let k_steps = || (0..planes).flat_map(|plane| (0..taps).map(move |tap| (plane, tap)));
        let place = |tap: usize| [tap / window.kernel[1], tap % window.kernel[1]];
        let offsets: Vec<u32> = k_steps().map(|(plane, tap)| input.offset(place(tap), plane) as u32).collect();
        let weight = |output: usize, plane: usize, tap: usize, i: usize| match channels[4 * plane + i] {
            Some(channel) if output < layer.output.channels => values[(output * lanes.len() + channel) * taps + tap],
            _ => 0.0,
        };
        let of = |output| k_steps().flat_map(move |(plane, tap)| (0..4).map(move |i| (output, plane, tap, i)));
        let packed: Vec<f32> =
            (0..outputs).flat_map(of).map(|(output, plane, tap, i)| weight(output, plane, tap, i)).collect();
        let padded = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(outputs, 0.0);
            values
        };
        let (mul, low, high) = (vec![1.0; outputs], f32::NEG_INFINITY, f32::INFINITY);
        let bias_clamp = BiasClamp::new(&Affine { mul, add: padded(bias), low, high, round: false })?;
        let affine = |affine: &Affine| Affine { mul: padded(&affine.mul), add: padded(&affine.add), ..*affine };
        let chain = || AffineChainF32::new(outputs, &layer.epilogue.iter().map(affine).collect::<Vec<_>>());
        let epilogue = match lowering.segments[to].kind {
            Storage::Quantized(qvalues) => EpilogueF32::Rounded(chain(), qvalues),
            Storage::F32 if layer.epilogue.is_empty() => EpilogueF32::Plain,
            Storage::F32 => EpilogueF32::F32(chain()),
        };
        let weights = lowering.kernels.pack_f32(&packed, &offsets);
        Ok(Self { weights, bias_clamp, input, epilogue, to: lowering.places[to], shape: layer.output, tile_len })
    }

    /// Its weights, which are stored apart.
    pub(super) fn blob(&mut self) -> Blob<'_> {
        self.weights.blob()
    }

    /// Whether it can be run in `arena`; about how many multiply-adds it takes.
    pub(super) fn check(&self, arena: (usize, usize)) -> Checked<u64> {
        let Self { weights, bias_clamp, input, epilogue, to, shape, tile_len } = self;
        let outputs = weights.outputs();
        check::shape(*shape)?;
        ensure(shape.channels.next_multiple_of(4) == outputs, "weights of other outputs")?;
        let real = !matches!(epilogue, EpilogueF32::Rounded(..));
        to.check(if real { arena.1 } else { arena.0 }, *shape)?;
        let planes = outputs / 4;
        ensure(to.planes == planes && bias_clamp.channels() == outputs, "planes of other outputs")?;
        let memory = Readable::all(arena).but(real, to.range());
        let read = input.check(&memory, true, (*shape, *tile_len), weights.furthest())?;
        product(&[outputs, *tile_len])?;
        let (has, affines) = match epilogue {
            EpilogueF32::Plain => (planes, 0),
            EpilogueF32::F32(chain) | EpilogueF32::Rounded(chain, _) => (chain.planes(), chain.affines()),
        };
        ensure(has == planes, "affines of other outputs")?;
        let macs = work(&[weights.len(), blocks(*shape)]);
        let after = work(&[4, planes, blocks(*shape), 1 + affines]);
        Ok(macs.saturating_add(read).saturating_add(after))
    }

    /// Scratch that a thread needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        let results = match self.epilogue {
            EpilogueF32::Plain => 0,
            EpilogueF32::F32(_) | EpilogueF32::Rounded(..) => self.weights.outputs() * self.tile_len,
        };
        ScratchSize { spare_floats: results, ..self.input.scratch_f32() }
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, floats, scratches, thread_pool, .. } = memory;
        let kernels = *kernels;
        let (bytes, floats) = (bytes.values(), floats.values());
        let Placement { plane_stride, planes, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(kernels.pixel_multiple());
        if let EpilogueF32::Rounded(chain, qvalues) = &self.epilogue {
            let (out, rest) = SplitBorrow::split(bytes, self.to.range());
            let sources = Sources { bytes: rest, floats: SplitBorrow::whole(floats) };
            let chunks = TileQueue::new(PlanesMut::new(&mut out[lead..], planes, plane_stride, end), 4 * self.tile_len);
            thread_pool.run(&|index| {
                let mut scratch = own(scratches, index);
                while let Some((begin, mut part)) = chunks.take() {
                    let operand = self.results(kernels, sources, begin, part.len(), &mut scratch);
                    kernels.affine_to_quantized(chain, &operand, *qvalues, &mut part);
                }
            });
            return;
        }
        let (out, rest) = SplitBorrow::split(floats, self.to.range());
        let sources = Sources { bytes: SplitBorrow::whole(bytes), floats: rest };
        let chunks = TileQueue::new(PlanesMut::new(&mut out[lead..], planes, plane_stride, end), 4 * self.tile_len);
        thread_pool.run(&|index| {
            let mut scratch = own(scratches, index);
            while let Some((begin, mut part)) = chunks.take() {
                let len = part.len();
                if let EpilogueF32::F32(chain) = &self.epilogue {
                    let operand = self.results(kernels, sources, begin, len, &mut scratch);
                    kernels.affine_to_f32(chain, &operand, &mut part);
                } else {
                    let Scratch { floats, raw_floats, .. } = &mut *scratch;
                    self.convolve(kernels, sources, begin, floats.values(), raw_floats.values(), &mut part);
                }
            }
        });
    }

    /// Convolves a tile.
    fn convolve(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        floats: &mut [f32],
        raw: &mut [f32],
        out: &mut PlanesMut<'_, f32>,
    ) {
        let pixels = out.len() / 4;
        let part = (begin / 4, pixels, begin / 4 / self.shape.width);
        let input = self.input.read_real(kernels, sources, part, floats, raw);
        kernels.convolve_f32(&ConvolveF32 { input, weights: &self.weights, pixels }, &self.bias_clamp, out);
    }

    /// The results of a tile.
    fn results<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        scratch: &'a mut Scratch,
    ) -> ChainInputF32<'a> {
        let Scratch { floats, raw_floats, spare_floats, .. } = scratch;
        let planes = self.weights.outputs() / 4;
        let out = spare_floats.values();
        let mut results = PlanesMut::new(out, planes, len, len);
        self.convolve(kernels, sources, begin, floats.values(), raw_floats.values(), &mut results);
        ChainInputF32 {
            input: Operand::F32(spare_floats.values()),
            plane_stride: len,
            planes: 0..planes,
            pixels: len / 4,
        }
    }
}
