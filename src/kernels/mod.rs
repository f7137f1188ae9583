//! The int8 kernels: what is done to codes, for each instruction set. The only SIMD of the crate.
//!
//! # Layout
//! Codes of 8 bits stand in planes of four channels: `[channels / 4][pixels][4]`. Pixels are the rows of a picture one behind
//! the other, with whatever padding between and around them the caller arranged; kernels know nothing of rows. They work on
//! whole blocks of [`BLOCK`] pixels, so that buffers need room for the last one.
//!
//! # Instruction sets
//! [`Kernels`] can only be had for an instruction set that the processor has, and all its functions give the same bits on each.

mod convolve;
mod isa;
mod read;

pub use convolve::{Convolution, Packed, Requantize};
pub use isa::Isa;
pub use read::{Reading, Source};

/// Pixels that are worked on together.
pub const BLOCK: usize = 16;

/// The kernels of one instruction set, which this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The kernels of `isa`; `None` if this processor lacks it.
    pub fn of(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self { isa })
    }

    /// The kernels of the best instruction set that this processor has.
    pub fn best() -> Self {
        Self { isa: Isa::best() }
    }

    /// Their instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }
}
