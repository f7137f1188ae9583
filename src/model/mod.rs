//! What a DenseNet is: its configuration, its layers as plain data, its weights, what it costs, and its ONNX form.
//!
//! The paper is Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks" (CVPR 2017);
//! tensor names and defaults are those of its memory-efficient PyTorch implementation.

mod architecture;
mod config;
mod count;
pub mod fused;
mod limits;
mod metadata;
pub mod onnx;
mod presets;
pub mod reuse;
mod unknown;
mod weights;

pub use architecture::{Architecture, BatchNorm, Conv, DenseBlock, DenseLayer, Linear, Stage, Stem, TensorSpec};
pub use config::DenseNetConfig;
pub use count::{Count, count};
pub use limits::{Limit, Limits};
pub use metadata::{ChannelOrder, Interpolation, Metadata, Preprocessing, ResizeKind, Scores};
pub use presets::{PRESETS, Preset, preset};
pub use unknown::UnknownDetector;
pub use weights::{Tensor, Weights};
