//! What is known while a graph is walked: of what each tensor consists, and what was left out.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::super::super::Limits;
use super::super::super::fused::{Op, Shape, Window};
use super::constants::Constants;
use super::infer::Extents;
use super::not_fused::NotFused;
use super::value::{Piece, Value};

/// Where a segment comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// From outside of its region.
    Input { name: String, shape: Shape, region: usize },
    /// A layer.
    Layer(Draft),
}

/// A layer whose chains are not yet split between writers and affine chains.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) reads: Vec<Piece>,
    pub(super) output: Shape,
    pub(super) region: usize,
}

impl Source {
    pub(super) fn region(&self) -> usize {
        match self {
            Self::Input { region, .. } | Self::Layer(Draft { region, .. }) => *region,
        }
    }
}

/// A node's name, or its first output's where it has none.
pub(in super::super) fn name_of(node: &NodeProto) -> &str {
    let output = node.output.first().map_or("", String::as_str);
    if node.name.is_empty() { output } else { &node.name }
}

/// A node that is left to tract, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// Name of the node, or of its first output where it has none.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why it is not fused.
    pub reason: NotFused,
}

/// What walking a graph gave.
pub(super) struct Walk<'a> {
    pub(super) constants: Constants<'a>,
    pub(super) values: HashMap<String, Value>,
    pub(super) sources: Vec<Source>,
    pub(super) opaque: Vec<Opaque>,
    /// The graph's outputs, in their order.
    pub(super) outputs: Vec<String>,
    /// Tensors that are needed as such: by opaque nodes, by another region, or as outputs of the graph.
    pub(super) needed: HashSet<String>,
    pub(super) lifted: HashMap<(String, usize), usize>,
    /// For tensors of which nothing else is known, the first region that may wait for them.
    pub(super) beyond: HashMap<String, usize>,
    pub(super) declared: HashMap<&'a str, Extents>,
    /// Extents of tensors that are no values: of another rank, batch or type.
    pub(super) extents: HashMap<String, Extents>,
    /// Nodes that are fused together with what reads them or left to tract, by what they write: a `Pad` that mirrors in front of a
    /// convolution; a `Transpose` and the `LayerNormalization` behind it.
    pub(super) waiting: HashMap<String, &'a NodeProto>,
    pub(super) limits: &'a Limits,
    /// What all layers and tensors come to so far, as [`Limits`] count it.
    pub(super) macs: u64,
    pub(super) channels: u64,
}

impl Walk<'_> {
    /// The value of an input of a node.
    pub(super) fn value(&self, node: &NodeProto, input: usize) -> Result<Value, NotFused> {
        let name = node.input.get(input).ok_or(NotFused::Form("it lacks an input"))?;
        self.values.get(name).cloned().ok_or_else(|| NotFused::UnknownInput(name.clone()))
    }

    /// Adds a layer and gives its bare result.
    pub(super) fn layer(&mut self, node: &NodeProto, op: Op, reads: Vec<Piece>, output: Shape, region: usize) -> Value {
        let name = name_of(node).to_owned();
        let each = match &op {
            Op::Convolution { groups, .. } => {
                reads.iter().map(|piece| piece.len() as u64).sum::<u64>() / *groups as u64
            }
            Op::MaxPool(_) | Op::SumPool(_) | Op::Add | Op::Multiply | Op::Normalize { .. } => 1,
        };
        let taps = op.window().map_or(1, Window::len) as u64;
        let macs = each.saturating_mul(taps).saturating_mul(output.len() as u64);
        self.macs = self.macs.saturating_add(macs);
        self.sources.push(Source::Layer(Draft { name, op, reads, output, region }));
        let piece = Piece::all(self.sources.len() - 1, output.channels);
        Value { pieces: vec![piece], shape: output, flat: false, groups: None, region, kind: DataType::Float }
    }

    /// A tensor that comes from outside of `region`.
    pub(super) fn outside(&mut self, name: &str, shape: Shape, flat: bool, kind: DataType, region: usize) -> Value {
        let next = self.sources.len();
        let source = *self.lifted.entry((name.into(), region)).or_insert(next);
        if source == next {
            self.sources.push(Source::Input { name: name.into(), shape, region });
        }
        Value { pieces: vec![Piece::all(source, shape.channels)], shape, flat, groups: None, region, kind }
    }
}
