//! Descriptions of an engine's layers, for listings and checks.

use serde::{Deserialize, Serialize};

use crate::model::fused::{FusedNetwork, Layer, Op, OpKind};

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
}

impl LayerInfo {
    /// The description of a network's layer.
    pub(super) fn of(network: &FusedNetwork, layer: &Layer) -> Self {
        let macs = layer.macs(network);
        let int8 = match layer.op {
            Op::Convolution { .. } => layer.is_int8(),
            Op::MaxPool(_) | Op::SumPool(_) => layer.reads_quantized(network),
            Op::Add | Op::Multiply | Op::Normalize { .. } => {
                layer.reads.iter().all(|read| network.holds_quantized(read.segment))
            }
        };
        Self { name: layer.name.clone(), op: layer.op.kind(), int8, macs: macs.unwrap_or(0) }
    }
}
