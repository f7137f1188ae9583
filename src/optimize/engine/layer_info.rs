//! Descriptions of an engine's layers, for listings and checks.

use serde::{Deserialize, Serialize};

use super::lowering::Lowering;
use super::segments::read_planes;
use crate::model::fused::{Layer, Op, OpKind, Read};

/// The description of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Name of the node it came from.
    pub name: String,
    /// Its operation.
    pub op: OpKind,
    /// Whether it computes on quantized values; for a sum, product or normalization, whether what it reads is stored as such.
    pub int8: bool,
    /// Multiply-adds for one image; 0 unless it is a convolution.
    pub macs: u64,
    /// Bytes that one image takes from memory and to it.
    pub traffic: Traffic,
}

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// The input of this name is loaded into its segment.
    Load(&'a str, Traffic),
    /// A layer is computed, by this algorithm.
    Layer(&'a LayerInfo, &'static str),
    /// An output is stored.
    Store(Traffic),
}

/// Bytes that a layer reads and writes for one image, each once, whatever stays in a cache: what its segments hold without the padding
/// around images, lanes without a channel included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Packed weights.
    pub weights: u64,
    /// Values read.
    pub read: u64,
    /// Values written, with their copies.
    pub written: u64,
}

impl Traffic {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.weights.saturating_add(self.read).saturating_add(self.written)
    }
}

impl LayerInfo {
    /// The description of a network's layer, which writes the segment `written` and has so many bytes of weights.
    pub(super) fn of(lowering: Lowering<'_>, layer: &Layer, written: usize, weights: u64) -> Self {
        let Lowering { network, segments, .. } = lowering;
        let macs = layer.macs(network);
        let int8 = match layer.op {
            Op::Convolution { .. } => layer.is_int8(),
            Op::MaxPool(_) | Op::SumPool(_) => layer.reads_quantized(network),
            Op::Add | Op::Multiply | Op::Normalize { .. } => {
                layer.reads.iter().all(|read| network.holds_quantized(read.segment))
            }
        };
        let read = |read: &Read| segments[read.segment].bytes(read_planes(read, segments).len());
        let written = &segments[written];
        let copies = 1 + written.halo.as_ref().map_or(0, |halo| halo.shifts.len());
        let traffic = Traffic {
            weights,
            read: layer.reads.iter().map(read).sum(),
            written: written.bytes(copies.saturating_mul(written.planes)),
        };
        Self { name: layer.name.clone(), op: layer.op.kind(), int8, macs: macs.unwrap_or(0), traffic }
    }
}
