//! The layout of each segment, before it is given a place in memory.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::int8_tiles::Int8Tiles;
use crate::kernels::{Kernels, QuantType};
use crate::model::fused::{Border, ConvolutionWeights, FusedNetwork, Layer, Op, Read, Shape, Window};
use crate::quant::Affine;

/// How the values of a segment are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Storage {
    Quantized(QuantType),
    F32,
}

/// The layout of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) shape: Shape,
    pub(super) kind: Storage,
    /// Number of planes of four channels.
    pub(super) planes: usize,
    /// For each channel its lane: four times its plane plus its index there. Some lanes may hold no channel.
    pub(super) lanes: Vec<usize>,
    /// Set if windows read the segment in place.
    pub(super) halo: Option<Halo>,
    /// Applied to an input's values when they are loaded.
    pub(super) loading: Vec<Affine>,
}

/// Padding and shifted copies of a segment, so that a convolution can read it in place.
///
/// Rows follow one another without a gap: a window that reaches beyond the side of the image would read the end of the previous
/// row, or the beginning of the next. For each column shift there is therefore a copy of the segment's planes in which those
/// columns hold padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Halo {
    /// The quantized value that represents 0, as u8.
    pub(super) zero: u8,
    /// Rows or columns by which windows reach beyond the image: top, left, bottom, right.
    pub(super) padding: [usize; 4],
    /// Column shifts that have a copy: from -left to right without 0.
    pub(super) shifts: Vec<isize>,
}

/// The most bytes of a plane's copies, for all column shifts.
const LARGEST_COPIES: usize = 4 << 20;

impl Halo {
    fn new(zero: u8, padding: [usize; 4]) -> Self {
        let [_, left, _, right] = padding;
        let shifts = (-(left as isize)..=right as isize).filter(|shift| *shift != 0).collect();
        Self { zero, padding, shifts }
    }
}

impl Segment {
    /// Bytes of so many of its planes, without the padding around the image.
    pub(super) fn bytes(&self, planes: usize) -> u64 {
        let value = if self.kind == Storage::F32 { size_of::<f32>() } else { 1 };
        (planes as u64).saturating_mul(4 * value as u64).saturating_mul(self.shape.area() as u64)
    }

    /// Whether its values are signed quantized values.
    pub(super) fn signed(&self) -> bool {
        matches!(self.kind, Storage::Quantized(qvalues) if qvalues.is_signed())
    }
}

/// The segments of a network that `kernels` run.
pub(super) fn segments(network: &FusedNetwork, kernels: Kernels) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (number, input) in network.inputs.iter().enumerate() {
        let loading = loading(network, number);
        let kind = loading.last().map_or(Storage::F32, |affine| qvalues(affine.low));
        segments.push(segment(input.shape, kind, (0..input.shape.channels).collect(), loading));
    }
    for layer in &network.layers {
        let lanes = match layer.op {
            Op::Convolution { .. } => (0..layer.output.channels).collect(),
            Op::MaxPool(_) | Op::SumPool(_) | Op::Normalize { .. } => read_lanes(&layer.reads, &segments),
            Op::Add | Op::Multiply => {
                layer.operands(network).map_or_else(Vec::new, |[first, _]| read_lanes(first, &segments))
            }
        };
        let kind = kind(network, layer, &segments);
        segments.push(segment(layer.output, kind, lanes, Vec::new()));
    }
    for layer in &network.layers {
        let planes = layer.reads.iter().map(|read| read_planes(read, &segments).len()).sum();
        let by_tiles = Int8Tiles::chosen(kernels, layer, network.input_shape(layer), planes).is_some();
        let (number, halo) = match reads_as_is(network, layer, &segments) {
            _ if by_tiles => match reads_unchanged(layer, &segments) {
                Some(number) => (number, None),
                None => continue,
            },
            Some((number, halo)) => (number, Some(halo)),
            None => continue,
        };
        let segment = &mut segments[number];
        let qvalues = if segment.signed() { QuantType::ActivationSigned } else { QuantType::Activation };
        segment.kind = Storage::Quantized(qvalues);
        segment.halo = halo.or(segment.halo.take());
    }
    segments
}

/// The segment of quantized values that a layer reads, if it is a whole one without prologue.
fn reads_unchanged(layer: &Layer, segments: &[Segment]) -> Option<usize> {
    let [read] = layer.reads.as_slice() else { return None };
    let quantized = matches!(segments[read.segment].kind, Storage::Quantized(_));
    (quantized && read.channels.is_empty() && affines(read, segments).is_empty()).then_some(read.segment)
}

/// The same if it is stored as the kernels' convolutions read it.
pub(super) fn reads_activations(layer: &Layer, segments: &[Segment]) -> Option<usize> {
    reads_unchanged(layer, segments).filter(|&segment| {
        matches!(segments[segment].kind, Storage::Quantized(QuantType::Activation | QuantType::ActivationSigned))
    })
}

fn segment(shape: Shape, kind: Storage, lanes: Vec<usize>, loading: Vec<Affine>) -> Segment {
    let planes = lanes.iter().max().map_or(0, |lane| lane / 4 + 1);
    Segment { shape, kind, planes, lanes, halo: None, loading }
}

fn qvalues(low: f32) -> Storage {
    Storage::Quantized(if low < 0.0 { QuantType::Signed } else { QuantType::Unsigned })
}

