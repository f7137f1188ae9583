//! The main package's modules of the lowest layers, as they stand there.

#![allow(dead_code, missing_docs, unused_imports, clippy::all)]

#[path = "../../src/cpu/mod.rs"]
pub mod cpu;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/files/mod.rs"]
pub mod files;
#[path = "../../src/kernels/mod.rs"]
pub mod kernels;
#[path = "../../src/quant/mod.rs"]
pub mod quant;
