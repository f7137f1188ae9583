//! The most multiply-adds that a core can do: a loop of only the instructions that multiply, on registers.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::asm;

use densight::kernels::Isa;

/// Multiply-adds of one run.
pub(crate) const MACS: f64 = (ROUNDS * 24 * 64) as f64;

const ROUNDS: usize = 4096;

/// Whether there is a loop for it.
pub(crate) fn known(isa: Isa) -> bool {
    isa != Isa::Scalar
}

/// Does [`MACS`] multiply-adds with the instructions of `isa`, which the processor must have.
pub(crate) fn run(isa: Isa) {
    match isa {
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