/// The lanes of the concatenation of some segments.
pub(super) fn read_lanes(reads: &[Read], segments: &[Segment]) -> Vec<usize> {
    let mut planes = 0;
    let mut lanes = Vec::new();
    for read in reads {
        let (segment, taken) = (&segments[read.segment], read_planes(read, segments));
        let lane = |channel: usize| 4 * planes + segment.lanes[channel] - 4 * taken.start;
        match read.channels.as_slice() {
            [] => lanes.extend((0..segment.lanes.len()).map(lane)),
            channels => lanes.extend(channels.iter().map(|&channel| lane(channel))),
        }
        planes += taken.len();
    }
    lanes
}

/// The planes of a segment that a read takes: from the first to the last that holds one of its channels.
pub(super) fn read_planes(read: &Read, segments: &[Segment]) -> Range<usize> {
    let segment = &segments[read.segment];
    let planes = || read.channels.iter().map(|&channel| segment.lanes[channel] / 4);
    match (planes().min(), planes().max()) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..segment.planes,
    }
}

/// The part of the prologue, up to quantized values, that all readers of an input share: it runs once, when the input is loaded.
fn loading(network: &FusedNetwork, input: usize) -> Vec<Affine> {
    let reads = network.layers.iter().flat_map(|layer| &layer.reads);
    let mut reads = reads.chain(network.outputs.iter().flat_map(|output| &output.reads));
    let mut reads = reads.by_ref().filter(|read| read.segment == input);
    let Some(first) = reads.next() else { return Vec::new() };
    let fits =
        first.prologue.last().is_some_and(Affine::gives_bytes) && reads.all(|read| read.prologue == first.prologue);
    if fits { first.prologue.clone() } else { Vec::new() }
}

/// The rest of a reader's prologue.
pub(super) fn affines<'a>(read: &'a Read, segments: &[Segment]) -> &'a [Affine] {
    if segments[read.segment].loading.is_empty() { &read.prologue } else { &[] }
}

/// How a layer's results are stored; `segments` are those before it.
fn kind(network: &FusedNetwork, layer: &Layer, segments: &[Segment]) -> Storage {
    match (layer.epilogue.last(), &layer.op, layer.reads.as_slice()) {
        (Some(affine), ..) if affine.gives_bytes() => qvalues(affine.low),
        // A max pool keeps the encoding of its input.
        (None, Op::MaxPool(_), [read]) => match affines(read, segments).last() {
            Some(affine) if affine.gives_bytes() => qvalues(affine.low),
            Some(_) => Storage::F32,
            None => match segments[read.segment].kind {
                Storage::Quantized(qvalues) if qvalues.is_signed() => Storage::Quantized(QuantType::Signed),
                Storage::Quantized(_) => Storage::Quantized(QuantType::Unsigned),
                Storage::F32 => Storage::F32,
            },
        },
        (None, Op::MaxPool(_), _) if layer.reads_quantized(network) => {
            let low = |read: &Read| match affines(read, segments).last() {
                Some(affine) => affine.low < 0.0,
                None => segments[read.segment].signed(),
            };
            // Signed and unsigned segments have no common type.
            match layer.reads.iter().filter(|read| low(read)).count() {
                0 => Storage::Quantized(QuantType::Unsigned),
                n if n == layer.reads.len() => Storage::Quantized(QuantType::Signed),
                _ => Storage::F32,
            }
        }
        _ => Storage::F32,
    }
}

/// The segment that an int8 convolution reads in place, and the halo that this needs.
pub(super) fn reads_as_is(network: &FusedNetwork, layer: &Layer, segments: &[Segment]) -> Option<(usize, Halo)> {
    let Op::Convolution { window, weights: ConvolutionWeights::Int8 { input_zero_point, .. }, .. } = &layer.op else {
        return None;
    };
    let number = reads_unchanged(layer, segments)?;
    let segment = &segments[number];
    let zero = input_zero_point + if segment.signed() { 128 } else { 0 };
    let halo = Halo::new(u8::try_from(zero).ok()?, window.padding);
    let same_size = (layer.output.height, layer.output.width) == (segment.shape.height, segment.shape.width);
    let plain = window.border == Border::Zero && window.stride == [1, 1] && same_size;
    let padded = window.padding != [0; 4];
    // Only convolutions write a halo, and only if their accumulators are requantized directly.
    let writer = number.checked_sub(network.inputs.len()).map(|number| &network.layers[number]);
    let copied = writer.is_some_and(writes_quantized);
    // For larger images, or wider windows, copies cost more than they save.
    let small = halo.shifts.len().saturating_mul(4 * segment.shape.area()) <= LARGEST_COPIES;
    let agreed = segment.halo.as_ref().is_none_or(|other| *other == halo);
    (plain && small && agreed && (!padded || copied)).then_some((number, halo))
}

/// Whether one affine takes an int8 convolution's accumulators to quantized values.
pub(super) fn writes_quantized(layer: &Layer) -> bool {
    layer.is_int8() && matches!(layer.epilogue.as_slice(), [affine] if affine.gives_bytes() && fits_requantize(affine))
}

fn fits_requantize(affine: &Affine) -> bool {
    let finite = affine.mul.iter().chain(&affine.add).all(|x| x.is_finite());
    finite && affine.function.is_identity() && affine.low.fract() == 0.0 && affine.high.fract() == 0.0
}

/// Height and width of the border that a window needs around the image.
pub(super) fn reach(window: &Window) -> [usize; 2] {
    window.span().map(|side| side - 1)
}
