//! What an engine knows of its layers beside how to run them.

use serde::{Deserialize, Serialize};

use crate::model::fused::{FusedNetwork, Layer, OpKind};

/// What is known of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Name of the node it came from.
    pub name: String,
    /// What it computes.
    pub op: OpKind,
    /// Whether it works on quantized values.
    pub int8: bool,
    /// Multiply-adds for one image; 0 for pools.
    pub macs: u64,
}

impl LayerInfo {
    /// What is known of a network's layer.
    pub(super) fn of(network: &FusedNetwork, layer: &Layer) -> Self {
        let macs = layer.macs(network);
        let int8 = layer.is_int8() || macs.is_none() && layer.reads_quantized(network);
        Self { name: layer.name.clone(), op: layer.op.kind(), int8, macs: macs.unwrap_or(0) }
    }
}
