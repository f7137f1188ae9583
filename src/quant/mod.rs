//! The int8 rules in scalar code. Every kernel on every instruction set gives the same bits.
//!
//! | what | form |
//! |---|---|
//! | weights | s8, symmetric, one scale for each output channel: real = scale * quantized |
//! | a convolution's input | u8; zero point 0 after a ReLU |
//! | features, between layers | s8, one scale for each segment: the output of one layer |
//! | accumulators | i32, exact |
//! | from accumulator or quantized value to the next | one [`Affine`]: `round(fma(value, mul, add))`, between two bounds |
//!
//! Rounding is half to even, as ONNX's `QuantizeLinear` rounds and as the vector instructions of x86 and ARM do by
//! default. Multiply and add are fused and rounded once, which they support too.

mod affine;
mod encoding;
mod function;

pub use affine::Affine;
pub use encoding::{Encoding, WEIGHT_MAX, quantize_weights, round, shift, shift_correction};
pub use function::{Function, Table};
