//! An int8 convolution: what it reads becomes quantized values, the kernels convolve them, its results become quantized values or f32
//! values.
//!
//! Work is done tile by tile: what is read of a tile's pixels stays in the cache until it is convolved, and threads take the
//! tiles one after another.

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, blocks, ensure, product, work};
use super::gather::is_signed;
use super::halo::HaloWriter;
use super::input::ConvolutionInput;
use super::lowering::Lowering;
use super::memory::{Memory, Scratch, ScratchSize, Sources, SplitBorrow, own};
use super::memory_plan::Placement;
use super::segments::{Segment, Storage, read_lanes, writes_quantized};
use crate::error::Result;
use crate::kernels::{
    AffineChain, AffineChainF32, Blob, ChainInput, ChainInputF32, Convolve, Kernels, Operand, Packed, PlanesMut,
    QuantType, Requantize, TileQueue,
};
use crate::model::fused::{ConvolutionWeights, Layer, Op, Shape, Window};
use crate::quant::Affine;

/// An int8 convolution, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Convolution {
    weights: Packed,
    input: ConvolutionInput,
    epilogue: Epilogue,
    to: Placement,
    shape: Shape,
    /// Pixels of a tile.
    tile_len: usize,
}

/// What becomes of the sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Epilogue {
    /// Quantized values, in one step.
    Quantized { requantize: Requantize, halo: Option<HaloWriter> },
    /// Quantized values in one step, and others made of them.
    Twice { requantize: Requantize, chain: AffineChain },
    /// Quantized values after several k_steps.
    Rounded(AffineChainF32, QuantType),
    /// F32 values.
    F32(AffineChainF32),
}

