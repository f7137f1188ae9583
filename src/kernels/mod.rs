//! The kernels: a few operations, each in scalar code and for every instruction set, all with the same bits.
//!
//! # Layout
//!
//! Quantized values are bytes in planes of four channels, `[channels / 4][pixels][4]`. Pixels are the rows of an image one
//! after another; the caller chooses the plane stride. Kernels know nothing of rows: they work on a range of pixels whose
//! length is a multiple of [`Kernels::pixel_multiple`] (of [`F32_PIXELS`] for f32 convolutions), all of which is read and written. Channels that pad a group of four
//! have weights, `mul` and `add` of 0.
//!
//! Any alignment works. Fastest are planes that begin at multiples of 64 bytes, an odd number of those apart: then few vectors
//! cross cache lines, and planes do not share cache sets.
//!
//! # Operations
//!
//! | operation | from | to |
//! |---|---|---|
//! | [`Kernels::convolve`] | activations | quantized values |
//! | [`Kernels::convolve_raw`] | activations | accumulators, i32 |
//! | [`Kernels::affine`] | quantized values | quantized values, by norm, ReLU and requantizing in front of a convolution |
//! | [`Kernels::winograd_int8_input`], [`Kernels::winograd_int8_output`] | activations | quantized values, by a window of 3x3 |
//! | [`Kernels::winograd_int8_accumulators`] | activations | accumulators, as f32 |
//! | [`Kernels::convolve_f32`] | f32 | f32 |
//! | [`Kernels::depthwise_f32`] | f32 | f32, each channel by itself |
//! | [`Kernels::winograd_input`], [`Kernels::winograd_output`] | f32 | f32, by a window of 3x3 |
//! | [`Kernels::affine_to_f32`] | either | f32 |
//! | [`Kernels::affine_to_quantized`] | either | quantized values |
//!
//! Each operation has a folder: `mod.rs` documents it and checks its arguments, `scalar.rs` is the definition, `vector.rs` has
//! one body for the vectors of all instruction sets, other files are named after their instruction set. [`Kernels`] is the only
//! entry point, and exists only for an instruction set that the processor has.
//!
//! # Shifted activations
//!
//! Some instructions multiply s8 by s8 only. Their kernels store activations 128 lower ([`Kernels::shifted`]): all writers of
//! activations shift them, padding is [`Kernels::zero`], and packed weights hold the correction. [`QuantType`] names the
//! encoding of bytes, so that callers need not care.

// Tiles are indexed by output channel and vector, in step with the vectors and weights that belong to them.
#![allow(clippy::needless_range_loop)]

mod affine;
mod aligned;
mod clock;
mod convolve;
pub mod cuda;
mod dispatch;
mod fp32;
mod heap;
mod isa;
mod mapping;
mod peak;
mod pipeline;
mod planes;
mod prefetch;
mod quant_type;
#[cfg(test)]
mod tests;
mod thread_pool;
mod tiles;
mod vector;
mod weights;

pub use affine::{AffineChain, ChainInput};
pub use aligned::Aligned;
pub use clock::thread_clock;
pub use convolve::{Convolve, Packed, PackedWinogradInt8, Requantize, WINOGRAD_INT8_ROWS, WinogradInt8Input};
pub use dispatch::{Kernels, Winograd};
pub use fp32::{
    AffineChainF32, BiasClamp, ChainInputF32, ConvolveF32, DepthwiseF32, F32_PIXELS, Operand, PackedF32,
    PackedWinograd, WINOGRAD_POSITIONS, WINOGRAD_ROWS, WinogradInput, winograd_weights,
};
pub use heap::give_back_memory;
pub use isa::Isa;
pub use mapping::Mapping;
pub use peak::{Factors, Peak};
pub use pipeline::Pipeline;
pub use planes::PlanesMut;
pub use quant_type::QuantType;
pub use thread_pool::ThreadPool;
pub use tiles::{TileMut, TilePlace, TileQueue, Tiles};
pub use weights::{ALIGNMENT, Blob, Weights};

/// Ranges of pixels that are multiples of this suit every instruction set; some also take half of it ([`Kernels::pixel_multiple`]).
pub const PIXEL_BLOCK: usize = 16;

/// Channels of one plane.
pub const CHANNEL_BLOCK: usize = 4;
