//! Densely connected networks on an NVIDIA GPU: what is launched ([`Task`]), the kernels in `dense.cu`, and tasks recorded on the GPU
//! that is there ([`Recorded`], features `cuda-12` and `cuda-13`).

#[cfg(not(any(feature = "cuda-12", feature = "cuda-13")))]
mod absent;
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
mod compiled;
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
mod recorded;
mod tasks;

#[cfg(not(any(feature = "cuda-12", feature = "cuda-13")))]
pub use absent::{Recorded, compile};
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
pub use compiled::compile;
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
pub use recorded::Recorded;
pub use tasks::{Convolve, Launch, Load, NONE, Pool, Program, Room, Step, Task, Window, Words};

/// The kernels, in CUDA C++; NVRTC compiles them for the GPU that is there.
pub const SOURCE: &str = include_str!("dense.cu");
