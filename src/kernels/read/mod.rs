//! Reading features: norm, ReLU and quantization of what a layer reads, for each channel.
//!
//! A value goes through one or more steps ([`Step`]): multiplied and added in one operation, bounded, rounded half to even. All
//! of these are single instructions that give the same bits everywhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

use super::{BLOCK, Isa, Kernels};
use crate::quant::Step;

/// What is read: values in planes of four channels, `[channels / 4][pixels][4]`.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Codes 0 to 255.
    Unsigned(&'a [u8]),
    /// Codes -128 to 127, as their bytes.
    Signed(&'a [u8]),
    /// Real numbers.
    Real(&'a [f32]),
}

/// Steps for some channels, padded to groups of four.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    bounds: Vec<Bounds>,
    /// Of each group and step the factors, repeated for the pixels that are worked on together, then the summands.
    factors: Vec<[[f32; WIDTH]; 2]>,
    groups: usize,
}

/// What a step does behind its multiplication and addition.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    low: f32,
    high: f32,
    round: bool,
}

/// Values that are worked on together: four pixels of four channels.
const WIDTH: usize = 16;

impl Reading {
    /// The steps that are done one behind the other; all have as many channels as the first. Without steps values stay as they
    /// are, of `channels` channels.
    pub fn new(channels: usize, steps: &[Step]) -> Self {
        let groups = channels.div_ceil(4);
        let at = |values: &[f32], group: usize, i: usize| values.get(4 * group + i % 4).copied().unwrap_or(0.0);
        let of = |group: usize, step: &Step| {
            [&step.mul, &step.add].map(|values| std::array::from_fn(|i| at(values, group, i)))
        };
        let bounds = |step: &Step| Bounds { low: step.low, high: step.high, round: step.round };
        Self {
            bounds: steps.iter().map(bounds).collect(),
            factors: (0..groups).flat_map(|group| steps.iter().map(move |step| of(group, step))).collect(),
            groups,
        }
    }

    /// Channels divided by four, rounded up.
    pub fn groups(&self) -> usize {
        self.groups
    }
}

/// Where results go.
enum Target<'a> {
    /// Low bytes of codes.
    Codes(&'a mut [u8]),
    /// The numbers themselves.
    Real(&'a mut [f32]),
}

/// One call: planes from and to where, which pixels.
struct Call<'a> {
    reading: &'a Reading,
    source: Source<'a>,
    from_plane: usize,
    target: Target<'a>,
    to_plane: usize,
    /// First pixel in the source, first in the target, and how many.
    pixels: (usize, usize, usize),
}

impl Call<'_> {
    /// First values of a group's pixels in source and target.
    fn starts(&self, group: usize) -> (usize, usize) {
        (group * self.from_plane + 4 * self.pixels.0, group * self.to_plane + 4 * self.pixels.1)
    }

    fn check(&self) {
        let (source, target) = match (&self.source, &self.target) {
            (Source::Unsigned(s) | Source::Signed(s), Target::Codes(t)) => (s.len(), t.len()),
            (Source::Unsigned(s) | Source::Signed(s), Target::Real(t)) => (s.len(), t.len()),
            (Source::Real(s), Target::Codes(t)) => (s.len(), t.len()),
            (Source::Real(s), Target::Real(t)) => (s.len(), t.len()),
        };
        assert!(self.pixels.2.is_multiple_of(BLOCK), "whole blocks");
        let count = 4 * self.pixels.2;
        if count > 0 && self.reading.groups > 0 {
            let (from, to) = self.starts(self.reading.groups - 1);
            assert!(source >= from + count, "the source reaches {} values", from + count);
            assert!(target >= to + count, "the target reaches {} values", to + count);
        }
    }
}

