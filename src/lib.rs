//! Edge inference runtime for densely connected networks: DenseNet and DenseNet-BC (Huang et al., CVPR 2017).
//!
//! The life of a picture: [`camera`] captures a [`frame`], [`pipeline`] keeps the newest, [`runtime`] turns it into
//! the network's input and runs the ONNX graph of a [`model`], [`prediction`]s come out, [`overlay`] draws them and
//! [`output`] delivers them.

pub mod bench;
pub mod camera;
pub mod cli;
pub mod cpu;
pub mod error;
pub mod eval;
pub mod files;
pub mod frame;
pub mod isolate;
pub mod kernels;
pub mod model;
pub mod npy;
pub mod optimize;
pub mod output;
pub mod overlay;
pub mod picture;
pub mod pipeline;
pub mod prediction;
pub mod quant;
pub mod quantize;
pub mod runtime;
pub mod text;

/// What fuzz targets (`tests/fuzz`) call that is not public. It is there only where `cargo fuzz` builds the library.
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod fuzzing {
    pub use crate::camera::mjpeg::fuzz as mjpeg;
    pub use crate::cli::camera::settings::fuzz as settings;
    pub use crate::output::http::request::fuzz as request;
    pub use crate::runtime::sidecar::fuzz as sidecar;
}
