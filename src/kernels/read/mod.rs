//! From the codes that layers wrote to those that a convolution reads: norm, ReLU and requantizing of all features before a
//! dense layer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::convolve::{bounds_fit, refusal};
use super::{Codes, GROUP, Kernels, PlanesMut};
use crate::error::{Error, Result};
use crate::quant::Step;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod fixed;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use fixed::Fixed;

/// One or more [`Step`]s from codes to codes, one after another, made ready for kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Reader {
    /// `[channels / 4][steps]`: the four channels' factors, then their summands.
    factors: Vec<[[f32; GROUP]; 2]>,
    bounds: Vec<Bounds>,
    /// Of each plane, integers for each step that give the same; none where there are none.
    fixed: Vec<Vec<Fixed>>,
    from: Codes,
    to: Codes,
}

/// What a step does with all channels alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bounds {
    low: f32,
    high: f32,
    round: bool,
}

/// What is stored of it, in this order.
#[derive(Deserialize)]
struct Stored {
    factors: Vec<[[f32; GROUP]; 2]>,
    bounds: Vec<Bounds>,
    fixed: Vec<Vec<Fixed>>,
    from: Codes,
    to: Codes,
}

impl TryFrom<Stored> for Reader {
    type Error = Error;

    fn try_from(Stored { factors, bounds, fixed, from, to }: Stored) -> Result<Self> {
        let planes = factors.len().checked_div(bounds.len());
        let whole = planes.is_some_and(|planes| planes * bounds.len() == factors.len() && planes == fixed.len());
        if !whole || fixed.iter().any(|fixed| ![0, bounds.len()].contains(&fixed.len())) {
            return Err(refusal("steps that contradict themselves".into()));
        }
        check(&factors, &bounds, to)?;
        Ok(Self { factors, bounds, fixed, from, to })
    }
}

/// What to read: planes of codes.
#[derive(Debug, Clone)]
pub struct Read<'a> {
    /// The codes, from the first pixel of the first plane on.
    pub input: &'a [u8],
    /// Bytes from one plane to the next.
    pub pitch: usize,
    /// Which planes of the reader's these are.
    pub planes: Range<usize>,
    /// Number of pixels, a multiple of [`Kernels::grain`].
    pub pixels: usize,
}

/// What a kernel needs, checked: all pixels of all planes can be read and written.
struct Job<'a> {
    /// As [`Reader`]'s, from the first plane on.
    factors: &'a [[[f32; GROUP]; 2]],
    bounds: &'a [Bounds],
    fixed: &'a [Vec<Fixed>],
    /// Whether input is s8, and what it is xored with before.
    signed: bool,
    flip_in: u8,
    /// Whether results are s8, and what they are xored with after.
    to_signed: bool,
    flip_out: u8,
    /// Whether bounds of the last step are not those that saturating conversions have anyway.
    clamp: bool,
    pixels: usize,
    input: *const u8,
    pitch: usize,
    out: *mut u8,
    out_pitch: usize,
}

/// One or two steps of a plane in integers. Between passes bytes are `x` of [`fixed`].
struct Pass<'a> {
    fixed: &'a [Fixed],
    /// May be the same as `to`.
    from: *const u8,
    to: *mut u8,
    /// What bytes read are xored with to be `x`, and results to be bytes to write.
    flip_in: u8,
    flip_out: u8,
    pixels: usize,
}

impl Reader {
    /// The steps from codes stored as `from` to codes stored as `to`. Channels are filled up to a multiple of 4.
    ///
    /// # Errors
    /// If results of the last step do not fit `to`, or if values could be beyond 2^30.
    ///
    /// # Panics
    /// If there is no step, or if steps disagree about the number of channels or it is no multiple of 4.
    pub fn new(steps: &[Step], from: Codes, to: Codes) -> Result<Self> {
        let channels = steps.last().expect("at least one step").channels();
        assert_eq!(channels % GROUP, 0, "{channels} channels are no whole planes");
        let agree = |step: &Step| step.mul.len() == channels && step.add.len() == channels;
        assert!(steps.iter().all(agree), "steps of as many channels");
        let four = |values: &[f32], plane: usize| [0, 1, 2, 3].map(|lane| values[plane * GROUP + lane]);
        let factors: Vec<_> = (0..channels / GROUP)
            .flat_map(|plane| steps.iter().map(move |step| [four(&step.mul, plane), four(&step.add, plane)]))
            .collect();
        let bounds: Vec<_> = steps.iter().map(|s| Bounds { low: s.low, high: s.high, round: s.round }).collect();
        check(&factors, &bounds, to)?;
        let fixed = (0..channels / GROUP).map(|plane| fixed(steps, plane, from, to).unwrap_or_default()).collect();
        Ok(Self { factors, bounds, fixed, from, to })
    }