impl Kernels {
    /// Does the steps of `reading` to `source`, whose groups are `from_plane` values apart, and writes codes to `output`, whose
    /// groups are `to_plane` bytes apart: `pixels` pixels from the given places on.
    ///
    /// # Panics
    /// If `pixels` are not whole blocks, or a slice is too short.
    pub fn read(
        self,
        reading: &Reading,
        (source, from_plane, from): (Source<'_>, usize, usize),
        (output, to_plane, to): (&mut [u8], usize, usize),
        pixels: usize,
    ) {
        let target = Target::Codes(output);
        self.dispatch(Call { reading, source, from_plane, target, to_plane, pixels: (from, to, pixels) });
    }

    /// As [`read`](Self::read), but writes the numbers themselves.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_real(
        self,
        reading: &Reading,
        (source, from_plane, from): (Source<'_>, usize, usize),
        (output, to_plane, to): (&mut [f32], usize, usize),
        pixels: usize,
    ) {
        let target = Target::Real(output);
        self.dispatch(Call { reading, source, from_plane, target, to_plane, pixels: (from, to, pixels) });
    }

    fn dispatch(self, call: Call<'_>) {
        call.check();
        match self.isa() {
            Isa::Scalar => plain::read(call),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` exist only for instruction sets that the processor has; the bounds were checked above.
            Isa::Avx2 => unsafe { avx2::read(call) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512Vnni => unsafe { avx512::read(call) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod | Isa::I8mm => neon::read(call),
            _ => unreachable!("`Kernels` exist only for instruction sets that the processor has"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(channels: usize, low: f32, high: f32, round: bool, seed: usize) -> Step {
        Step {
            mul: (0..channels).map(|c| ((c * 7 + seed) % 13) as f32 * 0.31 - 1.7).collect(),
            add: (0..channels).map(|c| ((c * 5 + seed) % 11) as f32 * 9.3 - 40.0).collect(),
            low,
            high,
            round,
        }
    }

    /// Against `Step` value by value, on every instruction set.
    #[test]
    fn every_kernel_does_what_steps_say() {
        for channels in 1..=70 {
            let blocks = 1 + channels % 4;
            let (pixels, plane) = (blocks * BLOCK, 4 * (blocks * BLOCK + 5));
            let groups = channels.div_ceil(4);
            let bytes: Vec<u8> = (0..groups * plane).map(|i| (i * 37 + channels) as u8).collect();
            let reals: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * 1.37 - 100.0).collect();
            let one = vec![step(channels, 0.0, 255.0, true, channels)];
            let signed = vec![step(channels, -128.0, 127.0, true, 3)];
            let two = vec![step(channels, -128.0, 127.0, true, 1), step(channels, 0.0, 255.0, true, 2)];
            for steps in [one, signed, two] {
                let reading = Reading::new(channels, &steps);
                for kind in 0..3 {
                    let source = match kind {
                        0 => Source::Unsigned(&bytes),
                        1 => Source::Signed(&bytes),
                        _ => Source::Real(&reals),
                    };
                    for isa in Isa::ALL {
                        let Some(kernels) = Kernels::of(isa) else { continue };
                        let mut output = vec![9; groups * 4 * pixels];
                        let mut numbers = vec![9.0; groups * 4 * pixels];
                        kernels.read(&reading, (source, plane, 3), (&mut output, 4 * pixels, 0), pixels);
                        kernels.read_real(&reading, (source, plane, 3), (&mut numbers, 4 * pixels, 0), pixels);
                        for channel in 0..channels {
                            for pixel in 0..pixels {
                                let at = channel / 4 * plane + 4 * (pixel + 3) + channel % 4;
                                let value = match kind {
                                    0 => f32::from(bytes[at]),
                                    1 => f32::from(bytes[at] as i8),
                                    _ => reals[at],
                                };
                                let expected = steps.iter().fold(value, |value, step| step.apply(channel, value));
                                let at = (channel / 4 * pixels + pixel) * 4 + channel % 4;
                                assert_eq!(output[at], expected as i32 as u8, "{} {channels}", isa.name());
                                assert_eq!(numbers[at], expected);
                            }
                        }
                    }
                }
            }
        }
    }
}
