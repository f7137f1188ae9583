//! The instruction sets that have kernels.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cpu;
use crate::error::{Error, ErrorKind, Result};

/// An instruction set that has kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Isa {
    /// Portable code.
    Scalar,
    /// ARMv8-A without extensions: Cortex-A53, A57, A72.
    Neon,
    /// Dot products of s8: Cortex-A76, A78AE.
    Dotprod,
    /// Dot products of u8 and s8: Neoverse V1, V2.
    I8mm,
    /// x86 with AVX2 and FMA.
    Avx2,
    /// x86 with AVX-512 F, BW and VNNI.
    Avx512Vnni,
}

impl Isa {
    /// All instruction sets; on a processor that has several, a later one is faster.
    pub const ALL: [Self; 6] = [Self::Scalar, Self::Neon, Self::Dotprod, Self::I8mm, Self::Avx2, Self::Avx512Vnni];

    /// Its name, which [`Isa::named`] knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    /// The processor features that it needs, by their names in [`cpu::features`].
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Scalar => &[],
            Self::Neon => &["neon"],
            Self::Dotprod => &["neon", "dotprod"],
            Self::I8mm => &["neon", "dotprod", "i8mm"],
            Self::Avx2 => &["avx2", "fma"],
            Self::Avx512Vnni => &["avx2", "fma", "avx512f", "avx512bw", "avx512vnni"],
        }
    }

    /// The instruction sets that this processor and this build have, the fastest last.
    pub fn available() -> Vec<Self> {
        let features = cpu::features();
        let has = |name: &str| features.iter().any(|feature| feature.present && feature.name == name);
        // There are no kernels for 32-bit x86.
        let built = |isa: Self| isa == Self::Scalar || cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        Self::ALL.into_iter().filter(|isa| built(*isa) && isa.needs().iter().all(|name| has(name))).collect()
    }

    /// The fastest that this processor has.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }

    /// The instruction set of this name.
    ///
    /// # Errors
    /// If there is none of this name, or this processor does not have it.
    pub fn named(name: &str) -> Result<Self> {
        let available = Self::available();
        available.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| {
            let known = Self::ALL.iter().any(|isa| isa.name() == name);
            let operand = if known { "this processor does not have" } else { "there are no kernels for" };
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            Error::new(ErrorKind::Usage, format!("{operand} '{name}': it is one of {}", names.join(", ")))
        })
    }

    /// Whether its convolutions read activations 128 lower.
    pub(super) fn shifted(self) -> bool {
        matches!(self, Self::Neon | Self::Dotprod)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()).unwrap(), isa);
        }
        assert!(Isa::available().contains(&Isa::Scalar));
        assert_eq!(Isa::available().last(), Some(&Isa::best()));
    }

    #[test]
    fn refusals_name_what_there_is() {
        let refusal = |name: &str| Isa::named(name).unwrap_err().to_string();
        assert!(refusal("mmx").starts_with("there are no kernels for 'mmx': it is one of scalar"));
        let missing = Isa::ALL.into_iter().find(|isa| !Isa::available().contains(isa)).unwrap();
        assert!(refusal(missing.name()).starts_with("this processor does not have"));
    }
}
