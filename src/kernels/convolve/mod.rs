//! Convolutions of every shape as one sum over k-steps.
//!
//! A k-step (step, for short) is four input channels of one tap: 16 products for four pixels of one output channel. Each step
//! has its own offset into the input, so that a 1x1, a 3x3 and a 7x7 with stride 2 (on an input split by phase) are the same
//! loop.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
use super::Pipeline;
use super::{CHANNEL_BLOCK, Kernels, PlanesMut};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod chains;
mod cost;
#[cfg(target_arch = "aarch64")]
mod dot_store;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_store;
mod packed;
mod requantize;
mod scalar;
mod winograd;

#[cfg(target_arch = "aarch64")]
pub(super) use neon_store::narrow;
use packed::Block;
pub use packed::Packed;
pub use requantize::Requantize;
pub(super) use requantize::{bounds_fit, refusal};
pub use winograd::{PackedWinogradInt8, WINOGRAD_INT8_ROWS, WinogradInt8Input};

/// The operands of a convolution.
///
/// `acc[o][p] = init[o] + sum over steps s and i in 0..4 of x[offsets[s] + 4 p + i] * weights[o][s][i]`, in i32, where `x`
/// is the u8 that a byte of `input` represents ([`Activation`](super::QuantType::Activation)).
#[derive(Debug, Clone, Copy)]
pub struct Convolve<'a> {
    /// Planes of activations.
    pub input: &'a [u8],
    /// Weights, offsets and init, packed by the same kernels.
    pub weights: &'a Packed,
    /// Number of pixels, a multiple of [`Kernels::pixel_multiple`].
    pub pixels: usize,
    /// The first plane of output channels that is computed: the output has as many as are wanted, up to one of [`Packed::cuts`].
    pub first: usize,
}

/// A kernel's input, checked: `4 * pixels` bytes from `input` on can be read at each offset.
struct ConvolveArgs<'a> {
    input: *const u8,
    packed: &'a Packed,
    pixels: usize,
    /// The output channels that are computed: whole blocks of the weights.
    outputs: Range<usize>,
}

impl<'a> ConvolveArgs<'a> {
    /// The blocks of the output channels.
    fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        self.packed.blocks(self.outputs.clone())
    }
}

/// A kernel's output, checked: every block of pixels of every plane that is computed can be written. It begins where that of the first plane of all
/// would be, which need not exist.
enum Destination<'a> {
    /// `[outputs / 4][pixels][4]` quantized values, their low bytes xored with `flip`; planes are `plane_stride` bytes apart.
    Quantized { requantize: &'a Requantize, flip: u8, start: *mut u8, plane_stride: usize },
    /// `[outputs][pixels]` accumulators; planes are `plane_stride` of them apart.
    Raw { start: *mut i32, plane_stride: usize },
}

impl Kernels {
    /// Convolves and requantizes: `out[o / 4][p][o % 4]` is `acc[o][p]` after `requantize`, see [`Convolve`].
    ///
    /// `out` has a plane of at least `4 * pixels` bytes for each four output channels that are computed.
    ///
    /// # Panics
    /// If weights were packed for other kernels and cannot be cut at these planes, if numbers of steps, output channels or planes do not match, or if
    /// a range of pixels exceeds its buffer.
    pub fn convolve(self, operand: &Convolve, requantize: &Requantize, out: &mut PlanesMut<u8>) {
        assert_eq!(requantize.channels(), operand.weights.outputs(), "channels to requantize");
        let args = self.convolve_args(operand, out.planes());
        assert!(
            operand.pixels <= out.len() / CHANNEL_BLOCK,
            "{} pixels exceed planes of {} bytes",
            operand.pixels,
            out.len()
        );
        let flip = requantize.qvalues().flip(self.shifted());
        #[cfg(feature = "check-kernels")]
        let expected = checked::qvalues(&args, requantize, flip);
        let (start, plane_stride) = out.raw();
        let start = start.wrapping_sub(operand.first * plane_stride);
        // SAFETY: input was checked by `args`, output above.
        unsafe { self.run_convolve(&args, &Destination::Quantized { requantize, flip, start, plane_stride }) };
        #[cfg(feature = "check-kernels")]
        checked::same(&expected, out, CHANNEL_BLOCK * operand.pixels, self);
    }

