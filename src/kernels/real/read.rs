//! Any values to real numbers or codes, for the few places where values are not codes before and after.
//!
//! There is one body for all instruction sets: the compiler makes vectors of it ([`Kernels::wide`]).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::{BLOCK, Codes, GROUP, Kernels, PlanesMut};
use crate::quant::{Step, round};

/// Any number of [`Step`]s, one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Compact", into = "Compact")]
pub struct RealReader {
    /// `[channels / 4][steps]`: the four channels' factors for the pixels of a block, then their summands.
    factors: Vec<[[f32; LANES]; 2]>,
    bounds: Vec<Bounds>,
    planes: usize,
}

/// What a step does with all channels alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bounds {
    low: f32,
    high: f32,
    round: bool,
}

/// A reader without repetitions, as it is stored.
#[derive(Serialize, Deserialize)]
struct Compact {
    factors: Vec<[[f32; GROUP]; 2]>,
    bounds: Vec<Bounds>,
    planes: usize,
}

impl From<RealReader> for Compact {
    fn from(reader: RealReader) -> Self {
        let first = |values: [f32; LANES]| std::array::from_fn(|i| values[i]);
        let factors = reader.factors.into_iter().map(|both| both.map(first)).collect();
        Self { factors, bounds: reader.bounds, planes: reader.planes }
    }
}

impl TryFrom<Compact> for RealReader {
    type Error = &'static str;

    fn try_from(Compact { factors, bounds, planes }: Compact) -> Result<Self, Self::Error> {
        if bounds.len().checked_mul(planes) != Some(factors.len()) {
            return Err("a reader whose steps contradict themselves");
        }
        let spread = |values: [f32; GROUP]| std::array::from_fn(|i| values[i % GROUP]);
        Ok(Self { factors: factors.into_iter().map(|both| both.map(spread)).collect(), bounds, planes })
    }
}

/// Values of a block of a plane. The compiler makes vectors of loops as long as this, and plain code of shorter ones.
const LANES: usize = GROUP * BLOCK;

/// Where values come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Codes, stored like these.
    Codes(&'a [u8], Codes),
    /// Real numbers.
    Real(&'a [f32]),
}

/// What to read: planes of values.
#[derive(Debug, Clone)]
pub struct ReadReal<'a> {
    /// The values, from the first pixel of the first plane on.
    pub input: Source<'a>,
    /// Values from one plane to the next.
    pub pitch: usize,
    /// Which planes of the reader's these are.
    pub planes: Range<usize>,
    /// Number of pixels, a multiple of [`Kernels::grain`].
    pub pixels: usize,
}

impl RealReader {
    /// The steps of `channels` channels, a multiple of 4. Without steps values stay as they are.
    ///
    /// # Panics
    /// If steps are of another number of channels.
    pub fn new(channels: usize, steps: &[Step]) -> Self {
        assert_eq!(channels % GROUP, 0, "{channels} channels are no whole planes");
        assert!(steps.iter().all(|step| step.channels() == channels), "steps of {channels} channels");
        let planes = channels / GROUP;
        let spread = |values: &[f32], plane: usize| std::array::from_fn(|i| values[GROUP * plane + i % GROUP]);
        let of = |plane| steps.iter().map(move |step| [spread(&step.mul, plane), spread(&step.add, plane)]);
        let bounds = steps.iter().map(|s| Bounds { low: s.low, high: s.high, round: s.round });
        Self { factors: (0..planes).flat_map(of).collect(), bounds: bounds.collect(), planes }
    }

    /// Number of planes of four channels.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Number of steps.
    pub(crate) fn steps(&self) -> usize {
        self.bounds.len()
    }

    /// Does the steps to values of a plane.
    #[inline(always)]
    fn apply(&self, plane: usize, values: &mut [f32; LANES]) {
        let factors = &self.factors[plane * self.bounds.len()..];
        for (Bounds { low, high, round: rounds }, [mul, add]) in self.bounds.iter().zip(factors) {
            for ((value, mul), add) in values.iter_mut().zip(mul).zip(add) {
                let x = value.mul_add(*mul, *add);
                let x = if x > *low { x } else { *low };
                *value = if x < *high { x } else { *high };
            }
            if *rounds {
                values.iter_mut().for_each(|x| *x = round(*x));
            }
        }
    }
}

