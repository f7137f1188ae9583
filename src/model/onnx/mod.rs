//! Networks as ONNX files: reading, checking and writing them. The protobuf types are tract's.

mod backbone;
mod ending;
mod export;
mod external;
mod fold;
mod fuse;
mod growth;
mod halves;
mod input;
mod layout;
mod masked;
mod nodes;
mod operators;
mod pads;
mod properties;
mod quantized;
mod raise;
mod read;
mod six;
mod tensors;
#[cfg(test)]
pub(crate) mod testing;
mod unknown;
mod wide_quantizers;

pub use backbone::{Tap, tap_tensors, taps, with_features, with_head};
pub use ending::Ending;
pub use export::export;
pub use external::Outside;
pub use fuse::{FUSED, Fusion, Opaque, adds_zero_point_first, fuse, node_name};
pub use input::GraphInput;
pub use properties::{from_entries, to_entries};
pub use quantized::{LayerEncodings, export_quantized, is_quantized};
pub use read::{OnnxFile, ReadOptions};
pub use unknown::{Unknown, with_unknown};

use tract_onnx::pb::ModelProto;

use crate::error::{Error, ErrorKind};

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

/// A file that is not read.
fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}
