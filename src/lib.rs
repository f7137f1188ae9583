//! Edge inference runtime for densely connected networks: DenseNet and DenseNet-BC (Huang et al., CVPR 2017).
//!
//! A [`Session`] runs an ONNX file: f32 networks, and int8 ones as ONNX Runtime, NNCF or [`quantize`] wrote them.
//!
//! ```
//! use densight::{Classifier, RgbImage, Session, SessionOptions};
//!
//! let model = include_bytes!("../models/cifar10_densenet_bc_L40_k12_int8.onnx");
//! let mut session = Session::from_onnx(model, &SessionOptions::default())?;
//! let image = RgbImage::filled(320, 240, [90, 140, 200]);
//! let best = &session.classify(&image, 1)?.predictions[0];
//! println!("{} {:.2}", best.label, best.score);
//! # Ok::<(), densight::Error>(())
//! ```
//!
//! `examples/` has more: a file, a camera, quantizing from code, a model inside a program.
//!
//! # What is where
//!
//! The life of an image: [`camera`] captures a [`frame`], [`pipeline`] keeps the newest, [`runtime`] turns it into the network's input and
//! runs the ONNX graph of a [`model`], [`prediction`]s come out, [`events`] follow states, [`overlay`] draws them and [`output`] delivers them. Every error is an
//! [`Error`] with a [`kind`](Error::kind).
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` (default) | the programs; all below but CUDA |
//! | `camera` | sources, overlay, outputs, and the loop between them |
//! | `http` | the output `http://` |
//! | `screens` | the outputs `fb://` and `drm://` |
//! | `spi` | the output `spi://` |
//! | `unicode` | labels of any script in pictures and on screens; Latin, Greek and Cyrillic ones need none |
//! | `actions` | all that can be done for events; or alone `webhook` and `mqtt`, with `tls` also by `https://` and `mqtts://`, `record`, `gpio` |
//! | `cuda-12`, `cuda-13` | networks on an NVIDIA GPU |
//!
//! Without default features it is the runtime alone: models, int8 and f32 kernels, quantizer, evaluation.

pub mod bench;
#[cfg(feature = "camera")]
pub mod camera;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "camera")]
pub mod control;
pub mod cpu;
pub mod error;
pub mod eval;
#[cfg(feature = "camera")]
pub mod events;
pub mod files;
pub mod frame;
pub mod isolate;
#[doc(hidden)]
pub mod kernels;
pub mod model;
pub mod npy;
#[doc(hidden)]
pub mod optimize;
#[cfg(feature = "camera")]
pub mod output;
#[cfg(feature = "camera")]
pub mod overlay;
pub mod picture;
#[cfg(feature = "camera")]
pub mod pipeline;
pub mod prediction;
pub mod quant;
pub mod quantize;
pub mod runtime;
pub mod teach;
pub mod text;
#[cfg(feature = "camera")]
pub mod tuning;

#[cfg(feature = "camera")]
pub use camera::{Source, SourceOptions};
pub use error::{Error, ErrorKind, Result};
pub use frame::{Frame, RgbImage};
#[cfg(feature = "camera")]
pub use output::{Sink, SinkOptions};
pub use prediction::Prediction;
pub use runtime::{Classification, Classifier, Session, SessionOptions};

/// What fuzz targets (`tests/fuzz`) call that is not public. It is there only where `cargo fuzz` builds the library.
#[cfg(all(fuzzing, feature = "cli"))]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod fuzzing {
    pub use crate::camera::mjpeg::fuzz as mjpeg;
    pub use crate::cli::camera::settings::fuzz as settings;
    pub use crate::output::http::host::fuzz as host;
    pub use crate::runtime::sidecar::fuzz as sidecar;
}
