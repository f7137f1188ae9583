//! AVX-512's largest tile, of 12 pixels and two blocks of outputs, in assembly: its sums take 24 of the 32 registers, and the compiler would spill
//! some of them in the innermost loop. Smaller tiles read values or weights more often.

use core::arch::asm;
use core::arch::x86_64::{__m512, _mm512_setzero_ps};

use super::packed::STEP;

/// Pixels of the tile.
pub(super) const PIXELS: usize = 12;

/// The instructions for an input channel of a step, which lies `lane` bytes behind the first, and its weights `weights` bytes: the weights of two
/// blocks, and for each pixel, `at` bytes behind the first, its value times both. Meanwhile a cache line of other weights is fetched.
macro_rules! channel {
    ($lane:literal, $weights:literal, $($at:literal $first:tt $second:tt),+) => {
        concat!(
            "prefetcht1 byte ptr [{ahead} + ", $weights, "]\n",
            "vmovups zmm24, zmmword ptr [{weights} + ", $weights, "]\n",
            "vmovups zmm25, zmmword ptr [{weights} + {block} + ", $weights, "]\n",
            $(
                "vbroadcastss zmm26, dword ptr [{x} + ", $at, " + ", $lane, "]\n",
                "vfmadd231ps ", $first, ", zmm26, zmm24\n",
                "vfmadd231ps ", $second, ", zmm26, zmm25\n",
            )+
        )
    };
}

/// Declares [`sums`], with the place in bytes of each pixel's values, and the registers of its sums.
macro_rules! sums {
    ($($at:literal $pixel:literal: $first:tt $second:tt),+ $(,)?) => {
        /// The sums of [`PIXELS`] pixels for two blocks of outputs: for each k-step the values at `input` plus its offset, times the step's
        /// weights. From `ahead` on, [`STEP`] values for each step are fetched into the second cache; they need not exist.
        ///
        /// # Safety
        /// Four values of each pixel can be read at each offset from `input` on; from `weights` on there are [`STEP`] for each offset, and behind
        /// them as many of the next block; the processor has AVX-512 F.
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) unsafe fn sums(
            input: *const f32,
            offsets: &[u32],
            weights: *const f32,
            ahead: *const f32,
        ) -> [[__m512; 2]; PIXELS] {
            let mut sums = [[_mm512_setzero_ps(); 2]; PIXELS];
            if offsets.is_empty() {
                return sums;
            }
            let block = size_of::<f32>() * STEP * offsets.len();
            let offsets = offsets.as_ptr_range();
            // SAFETY: the loop runs once for each offset, of which there is one at least; it reads the offset, the pixels' values from there
            // on, and the step's weights of both blocks, and writes nothing but the registers named here.
            unsafe {
                asm!(
                    "2:",
                    "mov {x:e}, dword ptr [{offsets}]",
                    "lea {x}, [{input} + 4 * {x}]",
                    channel!(0, 0, $($at $first $second),+),
                    channel!(4, 64, $($at $first $second),+),
                    channel!(8, 128, $($at $first $second),+),
                    channel!(12, 192, $($at $first $second),+),
                    "add {weights}, 256",
                    "add {ahead}, 256",
                    "add {offsets}, 4",
                    "cmp {offsets}, {end}",
                    "jne 2b",
                    input = in(reg) input,
                    x = out(reg) _,
                    offsets = inout(reg) offsets.start => _,
                    end = in(reg) offsets.end,
                    weights = inout(reg) weights => _,
                    ahead = inout(reg) ahead => _,
                    block = in(reg) block,
                    $(inout($first) sums[$pixel][0], inout($second) sums[$pixel][1],)+
                    out("zmm24") _,
                    out("zmm25") _,
                    out("zmm26") _,
                    options(nostack, readonly),
                );
            }
            sums
        }
    };
}

#[rustfmt::skip]
sums!(
    0 0: "zmm0" "zmm1", 16 1: "zmm2" "zmm3", 32 2: "zmm4" "zmm5",
    48 3: "zmm6" "zmm7", 64 4: "zmm8" "zmm9", 80 5: "zmm10" "zmm11",
    96 6: "zmm12" "zmm13", 112 7: "zmm14" "zmm15", 128 8: "zmm16" "zmm17",
    144 9: "zmm18" "zmm19", 160 10: "zmm20" "zmm21", 176 11: "zmm22" "zmm23",
);
