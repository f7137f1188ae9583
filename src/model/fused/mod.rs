//! A network in the form that runs: convolutions, pools, sums and products of two branches, pixels that are normalized, and nothing
//! between them but [`Affine`]s.
//!
//! Norms, ReLUs, quantizers and concatenations are not layers here. A layer's output is a *segment*, kept as it was written;
//! its readers name it together with a prologue ([`Read`]). A dense block is then a list of layers each of which reads one
//! segment more than the last: nothing is copied, and segments keep the scales they were written with.
//!
//! [`FusedNetwork::run`] interprets it value by value. It is the oracle that faster code must match bit for bit.

mod chain;
mod check;
mod class_maps;
mod factor;
mod interpreter;
#[cfg(test)]
pub(crate) mod random;
mod wide;
mod window;

pub use chain::Chain;
pub(super) use check::{sums_fit, zero_point_fits};
pub use class_maps::ClassMaps;
pub(super) use factor::{Unfactored, factor};
pub use interpreter::{Observer, Trace};
pub use window::{Border, Window};

use serde::{Deserialize, Serialize};

use crate::quant::Affine;

/// Extent of a tensor of batch 1, NCHW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Planes.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Values in one plane; saturates.
    pub fn area(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Values in all planes; saturates.
    pub fn len(&self) -> usize {
        self.channels.saturating_mul(self.area())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Channels of a segment, read through a prologue.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Index of the segment: the inputs come first, then each layer's output.
    pub segment: usize,
    /// The channels that are read, in this order, none of them twice; empty for all of them as they are.
    pub channels: Vec<usize>,
    /// Applied to each value, in order; with factors and summands for all channels of the segment, whichever are read.
    pub prologue: Vec<Affine>,
}

impl Read {
    /// All channels of a segment.
    pub fn all(segment: usize, prologue: Vec<Affine>) -> Self {
        Self { segment, channels: Vec::new(), prologue }
    }
}

/// The weights of a convolution, `[out, in / groups, kernel height, kernel width]`.
#[derive(Debug, Clone, PartialEq)]
pub enum ConvolutionWeights {
    /// Quantized values times quantized values, accumulated in i32: `sum((x - input_zero_point) * (w - zero_point[out]))`. Scales and bias
    /// are in the affines that follow.
    Int8 {
        /// The weights' quantized values.
        values: Vec<i8>,
        /// Zero point of each output channel's weights; empty where all are 0.
        zero_points: Vec<i16>,
        /// The quantized value that represents 0 in the input; also fills padding.
        input_zero_point: i32,
    },
    /// F32 values: `sum(x * w) + bias[out]`.
    Float {
        /// The weights.
        values: Vec<f32>,
        /// The bias of each output channel.
        bias: Vec<f32>,
    },
}

/// The operation of a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A convolution; a fully connected layer is one whose window covers its whole input.
    Convolution {
        /// Its window.
        window: Window,
        /// Number of groups of channels: a group's outputs are computed from that group's inputs only.
        groups: usize,
        /// Its weights.
        weights: ConvolutionWeights,
    },
    /// The greatest value under the window; padding does not count.
    MaxPool(Window),
    /// The sum of the values under the window, first down its columns, then across; padding is 0, or absent. An average is this
    /// with a factor in the affines.
    SumPool(Window),
    /// The sum of two operands, value by value: see [`Layer::operands`].
    Add,
    /// The product of two operands, value by value: a gate, or a mask.
    Multiply,
    /// Each pixel's values less their mean over all channels, divided by their deviation (LayerNorm):
    /// `(x - mean) / sqrt(variance + epsilon)`.
    Normalize {
        /// Above 0.
        epsilon: f32,
    },
}

/// The kind of an [`Op`], for listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpKind {
    /// A convolution.
    Convolution,
    /// The greatest value under a window.
    MaxPool,
    /// The sum of the values under a window.
    SumPool,
    /// The sum of two operands.
    Add,
    /// The product of two operands.
    Multiply,
    /// Each pixel normalized over its channels.
    Normalize,
}

impl OpKind {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Convolution => "conv",
            Self::MaxPool => "max_pool",
            Self::SumPool => "sum_pool",
            Self::Add => "add",
            Self::Multiply => "multiply",
            Self::Normalize => "normalize",
        }
    }
}

impl Op {
    /// Its kind.
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Convolution { .. } => OpKind::Convolution,
            Self::MaxPool(_) => OpKind::MaxPool,
            Self::SumPool(_) => OpKind::SumPool,
            Self::Add => OpKind::Add,
            Self::Multiply => OpKind::Multiply,
            Self::Normalize { .. } => OpKind::Normalize,
        }
    }

    /// The window of a convolution or pool.
    pub fn window(&self) -> Option<&Window> {
        match self {
            Self::Convolution { window, .. } | Self::MaxPool(window) | Self::SumPool(window) => Some(window),
            Self::Add | Self::Multiply | Self::Normalize { .. } => None,
        }
    }

    /// Whether it combines two operands, and does not read a concatenation.
    pub fn combines(&self) -> bool {
        matches!(self, Self::Add | Self::Multiply)
    }
}

