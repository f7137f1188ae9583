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
pub use fuse::{FUSED, Fusion, Opaque, fuse, node_name};
pub use properties::{from_entries, to_entries};
pub use quantized::{Codes, export_quantized, is_quantized};
pub use read::{GraphInput, OnnxFile};

/// Opset of the files written here.
pub const OPSET: i64 = 17;
