//! Networks as ONNX files: reading, checking and writing them. The protobuf types are tract's.

mod export;
mod fold;
mod fuse;
mod growth;
mod nodes;
mod operators;
mod properties;
mod quantized;
mod read;

pub use export::export;
pub use fuse::{FUSED, Fusion, Opaque, adds_zero_point_first, fuse, node_name};
pub use properties::{from_entries, to_entries};
pub use quantized::{LayerEncodings, export_quantized, is_quantized};
pub use read::{GraphInput, OnnxFile};

use tract_onnx::pb::ModelProto;

/// Opset of the files written here.
pub const OPSET: i64 = 17;

/// Who writes `tensor`, for people: `node NAME (OPERATOR)`, or the tensor where that is none of the file's nodes.
pub fn writer(proto: &ModelProto, tensor: &str) -> String {
    let mut nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    match nodes.find(|node| node.op_type != FUSED && node.output.iter().any(|output| output == tensor)) {
        Some(node) => format!("node {} ({})", operators::name(node), node.op_type),
        None => format!("tensor {tensor}"),
    }
}
