//! Vectors of 32-bit lanes of an instruction set, for the transforms, which have one body for all.
//!
//! The body is `#[inline(always)]` and generic over [`Lanes`]. It and the operations are inlined into an entry function for each instruction
//! set, which enables it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;

/// Vectors and their operations; those on integers wrap.
///
/// # Safety
/// For all functions the processor must have the instruction set. From a pointer on, as many words as the vectors have must be readable or
/// writable.
pub(super) trait Lanes {
    /// [`Lanes::LANES`] words: pixels of four u8, pairs of s16, or i32.
    type Words: Copy;

    /// Words of a vector.
    const LANES: usize;

    /// Reads words.
    unsafe fn load(from: *const i32) -> Self::Words;
    /// Writes words.
    unsafe fn store(to: *mut i32, words: Self::Words);
    /// Reads four vectors: lane `t` of vector `j` is word `4 t + j`.
    unsafe fn load_fours(from: *const i32) -> [Self::Words; 4];
    /// Writes four vectors: lane `t` of vector `j` becomes word `4 t + j`.
    unsafe fn store_fours(to: *mut i32, words: [Self::Words; 4]);
    /// One word in all lanes.
    unsafe fn splat(word: i32) -> Self::Words;
    /// Bits of `a` where `mask` has ones, else of `b`.
    unsafe fn select(mask: Self::Words, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Bits that differ.
    unsafe fn xor(a: Self::Words, b: Self::Words) -> Self::Words;

    /// The even bytes of each lane as s16, and the odd ones.
    unsafe fn pairs(pixels: Self::Words) -> [Self::Words; 2];
    /// The sums of s16.
    unsafe fn add16(a: Self::Words, b: Self::Words) -> Self::Words;
    /// The differences of s16.
    unsafe fn sub16(a: Self::Words, b: Self::Words) -> Self::Words;
    /// s16 times 2.
    unsafe fn double16(a: Self::Words) -> Self::Words;
    /// s16 times 4.
    unsafe fn fourfold16(a: Self::Words) -> Self::Words;
    /// Writes pairs of s16 as the products read them.
    unsafe fn store_pairs(to: *mut i32, pairs: Self::Words);

    /// The sums of i32.
    unsafe fn add(a: Self::Words, b: Self::Words) -> Self::Words;
    /// The differences of i32.
    unsafe fn sub(a: Self::Words, b: Self::Words) -> Self::Words;
    /// i32 times 2.
    unsafe fn double(a: Self::Words) -> Self::Words;
    /// i32 times 4.
    unsafe fn fourfold(a: Self::Words) -> Self::Words;
    /// The lower halves of the products of i32.
    unsafe fn mul(a: Self::Words, b: Self::Words) -> Self::Words;
    /// i32 shifted right by 6, with their sign.
    unsafe fn shift6(a: Self::Words) -> Self::Words;

    /// i32 as f32.
    unsafe fn to_f32(a: Self::Words) -> Self::Words;
    /// `fma(a, mul, add)` of i32 in f32, clamped and rounded to i32, ties to even.
    unsafe fn requantize(a: Self::Words, mul: f32, add: f32, bounds: [f32; 2]) -> Self::Words;
    /// The i32 of four channels, which fit a byte, as pixels.
    unsafe fn pack(channels: [Self::Words; 4], signed: bool) -> Self::Words;
}
