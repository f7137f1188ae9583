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

    /// The kernels that the environment variable `DENSIGHT_ISA` names; without it the best.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for an unknown name, or an instruction set that this processor lacks.
    pub fn chosen() -> crate::error::Result<Self> {
        match std::env::var("DENSIGHT_ISA") {
            Ok(name) => Isa::named(&name).map(|isa| Self { isa }),
            Err(_) => Ok(Self::best()),
        }
    }

    /// Their instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }
}