impl ReadReal<'_> {
    /// Checks that all can be read and written.
    fn check<T>(&self, reader: &RealReader, grain: usize, out: &PlanesMut<'_, T>) {
        let Self { input, pitch, planes: Range { start, end }, pixels } = self;
        assert!(start <= end && *end <= reader.planes, "planes {start} to {end} of {}", reader.planes);
        assert_eq!(pixels % grain, 0, "{pixels} pixels are not what these kernels take");
        assert_eq!(out.planes(), end - start, "planes of the output");
        assert!(*pixels <= out.len() / GROUP, "{pixels} pixels exceed planes of {} values", out.len());
        let len = match input {
            Source::Codes(codes, _) => codes.len(),
            Source::Real(values) => values.len(),
        };
        let last = (end - start).checked_sub(1).map_or(0, |last| last * pitch + GROUP * pixels);
        assert!(last <= len, "{} planes at {pitch} exceed {len}", end - start);
    }
}

impl Kernels {
    /// Reads to real numbers: `out[plane][p][i]` is what the reader's steps make of the value at
    /// `input[plane * pitch + 4 p + i]`, of channel `4 * (planes.start + plane) + i`.
    ///
    /// # Panics
    /// If `out` has not as many planes or they are shorter than `4 * pixels`, if the reader has no such planes, or if the
    /// range of pixels is no multiple of [`Kernels::grain`] or ends beyond a plane of the input.
    pub fn read_real(self, reader: &RealReader, what: &ReadReal<'_>, out: &mut PlanesMut<'_, f32>) {
        what.check(reader, self.grain(), out);
        self.wide(
            #[inline(always)]
            || {
                read(reader, what, self.shifted(), out, |values, out| out.copy_from_slice(values));
            },
        );
    }

    /// As [`Kernels::read_real`], to codes that are stored like `codes`: the low bytes of the results.
    ///
    /// # Panics
    /// As [`Kernels::read_real`].
    pub fn read_rounded(self, reader: &RealReader, what: &ReadReal<'_>, codes: Codes, out: &mut PlanesMut<'_, u8>) {
        what.check(reader, self.grain(), out);
        let flip = codes.flip(self.shifted());
        self.wide(
            #[inline(always)]
            || {
                read(reader, what, self.shifted(), out, |values, out| {
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = *value as i32 as u8 ^ flip);
                });
            },
        );
    }
}

/// Reads block by block; behind the last whole one half a block may be left.
#[inline(always)]
fn read<T: Copy + Default>(
    reader: &RealReader,
    what: &ReadReal<'_>,
    shifted: bool,
    out: &mut PlanesMut<'_, T>,
    store: impl Fn(&[f32; LANES], &mut [T]),
) {
    for plane in 0..what.planes.len() {
        let range = plane * what.pitch..plane * what.pitch + GROUP * what.pixels;
        let of = what.planes.start + plane;
        let out = &mut out.plane(plane)[..GROUP * what.pixels];
        match what.input {
            Source::Real(values) => {
                let load = |values: &[f32], block: &mut [f32; LANES]| block.copy_from_slice(values);
                read_plane(reader, of, &values[range], out, load, &store);
            }
            Source::Codes(codes, kind) => {
                let flip = kind.flip(shifted);
                let codes = &codes[range];
                if kind.is_signed() {
                    let load = |codes: &[u8], block: &mut [f32; LANES]| {
                        block.iter_mut().zip(codes).for_each(|(value, code)| *value = f32::from((code ^ flip) as i8));
                    };
                    read_plane(reader, of, codes, out, load, &store);
                } else {
                    let load = |codes: &[u8], block: &mut [f32; LANES]| {
                        block.iter_mut().zip(codes).for_each(|(value, code)| *value = f32::from(code ^ flip));
                    };
                    read_plane(reader, of, codes, out, load, &store);
                }
            }
        }
    }
}

#[inline(always)]
fn read_plane<S: Copy + Default, T: Copy + Default>(
    reader: &RealReader,
    plane: usize,
    values: &[S],
    out: &mut [T],
    load: impl Fn(&[S], &mut [f32; LANES]),
    store: impl Fn(&[f32; LANES], &mut [T]),
) {
    let mut block = [0.0; LANES];
    let (mut whole, mut whole_out) = (values.chunks_exact(LANES), out.chunks_exact_mut(LANES));
    for (values, out) in whole.by_ref().zip(whole_out.by_ref()) {
        load(values, &mut block);
        reader.apply(plane, &mut block);
        store(&block, out);
    }
    let (rest, out) = (whole.remainder(), whole_out.into_remainder());
    if !rest.is_empty() {
        let (mut padded, mut padded_out) = ([S::default(); LANES], [T::default(); LANES]);
        padded[..rest.len()].copy_from_slice(rest);
        load(&padded, &mut block);
        reader.apply(plane, &mut block);
        store(&block, &mut padded_out);
        out.copy_from_slice(&padded_out[..out.len()]);
    }
}
