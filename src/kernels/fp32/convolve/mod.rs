//! F32 convolutions of every shape as one sum over k-steps.
//!
//! A vector holds sums for some output channels of one pixel: each input value is multiplied with the weights of all of them. After the last
//! step, the sums of neighbouring pixels are brought into planes.

use super::{Bounds, CHANNEL_BLOCK, Kernels, PlanesMut};

#[cfg(target_arch = "x86_64")]
mod avx512;
mod bias_clamp;
mod packed;
mod scalar;
mod vector;

pub use bias_clamp::BiasClamp;
pub(super) use packed::OUTPUT_BLOCK;
pub use packed::PackedF32;
use packed::STEP;

/// Numbers of pixels are multiples of this, for every instruction set.
pub const F32_PIXELS: usize = 4;

/// The operands of a convolution.
///
/// For output channel `o` and pixel `p`, `acc[o][p]` starts from 0 and goes through the steps `s` in their order, and in each through `i` in
/// 0..4: `acc[o][p] = fma(x[offsets[s] + 4 p + i], weights[o][s][i], acc[o][p])`.
#[derive(Debug, Clone, Copy)]
pub struct ConvolveF32<'a> {
    /// Planes of values.
    pub input: &'a [f32],
    /// Weights, and each step's offset.
    pub weights: &'a PackedF32,
    /// Number of pixels, a multiple of [`F32_PIXELS`].
    pub pixels: usize,
}

/// A kernel's arguments, checked: `pixels` is a multiple of [`F32_PIXELS`]; at each of the packed offsets `4 * pixels` values can be read from `input` on, and
/// as many can be written to each plane from `out` on, which are `plane_stride` values apart; there is one for each four outputs.
#[derive(Clone, Copy)]
pub(super) struct ConvolveF32Args<'a> {
    pub(super) input: *const f32,
    /// Each step's offset.
    pub(super) offsets: &'a [u32],
    /// For each block of [`OUTPUT_BLOCK`] output channels, the last of which may be filled up, [`STEP`] weights for each step.
    pub(super) weights: &'a [f32],
    pub(super) outputs: usize,
    pub(super) pixels: usize,
    /// Has as many channels as there are outputs; without it results are the accumulators.
    pub(super) bias_clamp: Option<&'a BiasClamp>,
    pub(super) out: *mut f32,
    pub(super) plane_stride: usize,
}

impl<'a> ConvolveF32Args<'a> {
    /// First channel of each block of outputs, and the weights from there on.
    fn blocks(&self) -> impl Iterator<Item = (usize, &'a [f32])> {
        let (size, weights) = (STEP * self.offsets.len(), self.weights);
        let blocks = self.outputs.div_ceil(OUTPUT_BLOCK);
        (0..blocks).map(move |block| (block * OUTPUT_BLOCK, &weights[block * size..]))
    }
}

impl Kernels {
    /// Convolves: `out[o / 4][p][o % 4]` is `acc[o][p]` after `bias_clamp`, see [`ConvolveF32`].
    ///
    /// `out` has a plane of at least `4 * pixels` values for each four output channels.
    ///
    /// # Panics
    /// If numbers of output channels or planes do not match, or if `pixels` is not a multiple of [`F32_PIXELS`] or exceeds a buffer.
    pub fn convolve_f32(self, operand: &ConvolveF32, bias_clamp: &BiasClamp, out: &mut PlanesMut<f32>) {
        let ConvolveF32 { input, weights: packed, pixels } = *operand;
        assert_eq!(bias_clamp.channels(), packed.outputs(), "channels to finish");
        assert_eq!(out.planes() * CHANNEL_BLOCK, packed.outputs(), "channels of the output's planes");
        assert_eq!(pixels % F32_PIXELS, 0, "{pixels} pixels are not what these kernels take");
        let last = packed.furthest().unwrap_or(0) as usize;
        let values = pixels.checked_mul(CHANNEL_BLOCK);
        let end = values.and_then(|values| values.checked_add(last));
        let fits = end.is_some_and(|end| packed.offsets().is_empty() || end <= input.len());
        assert!(fits, "{pixels} pixels from {last} on exceed an input of {} values", input.len());
        let fits = values.is_some_and(|values| values <= out.len());
        assert!(fits, "{pixels} pixels exceed planes of {} values", out.len());
        let (start, plane_stride) = out.raw();
        let args = ConvolveF32Args {
            input: input.as_ptr(),
            offsets: packed.offsets(),
            weights: packed.weights(),
            outputs: packed.outputs(),
            pixels,
            bias_clamp: Some(bias_clamp),
            out: start,
            plane_stride,
        };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_convolve_f32(&args) };
        #[cfg(feature = "check-kernels")]
        for (plane, expected) in checked(&args).chunks((CHANNEL_BLOCK * pixels).max(1)).enumerate() {
            let same = out.plane(plane).iter().zip(expected).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{} differs from scalar in plane {plane}", self.isa());
        }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    pub(super) unsafe fn run_convolve_f32(self, args: &ConvolveF32Args) {
        use super::super::Isa;
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => vector::with_avx2(args),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => vector::with_avx512(args),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => vector::with_neon(args),
                _ => scalar::convolve(args),
            }
        }
    }
}

/// The scalar kernel's results, `[outputs / 4][pixels][4]`.
#[cfg(feature = "check-kernels")]
fn checked(args: &ConvolveF32Args) -> Vec<f32> {
    let mut expected = vec![0.0; args.outputs * args.pixels];
    // SAFETY: the input is the caller's, and the output was made to fit.
    unsafe {
        scalar::convolve(&ConvolveF32Args {
            out: expected.as_mut_ptr(),
            plane_stride: CHANNEL_BLOCK * args.pixels,
            ..*args
        })
    };
    expected
}
