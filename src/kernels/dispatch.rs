//! The entry point: kernels of one instruction set that the processor has.

use super::{Isa, Pipeline};
use crate::error::{Error, ErrorKind, Result};

/// Which convolutions use Winograd's algorithm, of those that can: it has fewer multiply-adds, and in f32 rounds more; in int8 it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winograd {
    /// None.
    Never,
    /// Those that it makes faster.
    #[default]
    WhereFaster,
    /// All.
    Always,
}

impl Winograd {
    /// The choice of this name.
    fn named(name: &str) -> Result<Self> {
        match name {
            "never" => Ok(Self::Never),
            "where-faster" => Ok(Self::WhereFaster),
            "always" => Ok(Self::Always),
            _ => {
                let message = format!("there is no '{name}': it is one of never, where-faster, always");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }
}

/// The kernels of one instruction set. A value exists only if the processor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    isa: Isa,
    winograd: Winograd,
    pipeline: Pipeline,
}

impl Kernels {
    /// The fastest kernels for this processor.
    pub fn best() -> Self {
        Self::of(Isa::best())
    }

    /// The kernels of an instruction set; `None` if this processor does not have it.
    pub fn new(isa: Isa) -> Option<Self> {
        Isa::available().contains(&isa).then_some(Self::of(isa))
    }

    /// The kernels that the environment variable `DENSIGHT_ISA` names, without it the fastest, the use of Winograd's algorithm that
    /// `DENSIGHT_WINOGRAD` names, without it where it is faster, and the [`Pipeline`] that `DENSIGHT_CORE` names, without it the processor's.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for an unknown name, or an instruction set that this processor lacks.
    pub fn from_env() -> Result<Self> {
        let isa = match std::env::var("DENSIGHT_ISA") {
            Ok(name) => Isa::named(&name).map_err(|e| e.at("DENSIGHT_ISA"))?,
            Err(_) => Isa::best(),
        };
        let winograd = match std::env::var("DENSIGHT_WINOGRAD") {
            Ok(name) => Winograd::named(&name).map_err(|e| e.at("DENSIGHT_WINOGRAD"))?,
            Err(_) => Winograd::default(),
        };
        Ok(Self { isa, winograd, pipeline: Pipeline::from_env()? })
    }

    /// An engine's kernels, too, are made anew where it runs: `DENSIGHT_CORE` counts here as well, where [`Kernels::from_env`] has taken it.
    fn of(isa: Isa) -> Self {
        let pipeline = Pipeline::from_env().unwrap_or_else(|_| Pipeline::of_machine());
        Self { isa, winograd: Winograd::default(), pipeline }
    }

    /// The same kernels, with the loops for another pipeline.
    pub fn with_pipeline(self, pipeline: Pipeline) -> Self {
        Self { pipeline, ..self }
    }

    /// The pipeline that loops are for, where there are several.
    pub fn pipeline(self) -> Pipeline {
        self.pipeline
    }

    /// The same kernels, with another use of Winograd's algorithm.
    pub fn with_winograd(self, winograd: Winograd) -> Self {
        Self { winograd, ..self }
    }

    /// Which convolutions are to use Winograd's algorithm.
    pub fn winograd(self) -> Winograd {
        self.winograd
    }

    /// The scalar kernels, which define the results of all and run on every processor.
    pub fn scalar() -> Self {
        Self::of(Isa::Scalar)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_of_winograd_have_names() {
        assert_eq!(Winograd::named("never").unwrap(), Winograd::Never);
        assert_eq!(Winograd::named("where-faster").unwrap(), Winograd::default());
        let refusal = Winograd::named("maybe").unwrap_err();
        assert_eq!(refusal.to_string(), "there is no 'maybe': it is one of never, where-faster, always");
    }
}