impl Convolution {
    /// The convolution of a layer with int8 weights, which writes the segment `to`.
    ///
    /// # Errors
    /// Kernels refuse scales that are not finite.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, to: usize) -> Result<Self> {
        let Op::Convolution { window, weights: ConvolutionWeights::Int8 { input_zero_point, .. } } = &layer.op else {
            unreachable!("the caller looked at the weights")
        };
        let (input, tile_len) = ConvolutionInput::qvalues(lowering, layer, window, *input_zero_point);
        let (k_steps, init) = products(lowering, layer, window, &input);
        let weights = lowering.kernels.pack(&k_steps.weights(), &init, &k_steps.offsets)?;
        let epilogue = Epilogue::new(lowering, layer, to, weights.outputs())?;
        Ok(Self { weights, input, epilogue, to: lowering.places[to], shape: layer.output, tile_len })
    }

    /// Its weights, which are stored apart.
    pub(super) fn blob(&mut self) -> Blob<'_> {
        self.weights.blob()
    }

    /// Whether it can be run by `kernels` in `arena`; about how many multiply-adds it takes.
    pub(super) fn check(&self, kernels: Kernels, arena: (usize, usize)) -> Checked<u64> {
        let Self { weights, input, epilogue, to, shape, tile_len } = self;
        ensure(weights.isa() == kernels.isa(), "weights for another instruction set")?;
        let outputs = weights.outputs();
        check::shape(*shape)?;
        ensure(shape.channels.next_multiple_of(4) == outputs, "weights of other outputs")?;
        let real = matches!(epilogue, Epilogue::F32(_));
        to.check(if real { arena.1 } else { arena.0 }, *shape)?;
        let planes = outputs / 4;
        let copied = matches!(epilogue, Epilogue::Quantized { halo: Some(_), .. });
        ensure(copied || to.planes == planes, "planes of other outputs")?;
        let memory = Readable::all(arena).but(real, to.range());
        let read = input.check(&memory, false, (*shape, *tile_len), weights.furthest())?;
        product(&[outputs, *tile_len])?;
        let after = epilogue.check(to, planes, *shape)?;
        let macs = work(&[weights.bytes(), blocks(*shape)]);
        Ok(macs.saturating_add(read).saturating_add(after))
    }

    /// Scratch that a thread needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        let results = self.weights.outputs() * self.tile_len;
        let scratch = self.input.scratch_quantized();
        match self.epilogue {
            Epilogue::Quantized { .. } => scratch,
            Epilogue::Twice { .. } => ScratchSize { spare_qvalues: results, ..scratch },
            Epilogue::Rounded(..) | Epilogue::F32(_) => ScratchSize { spare_floats: results, sums: results, ..scratch },
        }
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, floats, scratches, thread_pool, .. } = memory;
        let kernels = *kernels;
        let (bytes, floats) = (bytes.values(), floats.values());
        let Placement { plane_stride, planes, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(kernels.pixel_multiple());
        if let Epilogue::F32(chain) = &self.epilogue {
            let (out, rest) = SplitBorrow::split(floats, self.to.range());
            let sources = Sources { bytes: SplitBorrow::whole(bytes), floats: rest };
            let chunks = TileQueue::new(PlanesMut::new(&mut out[lead..], planes, plane_stride, end), 4 * self.tile_len);
            thread_pool.run(&|index| {
                let mut scratch = own(scratches, index);
                while let Some((begin, mut part)) = chunks.take() {
                    let operand = self.sums(kernels, sources, begin, part.len(), &mut scratch);
                    kernels.affine_to_f32(chain, &operand, &mut part);
                }
            });
            return;
        }
        let (out, rest) = SplitBorrow::split(bytes, self.to.range());
        if let Epilogue::Quantized { halo: Some(halo), .. } = &self.epilogue {
            halo.write_around(out, plane_stride);
        }
        let sources = Sources { bytes: rest, floats: SplitBorrow::whole(floats) };
        let chunks = TileQueue::new(PlanesMut::new(&mut out[lead..], planes, plane_stride, end), 4 * self.tile_len);
        thread_pool.run(&|index| {
            let mut scratch = own(scratches, index);
            while let Some((begin, mut part)) = chunks.take() {
                let len = part.len();
                match &self.epilogue {
                    Epilogue::Quantized { requantize, halo } => {
                        let Scratch { qvalues, raw_qvalues, .. } = &mut *scratch;
                        let (qvalues, raw) = (qvalues.values(), raw_qvalues.values());
                        let input = self.input.gather_quantized(kernels, sources, self.part(begin, len), qvalues, raw);
                        let operand = Convolve { input, weights: &self.weights, pixels: len / 4 };
                        kernels.convolve(&operand, requantize, &mut part.first(self.weights.outputs() / 4));
                        if let Some(halo) = halo {
                            halo.write_beside(kernels, begin, &mut part);
                        }
                    }
                    Epilogue::Twice { requantize, chain } => {
                        let Scratch { qvalues, raw_qvalues, spare_qvalues, .. } = &mut *scratch;
                        let (qvalues, raw) = (qvalues.values(), raw_qvalues.values());
                        let input = self.input.gather_quantized(kernels, sources, self.part(begin, len), qvalues, raw);
                        let operand = Convolve { input, weights: &self.weights, pixels: len / 4 };
                        let (spare, planes) = (spare_qvalues.values(), self.weights.outputs() / 4);
                        kernels.convolve(&operand, requantize, &mut PlanesMut::new(spare, planes, len, len));
                        let operand =
                            ChainInput { input: spare, plane_stride: len, planes: 0..planes, pixels: len / 4 };
                        kernels.affine(chain, &operand, &mut part);
                    }
                    Epilogue::Rounded(chain, qvalues) => {
                        let operand = self.sums(kernels, sources, begin, len, &mut scratch);
                        kernels.affine_to_quantized(chain, &operand, *qvalues, &mut part);
                    }
                    Epilogue::F32(_) => unreachable!("it has returned"),
                }
            }
        });
    }

    /// First pixel, number of pixels and first row of a tile.
    fn part(&self, begin: usize, len: usize) -> (usize, usize, usize) {
        (begin / 4, len / 4, begin / 4 / self.shape.width)
    }

    /// The sums of a tile as f32 values in planes.
    fn sums<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        scratch: &'a mut Scratch,
    ) -> ChainInputF32<'a> {
        let Scratch { qvalues, raw_qvalues, spare_floats, sums, .. } = scratch;
        let (outputs, pixels) = (self.weights.outputs(), len / 4);
        let input = self.input.gather_quantized(
            kernels,
            sources,
            self.part(begin, len),
            qvalues.values(),
            raw_qvalues.values(),
        );
        let operand = Convolve { input, weights: &self.weights, pixels };
        let sums = sums.values();
        kernels.convolve_raw(&operand, &mut PlanesMut::new(sums, outputs, pixels, pixels));
        let floats = spare_floats.values();
        for (output, sums) in sums.chunks_exact(pixels).take(outputs).enumerate() {
            let plane = &mut floats[output / 4 * len..][..len];
            plane.as_chunks_mut::<4>().0.iter_mut().zip(sums).for_each(|(four, &sum)| four[output % 4] = sum as f32);
        }
        ChainInputF32 { input: Operand::F32(floats), plane_stride: len, planes: 0..outputs / 4, pixels }
    }
}

impl Epilogue {
    fn new(lowering: Lowering<'_>, layer: &Layer, to: usize, outputs: usize) -> Result<Self> {
        let (segment, place) = (&lowering.segments[to], &lowering.places[to]);
        let padded = |affine: &Affine| {
            let mut affine = affine.clone();
            affine.mul.resize(outputs, 0.0);
            affine.add.resize(outputs, 0.0);
            affine
        };
        let affines: Vec<Affine> = layer.epilogue.iter().map(padded).collect();
        let qvalues = match segment.kind {
            Storage::Quantized(qvalues) => qvalues,
            Storage::F32 => return Ok(Self::F32(AffineChainF32::new(outputs, &affines))),
        };
        if !writes_quantized(layer) {
            return Ok(Self::twice(&affines, qvalues)
                .unwrap_or_else(|| Self::Rounded(AffineChainF32::new(outputs, &affines), qvalues)));
        }
        let flip = if lowering.kernels.shifted() { 0x80 } else { 0 };
        let halo = segment.halo.as_ref().map(|halo| HaloWriter::new(segment, halo, place, flip));
        Ok(Self::Quantized { requantize: Requantize::new(&affines[0], qvalues)?, halo })
    }
}

