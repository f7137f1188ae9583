//! F32 depthwise convolutions: each channel by itself, so that vectors hold channels as they lie in memory.

use super::{BiasClamp, CHANNEL_BLOCK, Kernels};

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// The most pixels of a vector: rows are read up to a multiple of it.
const MOST_PIXELS: usize = 4;

/// The operands for some rows of results of a plane.
///
/// The sum of channel `i` for the result in row `y` and column `x` starts from 0 and goes through the taps `t` in their order:
/// `sum = fma(input[offsets[t] + y * row_stride + 4 x + i], weights[t][i], sum)`.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseF32<'a> {
    /// The values of four channels, with padding.
    pub input: &'a [f32],
    /// Values from those of a row of results to those of the next.
    pub row_stride: usize,
    /// Each tap's offset for the first result.
    pub offsets: &'a [u32],
    /// Each tap's weights.
    pub weights: &'a [[f32; CHANNEL_BLOCK]],
    /// Rows of results.
    pub height: usize,
    /// Results of a row.
    pub width: usize,
}

/// A kernel's arguments, checked: for each row of results, `width` pixels rounded up to [`MOST_PIXELS`] can be read at each of the offsets; there
/// are as many weights as offsets; `out` has room for `len` values, which are at least the results; `bias_clamp` has that plane.
struct DepthwiseArgs<'a> {
    input: *const f32,
    row_stride: usize,
    offsets: &'a [u32],
    weights: &'a [[f32; CHANNEL_BLOCK]],
    height: usize,
    width: usize,
    bias_clamp: &'a BiasClamp,
    plane: usize,
    out: *mut f32,
    len: usize,
}

impl Kernels {
    /// Convolves a plane: `out[4 (y * width + x) + i]` is the sum of channel `i` after what `bias_clamp` has for channel `4 * plane + i`. Behind
    /// the results, some more values of `out` may be written.
    ///
    /// # Panics
    /// If numbers of weights and offsets differ, `bias_clamp` has no such plane, or rows exceed `input` (each is read up to a multiple of 4
    /// pixels) or `out`.
    pub fn depthwise_f32(self, operand: &DepthwiseF32<'_>, bias_clamp: &BiasClamp, plane: usize, out: &mut [f32]) {
        let DepthwiseF32 { input, row_stride, offsets, weights, height, width } = *operand;
        assert_eq!(offsets.len(), weights.len(), "weights of each tap");
        assert!(plane < bias_clamp.channels() / CHANNEL_BLOCK, "no plane {plane}");
        let results = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(CHANNEL_BLOCK));
        assert!(results.is_some_and(|results| results <= out.len()), "{height} rows exceed {} values", out.len());
        let furthest = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let row = width.checked_next_multiple_of(MOST_PIXELS).and_then(|pixels| pixels.checked_mul(CHANNEL_BLOCK));
        let last = height.saturating_sub(1).checked_mul(row_stride);
        let end = last.and_then(|last| last.checked_add(row?)?.checked_add(furthest));
        let fits = end.is_some_and(|end| height == 0 || offsets.is_empty() || end <= input.len());
        assert!(fits, "{height} rows of {width} pixels exceed an input of {} values", input.len());
        let (input, len) = (input.as_ptr(), out.len());
        let out = out.as_mut_ptr();
        let args = DepthwiseArgs { input, row_stride, offsets, weights, height, width, bias_clamp, plane, out, len };
        // SAFETY: what `args` promises was checked above.
        unsafe { self.run_depthwise_f32(&args) };
        #[cfg(feature = "check-kernels")]
        {
            let mut expected = vec![0.0; CHANNEL_BLOCK * height * width];
            // SAFETY: as above, with an output that was made to fit.
            unsafe { scalar::convolve(&DepthwiseArgs { out: expected.as_mut_ptr(), len: expected.len(), ..args }) };
            // SAFETY: `out` has these values, and nothing else uses them.
            let found = unsafe { std::slice::from_raw_parts(out, expected.len()) };
            let same = found.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{} differs from scalar in plane {plane}", self.isa());
        }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_depthwise_f32(self, args: &DepthwiseArgs<'_>) {
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
