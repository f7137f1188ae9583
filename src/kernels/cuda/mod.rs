//! Densely connected networks on an NVIDIA GPU: tasks ([`GpuTask`]), the kernels in `dense.cu`, and tasks captured on the GPU
//! at hand ([`CapturedGraph`], features `cuda-12` and `cuda-13`).

#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
mod captured;
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
mod compiled;
#[cfg(not(any(feature = "cuda-12", feature = "cuda-13")))]
mod stub;
mod tasks;

#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
pub use captured::CapturedGraph;
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
pub use compiled::compile;
#[cfg(not(any(feature = "cuda-12", feature = "cuda-13")))]
pub use stub::{CapturedGraph, compile};
pub use tasks::{
    AffineParams, BufferSizes, ConvolveParams, GpuTask, Launch, LoadParams, NONE, PoolParams, Program, WindowParams,
    Words,
};

/// The kernels, in CUDA C++; NVRTC compiles them for the GPU at hand.
pub const SOURCE: &str = include_str!("dense.cu");
