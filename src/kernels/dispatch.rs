//! The entry point: kernels of one instruction set that the processor has.

use super::Isa;
use crate::error::Result;

/// The kernels of one instruction set. A value exists only if the processor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The fastest kernels for this processor.
    pub fn best() -> Self {
        Self { isa: Isa::best() }
    }

    /// The kernels of an instruction set; `None` if this processor does not have it.
    pub fn new(isa: Isa) -> Option<Self> {
        Isa::available().contains(&isa).then_some(Self { isa })
    }

    /// The kernels that the environment variable `DENSIGHT_ISA` names; without it the fastest.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for an unknown name, or an instruction set that this processor lacks.
    pub fn from_env() -> Result<Self> {
        match std::env::var("DENSIGHT_ISA") {
            Ok(name) => Isa::named(&name).map(|isa| Self { isa }).map_err(|e| e.at("DENSIGHT_ISA")),
            Err(_) => Ok(Self::best()),
        }
    }

    /// The scalar kernels, which define the results of all and run on every processor.
    pub fn scalar() -> Self {
        Self { isa: Isa::Scalar }
    }

    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Ranges of pixels are multiples of this: 8, or a [`PIXEL_BLOCK`](super::BLOCK) of 16.
    pub fn pixel_multiple(self) -> usize {
        match self.isa {
            Isa::Avx512Vnni | Isa::I8mm => super::PIXEL_BLOCK,
            _ => super::PIXEL_BLOCK / 2,
        }
    }

    /// Whether activations are stored 128 lower.
    pub fn shifted(self) -> bool {
        self.isa.shifted()
    }

    /// The byte that represents 0 in activations and fills padding.
    pub fn zero(self) -> u8 {
        if self.shifted() { 0x80 } else { 0 }
    }

    /// Calls `work` compiled for the instruction set, so that the compiler can vectorize its loops.
    #[inline]
    pub fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        match self.isa {
            // SAFETY: a `Kernels` exists only if the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2(work) },
            // SAFETY: a `Kernels` for AVX-512 exists only if the processor has F and BW.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512(work) },
            // The other instruction sets' vectors are the architecture's baseline, for which all code is compiled.
            _ => work(),
        }
    }
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// # Safety
/// The processor must have AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw")]
fn avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}
