//! A convolution of any window as one list of places to look at, with its results requantized.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "aarch64")]
mod dot;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{BLOCK, Isa, Kernels};

/// Weights in the order in which they are used: `[outputs / 4][steps][4 outputs][4 channels]`. A step is four channels of one
/// tap of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    codes: Vec<i8>,
    /// For each output what the sum over codes that are 128 too low is short of: 128 times the sum of its weights.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    shifts: Vec<i32>,
    steps: usize,
}

impl Packed {
    /// Packs weights for `outputs` outputs and `steps` steps; `weight` gives the code for an output, a step and one of its
    /// four channels. Outputs are padded to four with zeros.
    ///
    /// # Panics
    /// If a code is -128, which has no counterpart, or there is no step.
    pub fn new(outputs: usize, steps: usize, weight: impl Fn(usize, usize, usize) -> i8) -> Self {
        assert!(steps > 0, "a convolution looks at something");
        let groups = outputs.div_ceil(4);
        let mut codes = vec![0; groups * steps * 16];
        let mut shifts = vec![0; groups * 4];
        for output in 0..outputs {
            for step in 0..steps {
                for channel in 0..4 {
                    let code = weight(output, step, channel);
                    assert!(code > i8::MIN, "weights are -127 to 127");
                    codes[((output / 4 * steps + step) * 4 + output % 4) * 4 + channel] = code;
                    shifts[output] += 128 * i32::from(code);
                }
            }
        }
        Self { codes, shifts, steps }
    }

    /// Outputs divided by four, rounded up.
    pub fn groups(&self) -> usize {
        self.shifts.len() / 4
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        self.codes.len()
    }
}

/// From accumulators to codes: `round(bound(fma(accumulator, mul, add)))`, of which the low byte is kept.
#[derive(Debug, Clone, Copy)]
pub struct Requantize<'a> {
    /// Factor of each output; as many as the groups of outputs have.
    pub mul: &'a [f32],
    /// Summand of each output.
    pub add: &'a [f32],
    /// The least result.
    pub low: f32,
    /// The greatest result.
    pub high: f32,
}

/// What is computed: for each output and pixel the sum, over steps and four channels, of
/// `input[offsets[step] + 4 * pixel + channel] * weight`, exactly in i32.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    /// The weights.
    pub weights: &'a Packed,
    /// Where each step looks, in bytes from a pixel's own place.
    pub offsets: &'a [usize],
    /// Added to each output's sum; as many as the groups of outputs have.
    pub start: &'a [i32],
}

impl Kernels {
    /// Computes `convolution` of the codes (0 to 255) in `input` for the blocks of `pixels`, and writes their codes to
    /// `output`, `[outputs / 4][pixels][4]` with `plane` bytes between the groups of four outputs.
    ///
    /// # Panics
    /// If `pixels` are not whole blocks, or a slice is too short for what is to be read or written.
    pub fn convolve(
        self,
        convolution: &Convolution<'_>,
        requantize: &Requantize<'_>,
        input: &[u8],
        output: &mut [u8],
        plane: usize,
        pixels: Range<usize>,
    ) {
        let groups = convolution.weights.groups();
        convolution.check(input, &pixels);
        assert!(requantize.mul.len() >= 4 * groups && requantize.add.len() >= 4 * groups, "a factor for each output");
        assert!(plane >= 4 * pixels.end, "room for a plane");
        assert!(pixels.is_empty() || output.len() >= (groups - 1) * plane + 4 * pixels.end, "room for the output");
        match self.isa {
            Isa::Scalar => scalar::convolve(convolution, requantize, input, output, plane, pixels),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` exist only for instruction sets that the processor has; the bounds were asserted above.
            Isa::Avx2 => unsafe { avx2::convolve(convolution, requantize, input, output, plane, pixels) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512Vnni => unsafe { avx512vnni::convolve(convolution, requantize, input, output, plane, pixels) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::convolve(convolution, requantize, input, output, plane, pixels),
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Isa::Dotprod => unsafe { dot::convolve::<false>(convolution, requantize, input, output, plane, pixels) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Isa::I8mm => unsafe { dot::convolve::<true>(convolution, requantize, input, output, plane, pixels) },
            _ => unreachable!("`Kernels` exist only for instruction sets that the processor has"),
        }
    }

    /// As [`convolve`](Self::convolve), but the sums themselves, `[outputs / 4][pixels][4]` with `plane` values between the
    /// groups. This is for the few results that are no codes; it is the plain code on every instruction set.
    ///
    /// # Panics
    /// As [`convolve`](Self::convolve).
    pub fn sums(
        self,
        convolution: &Convolution<'_>,
        input: &[u8],
        output: &mut [f32],
        plane: usize,
        pixels: Range<usize>,
    ) {
        convolution.check(input, &pixels);
        scalar::sums(convolution, input, pixels, |group, pixel, sums| {
            output[group * plane + 4 * pixel..][..4].copy_from_slice(&sums.map(|sum| sum as f32));
        });
    }
}

impl Convolution<'_> {
    fn check(&self, input: &[u8], pixels: &Range<usize>) {
        let groups = self.weights.groups();
        let whole = pixels.start.is_multiple_of(BLOCK) && pixels.end.is_multiple_of(BLOCK);
        assert!(whole && pixels.start <= pixels.end, "whole blocks");
        assert_eq!(self.offsets.len(), self.weights.steps, "a place for each step");
        assert!(self.start.len() >= 4 * groups, "a start for each output");
        let furthest = self.offsets.iter().max().map_or(0, |offset| offset + 4 * pixels.end);
        assert!(input.len() >= furthest, "the input reaches {furthest} bytes");
    }
}