    /// Convolves only: `out[o][p]` is `acc[o][p]`, see [`Convolve`].
    ///
    /// `out` has a plane of at least `pixels` for each output channel.
    ///
    /// # Panics
    /// As [`Kernels::convolve`].
    pub fn convolve_raw(self, operand: &Convolve, out: &mut PlanesMut<i32>) {
        assert_eq!(out.planes() % CHANNEL_BLOCK, 0, "channels of the output's planes");
        assert!(out.len() >= operand.pixels, "{} pixels exceed planes of {}", operand.pixels, out.len());
        let args = self.convolve_args(operand, out.planes() / CHANNEL_BLOCK);
        #[cfg(feature = "check-kernels")]
        let expected = checked::accumulators(&args);
        let (start, plane_stride) = out.raw();
        let start = start.wrapping_sub(args.outputs.start * plane_stride);
        // SAFETY: input was checked by `args`, output above.
        unsafe { self.run_convolve(&args, &Destination::Raw { start, plane_stride }) };
        #[cfg(feature = "check-kernels")]
        checked::same(&expected, out, operand.pixels, self);
    }

    /// Checks the input's range, and that so many planes of output channels can be computed.
    fn convolve_args<'a>(self, operand: &Convolve<'a>, planes: usize) -> ConvolveArgs<'a> {
        let Convolve { input, weights: packed, pixels, first } = *operand;
        let behind = first.checked_add(planes).expect("planes that can be counted");
        assert!(
            packed.has_cut(first) && packed.has_cut(behind),
            "planes {first} to {behind} of {} channels",
            packed.outputs()
        );
        assert_eq!(packed.isa(), self.isa(), "weights are packed for other kernels");
        assert_eq!(pixels % self.pixel_multiple(), 0, "{pixels} pixels are not what these kernels take");
        let last = packed.furthest();
        let end = pixels.checked_mul(CHANNEL_BLOCK).and_then(|bytes| bytes.checked_add(last.unwrap_or(0) as usize));
        let fits = end.is_some_and(|end| last.is_none() || end <= input.len());
        assert!(fits, "{pixels} pixels from {last:?} on exceed an input of {} bytes", input.len());
        let outputs = CHANNEL_BLOCK * first..CHANNEL_BLOCK * behind;
        ConvolveArgs { input: input.as_ptr(), packed, pixels, outputs }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `args` and `destination` promise must hold.
    unsafe fn run_convolve(self, args: &ConvolveArgs, destination: &Destination) {
        use super::Isa;
        // SAFETY: the caller checked `args` and `destination`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::convolve(args, destination),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => avx512vnni::convolve(args, destination),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => neon::convolve(args, destination, self.pipeline()),
                #[cfg(target_arch = "aarch64")]
                Isa::Dotprod => dotprod::convolve(args, destination),
                #[cfg(target_arch = "aarch64")]
                Isa::I8mm => i8mm::convolve(args, destination),
                _ => scalar::convolve(args, destination),
            }
        }
    }
}

/// The scalar kernel, run beside each call of another.
#[cfg(feature = "check-kernels")]
mod checked {
    use super::*;

    /// The accumulators, `[outputs][pixels]`.
    pub(super) fn accumulators(args: &ConvolveArgs) -> Vec<i32> {
        let mut out = vec![0; args.outputs.len() * args.pixels];
        let start = out.as_mut_ptr().wrapping_sub(args.outputs.start * args.pixels);
        // SAFETY: the input is the caller's, and the output was made to fit.
        unsafe { scalar::convolve(args, &Destination::Raw { start, plane_stride: args.pixels }) };
        out
    }

    /// The quantized values, `[outputs / 4][pixels][4]`.
    pub(super) fn qvalues(args: &ConvolveArgs, requantize: &Requantize, flip: u8) -> Vec<u8> {
        let plane_stride = CHANNEL_BLOCK * args.pixels;
        let mut out = vec![0; args.outputs.len() / CHANNEL_BLOCK * plane_stride];
        let start = out.as_mut_ptr().wrapping_sub(args.outputs.start / CHANNEL_BLOCK * plane_stride);
        // SAFETY: the input was checked by `convolve_args`, and the output was made to fit.
        unsafe { scalar::convolve(args, &Destination::Quantized { requantize, flip, start, plane_stride }) };
        out
    }

    /// Panics if the first `len` elements of a plane differ from the expected ones.
    pub(super) fn same<T: PartialEq + std::fmt::Debug>(
        expected: &[T],
        out: &mut PlanesMut<T>,
        len: usize,
        kernels: Kernels,
    ) {
        for (plane, expected) in expected.chunks(len.max(1)).enumerate() {
            assert!(out.plane(plane)[..len] == *expected, "{} differs from scalar in plane {plane}", kernels.isa());
        }
    }
}