impl Epilogue {
    /// Whether it takes `planes` planes of results of this shape; about how many multiply-adds it takes.
    fn check(&self, to: &Placement, planes: usize, shape: Shape) -> Checked<u64> {
        let (has, affines) = match self {
            Self::Quantized { requantize, halo } => {
                if let Some(halo) = halo {
                    halo.check(to, planes, shape)?;
                }
                ensure(requantize.channels() == 4 * planes, "affines of other outputs")?;
                return Ok(halo.as_ref().map_or(0, HaloWriter::work));
            }
            Self::Twice { requantize, chain } => {
                ensure(requantize.channels() == 4 * planes, "affines of other outputs")?;
                (chain.planes(), chain.affines())
            }
            Self::Rounded(chain, _) | Self::F32(chain) => (chain.planes(), chain.affines()),
        };
        ensure(has == planes, "affines of other outputs")?;
        Ok(work(&[4, planes, blocks(shape), 1 + affines]))
    }

    /// The first affine in the convolution, the others after it, where all results are quantized values.
    fn twice(affines: &[Affine], to: QuantType) -> Option<Self> {
        let (first, rest) = affines.split_first()?;
        if rest.is_empty() || !first.gives_bytes() {
            return None;
        }
        let qvalues = if first.low < 0.0 { QuantType::Signed } else { QuantType::Unsigned };
        let requantize = Requantize::new(first, qvalues).ok()?;
        Some(Self::Twice { requantize, chain: AffineChain::new(rest, qvalues, to).ok()? })
    }
}

/// The k-k_steps of a convolution: where each looks, and its weights, `[k_steps][outputs][4]`.
struct KSteps {
    outputs: usize,
    offsets: Vec<u32>,
    weights: Vec<i8>,
}

impl KSteps {
    /// Adds a k_step. Weights beyond those of kernels, -127 to 127, are spread over several k_steps at the same place.
    fn push(&mut self, offset: usize, weight: impl Fn(usize, usize) -> i32) {
        let mut left: Vec<i32> = (0..4 * self.outputs).map(|i| weight(i / 4, i % 4)).collect();
        loop {
            self.offsets.push(offset as u32);
            for left in &mut left {
                let part = (*left).clamp(-127, 127);
                self.weights.push(part as i8);
                *left -= part;
            }
            if left.iter().all(|left| *left == 0) {
                return;
            }
        }
    }

    /// The weights, `[outputs][k_steps][4]`.
    fn weights(&self) -> Vec<i8> {
        let (k_steps, outputs) = (self.offsets.len(), self.outputs);
        let four = |output: usize, k_step: usize| &self.weights[4 * (k_step * outputs + output)..][..4];
        (0..outputs).flat_map(|output| (0..k_steps).flat_map(move |k_step| four(output, k_step))).copied().collect()
    }
}

/// All products of a convolution, and what the sums start from so that quantized values count from their zero point.
fn products(lowering: Lowering<'_>, layer: &Layer, window: &Window, input: &ConvolutionInput) -> (KSteps, Vec<i32>) {
    let Op::Convolution { weights: ConvolutionWeights::Int8 { values, zero_points, input_zero_point }, .. } = &layer.op
    else {
        unreachable!("the caller looked at the weights")
    };
    let lanes = read_lanes(layer, lowering.segments);
    let outputs = layer.output.channels;
    let padded = outputs.next_multiple_of(4);
    let mut k_steps = KSteps { outputs: padded, offsets: Vec::new(), weights: Vec::new() };
    let mut init = vec![0i32; padded];
    let mut first = 0;
    for read in &layer.reads {
        let Segment { planes, .. } = lowering.segments[read.segment];
        // Quantized values reach the kernels as u8: signed ones are 128 too high.
        let high = input_zero_point + if is_signed(read, lowering.segments) { 128 } else { 0 };
        for plane in first..first + planes {
            let channels = [0, 1, 2, 3].map(|i| lanes.iter().position(|&lane| lane == 4 * plane + i));
            for tap in 0..window.len() {
                let weight = |output: usize, i: usize| {
                    let Some(channel) = channels[i].filter(|_| output < outputs) else { return 0 };
                    let value = i32::from(values[(output * lanes.len() + channel) * window.len() + tap]);
                    value - zero_points.get(output).map_or(0, |&zero_point| i32::from(zero_point))
                };
                let place = [tap / window.kernel[1], tap % window.kernel[1]];
                k_steps.push(input.offset(place, plane), weight);
                for (output, init) in init.iter_mut().enumerate() {
                    *init -= high * (0..4).map(|i| weight(output, i)).sum::<i32>();
                }
            }
        }
        first += planes;
    }
    (k_steps, init)
}
