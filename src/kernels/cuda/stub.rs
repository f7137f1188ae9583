//! Replaces the GPU runtime in programs built without CUDA.

use std::convert::Infallible;

use super::Program;
use crate::error::{Error, ErrorKind, Result};

/// Never exists in a program without CUDA.
#[derive(Debug)]
pub struct CapturedGraph(Infallible);

impl CapturedGraph {
    /// Always an error.
    ///
    /// # Errors
    /// [`ErrorKind::Device`].
    pub fn new(_: &Program) -> Result<Self> {
        Err(without())
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn run(&mut self, _: &[f32], _: &mut [f32]) -> Result<()> {
        match self.0 {}
    }
}

/// Always an error.
///
/// # Errors
/// [`ErrorKind::Device`].
pub fn compile(_: (i32, i32)) -> Result<String> {
    Err(without())
}

fn without() -> Error {
    Error::new(ErrorKind::Device, "this program was built without CUDA")
}
