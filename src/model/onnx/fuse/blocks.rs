//! Constants that are quantized in blocks, as the f32 that they stand for.

use std::collections::HashSet;

use tract_onnx::pb::GraphProto;

use super::super::super::{Limits, Tensor};
use super::super::nodes::initializer;
use super::attributes::Attributes;
use super::constants::Constants;

/// Decodes constants that are quantized in blocks of an axis, so that they can be weights of what is fused. What depends on the image
/// is left as it is.
pub(in super::super) fn decode_blocks(graph: &mut GraphProto, limits: &Limits) {
    let blocked = |node: &&tract_onnx::pb::NodeProto| {
        node.op_type == "DequantizeLinear" && node.int("block_size").is_some_and(|size| size != 0)
    };
    let constants = Constants::of(graph, limits.constants);
    let mut decoded = Vec::new();
    for node in graph.node.iter().filter(blocked) {
        let Some(constant) = constants.get(&node.output[0]) else { continue };
        let tensor = Tensor { shape: constant.dims.clone(), data: constant.real() };
        decoded.push(initializer(&node.output[0], &tensor));
    }
    let names: HashSet<&str> = decoded.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.node.retain(|node| !node.output.iter().any(|output| names.contains(output.as_str())));
    graph.initializer.extend(decoded);
}
