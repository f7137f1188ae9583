//! Convolutions of every shape as one sum over steps.
//!
//! A step is four input channels of one tap: 16 products for four pixels of one output channel. Where a step's codes
//! begin is an offset of its own, so that a 1x1, a 3x3 and a 7x7 with stride 2 (on an input split by phase) are the same
//! loop, and nothing is copied to be convolved.

use super::{GROUP, Kernels, PlanesMut};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod chains;
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

#[cfg(target_arch = "aarch64")]
pub(super) use neon_store::narrow;
use packed::Block;
pub use packed::Packed;
pub use requantize::Requantize;
pub(super) use requantize::{bounds_fit, refusal};

/// What to convolve.
///
/// `acc[o][p] = init[o] + sum over steps s and i in 0..4 of x[offsets[s] + 4 p + i] * weights[o][s][i]`, in i32, where `x`
/// is the u8 that a byte of `input` stands for ([`Activation`](super::Codes::Activation)).
#[derive(Debug, Clone, Copy)]
pub struct Convolve<'a> {
    /// Planes of activations.
    pub input: &'a [u8],
    /// Weights, offsets and init, packed by the same kernels.
    pub weights: &'a Packed,
    /// Number of pixels, a multiple of [`Kernels::grain`].
    pub pixels: usize,
}

/// What a kernel reads, checked: `4 * pixels` bytes from `input` on can be read at each offset.
struct Job<'a> {
    input: *const u8,
    packed: &'a Packed,
    pixels: usize,
}

/// What a kernel writes, checked: every block of pixels of every plane.
enum Output<'a> {
    /// `[outputs / 4][pixels][4]` codes, their low bytes xored with `flip`; planes are `pitch` bytes apart.
    Codes { requantize: &'a Requantize, flip: u8, start: *mut u8, pitch: usize },
    /// `[outputs][pixels]` accumulators; planes are `pitch` of them apart.
    Raw { start: *mut i32, pitch: usize },
}

impl Kernels {
    /// Convolves and requantizes: `out[o / 4][p][o % 4]` is the code `requantize` makes of `acc[o][p]`, see [`Convolve`].
    ///
    /// `out` has a plane of at least `4 * pixels` bytes for each four output channels.
    ///
    /// # Panics
    /// If weights were packed for other kernels, if numbers of steps, output channels or planes disagree, or if a range of
    /// pixels ends beyond its buffer.
    pub fn convolve(self, what: &Convolve, requantize: &Requantize, out: &mut PlanesMut<u8>) {
        let outputs = what.weights.outputs();
        assert_eq!(requantize.channels(), outputs, "channels to requantize");
        assert_eq!(out.planes() * GROUP, outputs, "channels of the output's planes");
        let job = self.job(what);
        assert!(what.pixels <= out.len() / GROUP, "{} pixels exceed planes of {} bytes", what.pixels, out.len());
        let flip = requantize.codes().flip(self.shifted());
        #[cfg(feature = "check-kernels")]
        let expected = checked::codes(&job, requantize, flip);
        let (start, pitch) = out.raw();
        // SAFETY: input was checked by `job`, output above.
        unsafe { self.run_convolve(&job, &Output::Codes { requantize, flip, start, pitch }) };
        #[cfg(feature = "check-kernels")]
        checked::same(&expected, out, GROUP * what.pixels, self);
    }

    /// Convolves only: `out[o][p]` is `acc[o][p]`, see [`Convolve`].
    ///
    /// `out` has a plane of at least `pixels` for each output channel.
    ///
    /// # Panics
    /// As [`Kernels::convolve`].
    pub fn convolve_raw(self, what: &Convolve, out: &mut PlanesMut<i32>) {
        assert_eq!(out.planes(), what.weights.outputs(), "channels of the output's planes");
        assert!(out.len() >= what.pixels, "{} pixels exceed planes of {}", what.pixels, out.len());
        let job = self.job(what);
        #[cfg(feature = "check-kernels")]
        let expected = checked::accumulators(&job);
        let (start, pitch) = out.raw();
        // SAFETY: input was checked by `job`, output above.
        unsafe { self.run_convolve(&job, &Output::Raw { start, pitch }) };
        #[cfg(feature = "check-kernels")]
        checked::same(&expected, out, what.pixels, self);
    }

    /// Checks what is read.
    fn job<'a>(self, what: &Convolve<'a>) -> Job<'a> {
        let Convolve { input, weights: packed, pixels } = *what;
        assert_eq!(packed.isa(), self.isa(), "weights are packed for other kernels");
        assert_eq!(pixels % self.grain(), 0, "{pixels} pixels are not what these kernels take");
        let last = packed.furthest();
        let end = pixels.checked_mul(GROUP).and_then(|bytes| bytes.checked_add(last.unwrap_or(0) as usize));
        let fits = end.is_some_and(|end| last.is_none() || end <= input.len());
        assert!(fits, "{pixels} pixels from {last:?} on exceed an input of {} bytes", input.len());
        Job { input: input.as_ptr(), packed, pixels }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `job` and `output` promise must hold.
    unsafe fn run_convolve(self, job: &Job, output: &Output) {
        use super::Isa;
        // SAFETY: the caller's promise; that there is a `Kernels` proves that the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::convolve(job, output),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => avx512vnni::convolve(job, output),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => neon::convolve(job, output),
                #[cfg(target_arch = "aarch64")]
                Isa::Dotprod => dotprod::convolve(job, output),
                #[cfg(target_arch = "aarch64")]
                Isa::I8mm => i8mm::convolve(job, output),
                _ => scalar::convolve(job, output),
            }
        }
    }
}

/// The scalar kernel beside each call of another.
#[cfg(feature = "check-kernels")]
mod checked {
    use super::*;

    /// The accumulators, `[outputs][pixels]`.
    pub(super) fn accumulators(job: &Job) -> Vec<i32> {
        let mut out = vec![0; job.packed.outputs() * job.pixels];
        // SAFETY: the input is the caller's, and the output was made to fit.
        unsafe { scalar::convolve(job, &Output::Raw { start: out.as_mut_ptr(), pitch: job.pixels }) };
        out
    }

    /// The codes, `[outputs / 4][pixels][4]`.
    pub(super) fn codes(job: &Job, requantize: &Requantize, flip: u8) -> Vec<u8> {
        let pitch = GROUP * job.pixels;
        let mut out = vec![0; job.packed.outputs() / GROUP * pitch];
        // SAFETY: as above.
        unsafe { scalar::convolve(job, &Output::Codes { requantize, flip, start: out.as_mut_ptr(), pitch }) };
        out
    }

    /// Panics where the first `len` of a plane differ from what is expected.
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
