//! The most multiply-adds that a core can do: a loop of only the instructions that multiply, on registers.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::asm;
use std::time::{Duration, Instant};

use super::Isa;

const ROUNDS: usize = 4096;

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factors {
    /// Values of 8 bits, added up in 32.
    Int8,
    /// F32 values.
    F32,
}

/// A loop of the instructions that multiply; it exists only if the processor has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    isa: Isa,
    factors: Factors,
}

impl Peak {
    /// Multiply-adds of one run.
    pub const MACS: f64 = (ROUNDS * 24 * 64) as f64;

    /// The loop of an instruction set; `None` for scalar code, and if this processor does not have it.
    pub fn new(isa: Isa, factors: Factors) -> Option<Self> {
        (isa != Isa::Scalar && Isa::available().contains(&isa)).then_some(Self { isa, factors })
    }

    /// Multiply-adds a second: of the fastest run within this time, one at least.
    pub fn rate(self, time: Duration) -> f64 {
        let start = Instant::now();
        let mut least = f64::INFINITY;
        while least.is_infinite() || start.elapsed() < time {
            let begin = Instant::now();
            self.run();
            least = least.min(begin.elapsed().as_secs_f64());
        }
        Self::MACS / least
    }

    /// Does [`Peak::MACS`] multiply-adds.
    pub fn run(self) {
        match self.factors {
            Factors::Int8 => self.run_int8(),
            Factors::F32 => self.run_f32(),
        }
    }

    fn run_int8(self) {
        match self.isa {
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe {
                asm!(
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                    "vpdpbusd zmm\\n, zmm30, zmm31",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") ROUNDS => _,
                    clobber_abi("C"),
                );
            },
            // 32 products an instruction, which two more add up.
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe {
                asm!(
                    "2:",
                    ".irp n, 0,1,2,3,4,5",
                    "vpmaddubsw ymm12, ymm14, ymm15",
                    "vpmaddwd ymm12, ymm12, ymm13",
                    "vpaddd ymm\\n, ymm\\n, ymm12",
                    "vpmaddubsw ymm11, ymm14, ymm15",
                    "vpmaddwd ymm11, ymm11, ymm13",
                    "vpaddd ymm\\n, ymm\\n, ymm11",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") ROUNDS * 4 => _,
                    clobber_abi("C"),
                );
            },
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "aarch64")]
            Isa::Dotprod => unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                    "sdot v\\n\\().4s, v30.16b, v31.4b[0]",
                    ".endr",
                    "subs x9, x9, #1",
                    "b.ne 2b",
                    inout("x9") ROUNDS * 6 => _,
                    clobber_abi("C"),
                );
            },
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "aarch64")]
            Isa::I8mm => unsafe {
                asm!(
                    ".arch_extension i8mm",
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                    "usmmla v\\n\\().4s, v30.16b, v31.16b",
                    ".endr",
                    "subs x9, x9, #1",
                    "b.ne 2b",
                    inout("x9") ROUNDS * 3 => _,
                    clobber_abi("C"),
                );
            },
            // 8 products an instruction; one more for two of them adds up.
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe {
                asm!(
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7",
                    "smull v16.8h, v30.8b, v31.8b",
                    "smlal v16.8h, v30.8b, v31.8b",
                    "sadalp v\\n\\().4s, v16.8h",
                    ".endr",
                    "subs x9, x9, #1",
                    "b.ne 2b",
                    inout("x9") ROUNDS * 12 => _,
                    clobber_abi("C"),
                );
            },
            _ => {}
        }
    }

    fn run_f32(self) {
        match self.isa {
            // From zeros on: tiny values may take a hundred times as long.
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe {
                asm!(
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,30,31",
                    "vpxord zmm\\n, zmm\\n, zmm\\n",
                    ".endr",
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                    "vfmadd231ps zmm\\n, zmm30, zmm31",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") ROUNDS * 4 => _,
                    clobber_abi("C"),
                );
            },
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe {
                asm!(
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,14,15",
                    "vxorps ymm\\n, ymm\\n, ymm\\n",
                    ".endr",
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11",
                    "vfmadd231ps ymm\\n, ymm14, ymm15",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") ROUNDS * 16 => _,
                    clobber_abi("C"),
                );
            },
            // SAFETY: it changes registers only, and all that it may are declared.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod | Isa::I8mm => unsafe {
                asm!(
                    ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23,30,31",
                    "movi v\\n\\().2d, #0",
                    ".endr",
                    "2:",
                    ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                    "fmla v\\n\\().4s, v30.4s, v31.4s",
                    ".endr",
                    "subs x9, x9, #1",
                    "b.ne 2b",
                    inout("x9") ROUNDS * 24 => _,
                    clobber_abi("C"),
                );
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instruction_set_has_its_loops() {
        assert_eq!(Peak::new(Isa::Scalar, Factors::F32), None);
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Scalar) {
            for factors in [Factors::Int8, Factors::F32] {
                let rate = Peak::new(isa, factors).unwrap().rate(Duration::from_millis(2));
                // How fast it is an emulator does not tell.
                assert!(rate.is_finite() && rate > 0.0, "{isa} {factors:?}: {rate}");
            }
        }
    }
}
