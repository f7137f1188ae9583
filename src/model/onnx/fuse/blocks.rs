//! Weights that are quantized in blocks, as the f32 that they stand for.

use tract_onnx::pb::GraphProto;

use super::super::super::{Limits, Tensor};
use super::super::nodes::initializer;
use super::attributes::Attributes;
use super::constants::Constants;
use crate::model::onnx::operators;

/// Decodes what is quantized in blocks of an axis, which neither the fuser nor tract computes with.
///
/// # Errors
/// One sentence: what is so quantized depends on the picture, or its scales do not fit.
pub(in super::super) fn decode_blocks(graph: &mut GraphProto, limits: &Limits) -> Result<(), String> {
    let blocked = |node: &&tract_onnx::pb::NodeProto| {
        node.op_type == "DequantizeLinear" && node.int("block_size").is_some_and(|size| size != 0)
    };
    let constants = Constants::of(graph, limits.constants);
    let mut decoded = Vec::new();
    for node in graph.node.iter().filter(blocked) {
        let Some(constant) = constants.get(&node.output[0]) else {
            let name = operators::name(node);
            return Err(format!("node {name} (DequantizeLinear): its blocks depend on the picture, or do not fit"));
        };
        let tensor = Tensor { shape: constant.dims.clone(), data: constant.real() };
        decoded.push(initializer(&node.output[0], &tensor));
    }
    graph.node.retain(|node| !blocked(&node));
    graph.initializer.extend(decoded);
    Ok(())
}