    /// Number of planes of four channels.
    pub fn planes(&self) -> usize {
        self.factors.len() / self.bounds.len()
    }

    /// Number of steps.
    pub(crate) fn steps(&self) -> usize {
        self.bounds.len()
    }

    /// How results are stored.
    pub fn to(&self) -> Codes {
        self.to
    }
}

/// Refuses steps whose last results do not fit `to`, or whose values could be beyond 2^30: below that, none is infinite or NaN,
/// and all are i32 when rounded.
fn check(factors: &[[[f32; GROUP]; 2]], bounds: &[Bounds], to: Codes) -> Result<()> {
    let mut greatest = 255.0;
    for (step, Bounds { low, high, round }) in bounds.iter().enumerate() {
        let of_step = || factors.iter().skip(step).step_by(bounds.len());
        let most = |which: usize| {
            let values = of_step().flat_map(|factors| factors[which]);
            values.fold(0.0, |most: f64, x| if x.is_finite() { most.max(f64::from(x.abs())) } else { f64::INFINITY })
        };
        greatest = greatest * most(0) + most(1);
        if !(greatest <= f64::from(1 << 30) && low <= high) {
            return Err(refusal(format!("values up to {greatest}, bounded to {low} to {high}")));
        }
        let bound = |value: f64| value.clamp(f64::from(*low), f64::from(*high));
        greatest = bound(greatest).abs().max(bound(-greatest).abs());
        if greatest > f64::from(1 << 30) {
            return Err(refusal(format!("bounds of {low} to {high}")));
        }
        if step + 1 == bounds.len() {
            bounds_fit(*low, *high, *round, to)?;
        }
    }
    Ok(())
}

/// Integers that give the same as the steps do for a plane.
fn fixed(steps: &[Step], plane: usize, from: Codes, to: Codes) -> Option<Vec<Fixed>> {
    let between = steps.iter().rev().skip(1).rev();
    if !between.clone().all(Step::gives_bytes) {
        return None;
    }
    let codes = |step: &Step| if step.low < 0.0 { Codes::Signed } else { Codes::Unsigned };
    let mut from = from;
    let ends = between.map(codes).chain([to]);
    steps.iter().zip(ends).map(|(step, to)| fixed_step(step, plane, std::mem::replace(&mut from, to), to)).collect()
}

/// Integers that give the same as a step does for a plane.
fn fixed_step(step: &Step, plane: usize, from: Codes, to: Codes) -> Option<Fixed> {
    let middle = |codes: Codes| if codes.is_signed() { 0 } else { 128 };
    let lane = |lane: usize| plane * GROUP + lane;
    let mul = [0, 1, 2, 3].map(|i| f64::from(step.mul[lane(i)]));
    let add = [0, 1, 2, 3].map(|i| {
        f64::from(step.add[lane(i)]) + f64::from(middle(from)) * f64::from(step.mul[lane(i)]) - f64::from(middle(to))
    });
    Fixed::find(mul, add, |i, x| step.apply(lane(i), (x + middle(from)) as f32) as i32 - middle(to))
}

