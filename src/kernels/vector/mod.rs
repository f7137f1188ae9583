//! Vectors of an instruction set, for the kernels that have one body for all: affines and float convolutions.
//!
//! Bodies are `#[inline(always)]` and generic over [`Vector`]. They and the operations of [`Vector`] are inlined into an entry
//! function for each instruction set, which enables it.

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

/// Vectors and their operations.
///
/// # Safety
/// For all functions the processor must have the instruction set. From a pointer on, as many values as the vector has must be
/// readable or writable.
pub(super) trait Vector {
    /// Values of four channels of [`Vector::PIXELS`] pixels.
    type F32: Copy;
    /// A pixel's values of four channels: in memory, or where an instruction can take one of them, in a vector.
    type Pixel: Copy;
    /// Quantized values of four channels of four times as many pixels.
    type Bytes: Copy;
    /// Half of those as i16.
    type I16: Copy;

    /// Pixels of a vector of f32.
    const PIXELS: usize;

    /// Reads values.
    unsafe fn load(from: *const f32) -> Self::F32;
    /// Writes values.
    unsafe fn store(to: *mut f32, values: Self::F32);
    /// Reads pixels that are `apart` values from one another.
    unsafe fn load_apart(from: *const f32, apart: usize) -> Self::F32;
    /// Writes pixels so that they are `apart` values from one another.
    unsafe fn store_apart(to: *mut f32, apart: usize, values: Self::F32);
    /// One value in all lanes.
    unsafe fn splat(value: f32) -> Self::F32;
    /// Four values, one for each channel.
    unsafe fn repeat(values: &[f32; 4]) -> Self::F32;
    /// `a * b + c`, rounded once.
    unsafe fn mul_add(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Values clamped to the bounds; `low` for NaN.
    unsafe fn clamp(values: Self::F32, low: Self::F32, high: Self::F32) -> Self::F32;
    /// The nearest whole numbers, ties to even.
    unsafe fn round(values: Self::F32) -> Self::F32;
    /// Fetches the cache line of a value that will be read later into the second cache, where processors do not do so in time by themselves.
    unsafe fn prefetch(value: *const f32);
    /// The values of four channels of a pixel, at `from`.
    unsafe fn pixel(from: *const f32) -> Self::Pixel;
    /// `sums` plus `factors` times the value of channel `I` of the pixel, rounded once.
    unsafe fn mul_add_channel<const I: i32>(pixel: Self::Pixel, factors: Self::F32, sums: Self::F32) -> Self::F32;
    /// For each pixel, the value of its channel `I` in place of all four.
    #[cfg(target_arch = "x86_64")]
    unsafe fn spread_channel<const I: i32>(values: Self::F32) -> Self::F32;
    /// From vectors of one pixel each, of as many planes as [`Vector::PIXELS`], to vectors of one plane each, of as many pixels. The other vectors
    /// are not used.
    unsafe fn to_planes(pixels: [Self::F32; 4]) -> [Self::F32; 4];

    /// Reads quantized values, s8 if `SIGNED`, xored with `flip` if `FLIP`.
    unsafe fn load_quantized<const SIGNED: bool, const FLIP: bool>(from: *const u8, flip: u8) -> [Self::F32; 4];
    /// Rounds, ties to even, saturates to s8 or u8, xors with `flip` and writes.
    unsafe fn store_quantized(to: *mut u8, values: [Self::F32; 4], signed: bool, flip: u8);

    /// Reads quantized values xored with `flip`.
    unsafe fn load_bytes(from: *const u8, flip: u8) -> Self::Bytes;
    /// Writes quantized values xored with `flip`.
    unsafe fn store_bytes(to: *mut u8, values: Self::Bytes, flip: u8);
    /// s8 times 256, in two halves.
    unsafe fn widen(values: Self::Bytes) -> [Self::I16; 2];
    /// Saturates i16 to s8, in the order before [`Vector::widen`].
    unsafe fn narrow(halves: [Self::I16; 2]) -> Self::Bytes;
    /// Four values, one for each channel.
    unsafe fn repeat_i16(values: &[i16; 4]) -> Self::I16;
    /// `round(a * b / 32768)`.
    unsafe fn mul_round(a: Self::I16, b: Self::I16) -> Self::I16;
    /// The sum, which saturates.
    unsafe fn add(a: Self::I16, b: Self::I16) -> Self::I16;
}