/// An operation with what it reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name of the node it came from.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Its input: the concatenation of these segments; of a sum or product, both operands, one behind the other.
    pub reads: Vec<Read>,
    /// Applied to each result before it is written to the layer's segment.
    pub epilogue: Vec<Affine>,
    /// Shape of the segment.
    pub output: Shape,
}

impl Layer {
    /// Multiply-adds for one image; `None` unless it is a convolution.
    pub fn macs(&self, network: &FusedNetwork) -> Option<u64> {
        match &self.op {
            Op::Convolution { window, groups, .. } => {
                let inputs: usize = self.reads.iter().map(|read| network.read_shape(read).channels).sum();
                let inputs = inputs / groups;
                Some((inputs.saturating_mul(window.len()) as u64).saturating_mul(self.output.len() as u64))
            }
            Op::MaxPool(_) | Op::SumPool(_) | Op::Add | Op::Multiply | Op::Normalize { .. } => None,
        }
    }

    /// The operands of a sum or product: the segments that together have as many channels as the output, and those behind them.
    /// The second operand has the output's extents, or one value for each channel. `None` for another operation, or if the channels
    /// do not add up.
    pub fn operands(&self, network: &FusedNetwork) -> Option<[&[Read]; 2]> {
        if !self.op.combines() {
            return None;
        }
        let channels = |reads: &[Read]| reads.iter().map(|read| network.read_shape(read).channels).sum::<usize>();
        let count = (1..self.reads.len()).find(|&count| channels(&self.reads[..count]) == self.output.channels)?;
        let (first, second) = self.reads.split_at(count);
        (channels(second) == self.output.channels).then_some([first, second])
    }

    /// Whether its input is all quantized values of 8 bits.
    pub fn reads_quantized(&self, network: &FusedNetwork) -> bool {
        self.reads.iter().all(|read| network.reads_signed(read).is_some())
    }

    /// Whether it multiplies in int8.
    pub fn is_int8(&self) -> bool {
        matches!(self.op, Op::Convolution { weights: ConvolutionWeights::Int8 { .. }, .. })
    }
}

/// An output of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Name of the tensor.
    pub name: String,
    /// Its extents, including the batch of 1 in front.
    pub dims: Vec<usize>,
    /// What it is the concatenation of.
    pub reads: Vec<Read>,
}

/// An input of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the tensor.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

/// A network: its layers in execution order, its inputs and outputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FusedNetwork {
    /// The f32 inputs; they are the first segments.
    pub inputs: Vec<Input>,
    /// The layers; each writes one segment.
    pub layers: Vec<Layer>,
    /// The f32 outputs.
    pub outputs: Vec<Output>,
}

impl FusedNetwork {
    /// Shape of a segment.
    ///
    /// # Panics
    /// If there is no such segment.
    pub fn shape(&self, segment: usize) -> Shape {
        match segment.checked_sub(self.inputs.len()) {
            None => self.inputs[segment].shape,
            Some(layer) => self.layers[layer].output,
        }
    }

    /// Shape of what is read.
    ///
    /// # Panics
    /// If there is no such segment.
    pub fn read_shape(&self, read: &Read) -> Shape {
        let shape = self.shape(read.segment);
        if read.channels.is_empty() { shape } else { Shape { channels: read.channels.len(), ..shape } }
    }

    /// Whether a segment's values are quantized values of 8 bits.
    pub fn holds_quantized(&self, segment: usize) -> bool {
        self.holds_signed(segment).is_some()
    }

    /// Whether a segment's quantized values are signed; `None` if they are not quantized, or do not all fit one type of 8 bits.
    fn holds_signed(&self, segment: usize) -> Option<bool> {
        let layer = &self.layers[segment.checked_sub(self.inputs.len())?];
        match (layer.epilogue.last(), &layer.op) {
            (Some(affine), _) => affine.gives_bytes().then_some(affine.low < 0.0),
            (None, Op::MaxPool(_)) => {
                let mut signs = layer.reads.iter().map(|read| self.reads_signed(read));
                let first = signs.next()??;
                signs.all(|sign| sign == Some(first)).then_some(first)
            }
            (None, _) => None,
        }
    }

    /// As [`Self::holds_signed`], for the values after a read's prologue.
    pub(super) fn reads_signed(&self, read: &Read) -> Option<bool> {
        match read.prologue.last() {
            Some(affine) => affine.gives_bytes().then_some(affine.low < 0.0),
            None => self.holds_signed(read.segment),
        }
    }

    /// Shape of a layer's input, the concatenation of its segments, all of which have the extents of the first one.
    pub fn input_shape(&self, layer: &Layer) -> Shape {
        let first = self.shape(layer.reads[0].segment);
        Shape { channels: layer.reads.iter().map(|read| self.read_shape(read).channels).sum(), ..first }
    }
}
