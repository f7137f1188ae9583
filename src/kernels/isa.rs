//! Instruction sets by name.

use crate::error::{Error, ErrorKind, Result};

/// An instruction set that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain code.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// Any 64-bit ARM (Cortex-A53, A57, A72).
    Neon,
    /// ARM with the dot products of ARMv8.2 (Cortex-A76, A78AE).
    Dotprod,
    /// ARM with the int8 matrix extension (Neoverse V1, V2).
    I8mm,
}

impl Isa {
    /// All of them, of each architecture the lesser ones first.
    pub const ALL: [Self; 6] = [Self::Scalar, Self::Avx2, Self::Avx512Vnni, Self::Neon, Self::Dotprod, Self::I8mm];

    /// Its name, as the variable `DENSIGHT_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Self::I8mm => std::arch::is_aarch64_feature_detected!("i8mm"),
            // Those of other architectures.
            _ => false,
        }
    }

    /// The best one that this processor has.
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Scalar)
    }

    /// The one called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an unknown name, or one that this processor lacks; the message lists those it has.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|isa| isa.name() == name);
        let has =
            || Self::ALL.into_iter().filter(|isa| isa.is_available()).map(Self::name).collect::<Vec<_>>().join(", ");
        let wrong = |what: &str| Error::new(ErrorKind::Usage, format!("DENSIGHT_ISA is {name}: {what}: use {}", has()));
        match found {
            Some(isa) if isa.is_available() => Ok(isa),
            Some(_) => Err(wrong("this processor lacks it")),
            None => Err(wrong("no such instruction set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_others_refused() {
        for isa in Isa::ALL {
            match Isa::named(isa.name()) {
                Ok(found) => assert_eq!((found, isa.is_available()), (isa, true)),
                Err(error) => assert!(error.to_string().contains("lacks it: use scalar"), "{error}"),
            }
        }
        assert!(Isa::named("avx3").unwrap_err().to_string().contains("no such instruction set: use scalar"));
        assert!(Isa::best().is_available());
    }
}