impl Job<'_> {
    /// The passes over a plane that do its steps in integers, two at a time: the first reads the input, those behind it what the
    /// one before has written, which is still near.
    fn passes(&self, plane: usize) -> impl Iterator<Item = Pass<'_>> {
        let middle = |signed: bool| if signed { 0 } else { 0x80 };
        let (flip_in, flip_out) = (self.flip_in ^ middle(self.signed), self.flip_out ^ middle(self.to_signed));
        let count = self.fixed[plane].len().div_ceil(2);
        let out = self.out.wrapping_add(plane * self.out_pitch);
        let input = self.input.wrapping_add(plane * self.pitch);
        self.fixed[plane].chunks(2).enumerate().map(move |(pass, fixed)| Pass {
            fixed,
            from: if pass == 0 { input } else { out },
            to: out,
            flip_in: if pass == 0 { flip_in } else { 0 },
            flip_out: if pass + 1 == count { flip_out } else { 0 },
            pixels: self.pixels,
        })
    }
}

impl Kernels {
    /// Reads: `out[plane][p][i]` is what the reader's steps make of the code at `input[plane * pitch + 4 p + i]`, of
    /// channel `4 * (planes.start + plane) + i`.
    ///
    /// # Panics
    /// If `out` has not as many planes or they are shorter than `4 * pixels`, if the reader has no such planes, or if the
    /// range of pixels is no multiple of [`Kernels::grain`] or ends beyond a plane of the input.
    pub fn read(self, reader: &Reader, what: &Read, out: &mut PlanesMut<u8>) {
        let job = self.reading(reader, what, out);
        #[cfg(feature = "check-kernels")]
        let expected = checked(&job);
        // SAFETY: `reading` has checked what `job` promises.
        unsafe { self.run_read(&job) };
        #[cfg(feature = "check-kernels")]
        for (plane, expected) in expected.chunks((GROUP * what.pixels).max(1)).enumerate() {
            assert!(out.plane(plane)[..expected.len()] == *expected, "{} differs from scalar", self.isa());
        }
    }

    /// Checks what is read and written.
    fn reading<'a>(self, reader: &'a Reader, what: &Read, out: &mut PlanesMut<u8>) -> Job<'a> {
        let Read { input, pitch, planes: Range { start, end }, pixels } = *what;
        assert!(start <= end && end <= reader.planes(), "planes {start} to {end} of {}", reader.planes());
        assert_eq!(pixels % self.grain(), 0, "{pixels} pixels are not what these kernels take");
        let (planes, bytes) = (end - start, pixels.checked_mul(GROUP).expect("a size in bytes"));
        assert_eq!(out.planes(), planes, "planes of the output");
        assert!(bytes <= out.len(), "{pixels} pixels exceed planes of {} bytes", out.len());
        let last = planes.checked_sub(1).map_or(Some(0), |last| last.checked_mul(pitch)?.checked_add(bytes));
        assert!(last.is_some_and(|last| last <= input.len()), "{planes} planes at {pitch} exceed {}", input.len());
        let (steps, shifted) = (reader.bounds.len(), self.shifted());
        let bounds = reader.bounds[steps - 1];
        let (out, out_pitch) = out.raw();
        Job {
            factors: &reader.factors[start * steps..end * steps],
            bounds: &reader.bounds,
            fixed: &reader.fixed[start..end],
            signed: reader.from.is_signed(),
            flip_in: reader.from.flip(shifted),
            to_signed: reader.to.is_signed(),
            flip_out: reader.to.flip(shifted),
            clamp: (bounds.low, bounds.high) != reader.to.range(),
            pixels,
            input: input.as_ptr(),
            pitch,
            out,
            out_pitch,
        }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `job` promise must hold.
    unsafe fn run_read(self, job: &Job) {
        use super::Isa;
        // SAFETY: the caller's promise; that there is a `Kernels` proves that the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::read(job),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => avx512::read(job),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => neon::read(job),
                _ => scalar::read(job),
            }
        }
    }
}

/// What the scalar kernel makes of it, `[planes][pixels][4]`.
#[cfg(feature = "check-kernels")]
fn checked(job: &Job) -> Vec<u8> {
    let planes = job.factors.len() / job.bounds.len();
    let mut expected = vec![0; planes * job.pixels * GROUP];
    // SAFETY: the input is the caller's, and the output was made to fit.
    unsafe { scalar::read(&Job { out: expected.as_mut_ptr(), out_pitch: job.pixels * GROUP, ..*job }) };
    expected
}
