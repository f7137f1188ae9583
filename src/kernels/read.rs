//! Reading features: norm, ReLU and quantization of what a layer reads, for each channel.
//!
//! This is plain code that compilers turn into vector instructions well; it is compiled once for each instruction set, and
//! `fma` and rounding are the same operations on all of them.

use super::{BLOCK, Isa, Kernels};
use crate::quant::{Step, round};

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
    steps: Vec<Step>,
    groups: usize,
}

impl Reading {
    /// The steps that are done one behind the other; all have as many channels as the first. Without steps values stay as they
    /// are, of `channels` channels.
    pub fn new(channels: usize, steps: &[Step]) -> Self {
        let groups = channels.div_ceil(4);
        let padded = |values: &[f32], with: f32| {
            let mut values = values.to_vec();
            values.resize(4 * groups, with);
            values
        };
        let pad = |step: &Step| Step { mul: padded(&step.mul, 0.0), add: padded(&step.add, 0.0), ..step.clone() };
        Self { steps: steps.iter().map(pad).collect(), groups }
    }

    /// Channels divided by four, rounded up.
    pub fn groups(&self) -> usize {
        self.groups
    }
}

/// Where results go: low bytes, or the numbers themselves.
trait Sink: Copy {
    fn of(value: f32) -> Self;
}

impl Sink for u8 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value as i32 as u8
    }
}

impl Sink for f32 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }
}

/// One call: planes from and to where, which pixels.
struct Call<'a, T> {
    reading: &'a Reading,
    source: Source<'a>,
    from_plane: usize,
    output: &'a mut [T],
    to_plane: usize,
    /// First pixel in the source, first in the output, and how many.
    pixels: (usize, usize, usize),
}

impl<T: Sink> Call<'_, T> {
    #[inline(always)]
    fn run(self) {
        match self.source {
            Source::Unsigned(codes) => self.from(codes, f32::from),
            Source::Signed(codes) => self.from(codes, |code| f32::from(code as i8)),
            Source::Real(values) => self.from(values, |value| value),
        }
    }

    #[inline(always)]
    fn from<X: Copy>(self, values: &[X], real: impl Fn(X) -> f32) {
        const WIDTH: usize = 4 * 4;
        let (first, to, count) = self.pixels;
        for group in 0..self.reading.groups {
            let input = &values[group * self.from_plane + 4 * first..][..4 * count];
            let output = &mut self.output[group * self.to_plane + 4 * to..][..4 * count];
            if let [step] = self.reading.steps.as_slice() {
                // One step, as nearly always: factors stay in registers.
                let mul: [f32; WIDTH] = std::array::from_fn(|i| step.mul[4 * group + i % 4]);
                let add: [f32; WIDTH] = std::array::from_fn(|i| step.add[4 * group + i % 4]);
                let (low, high, rounds) = (step.low, step.high, step.round);
                for (input, output) in input.as_chunks::<WIDTH>().0.iter().zip(output.as_chunks_mut::<WIDTH>().0) {
                    for i in 0..WIDTH {
                        let value = real(input[i]).mul_add(mul[i], add[i]);
                        let value = if value > low { value } else { low };
                        let value = if value < high { value } else { high };
                        output[i] = T::of(if rounds { round(value) } else { value });
                    }
                }
                continue;
            }
            for (at, (input, output)) in input.iter().zip(output).enumerate() {
                let channel = 4 * group + at % 4;
                *output = T::of(self.reading.steps.iter().fold(real(*input), |value, step| step.apply(channel, value)));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<T: Sink>(call: Call<'_, T>) {
    call.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
fn avx512<T: Sink>(call: Call<'_, T>) {
    call.run();
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
        assert!(pixels.is_multiple_of(BLOCK), "whole blocks");
        self.dispatch(Call { reading, source, from_plane, output, to_plane, pixels: (from, to, pixels) });
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
        assert!(pixels.is_multiple_of(BLOCK), "whole blocks");
        self.dispatch(Call { reading, source, from_plane, output, to_plane, pixels: (from, to, pixels) });
    }

    fn dispatch<T: Sink>(self, call: Call<'_, T>) {
        match self.isa() {
            Isa::Scalar => call.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` exist only for instruction sets that the processor has.
            Isa::Avx2 => unsafe { avx2(call) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512Vnni => unsafe { avx512(call) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => call.run(),
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
