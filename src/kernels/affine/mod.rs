//! From the stored quantized values to those that a convolution reads: norm, ReLU and requantizing of all features in front of
//! a dense layer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::convolve::{bounds_fit, refusal};
use super::{CHANNEL_BLOCK, Kernels, PlanesMut, QuantType};
use crate::error::{Error, Result};
use crate::quant::Affine;

mod fixed;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod vector;

use fixed::Fixed;

/// A sequence of [`Affine`]s from quantized values to quantized values, in the form that kernels take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AffineChainFields")]
pub struct AffineChain {
    /// `[channels / 4][affines]`: the four channels' factors, then their summands.
    factors: Vec<[[f32; CHANNEL_BLOCK]; 2]>,
    bounds: Vec<ClampRound>,
    /// For each plane the integers of each affine that give the same results; empty if there are none.
    fixed: Vec<Vec<Fixed>>,
    from: QuantType,
    to: QuantType,
}

/// The part of an affine that is the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct ClampRound {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) round: bool,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct AffineChainFields {
    factors: Vec<[[f32; CHANNEL_BLOCK]; 2]>,
    bounds: Vec<ClampRound>,
    fixed: Vec<Vec<Fixed>>,
    from: QuantType,
    to: QuantType,
}

impl TryFrom<AffineChainFields> for AffineChain {
    type Error = Error;

    fn try_from(AffineChainFields { factors, bounds, fixed, from, to }: AffineChainFields) -> Result<Self> {
        let planes = factors.len().checked_div(bounds.len());
        let whole = planes.is_some_and(|planes| planes * bounds.len() == factors.len() && planes == fixed.len());
        if !whole || fixed.iter().any(|fixed| ![0, bounds.len()].contains(&fixed.len())) {
            return Err(refusal("affines that contradict themselves".into()));
        }
        check(&factors, &bounds, to)?;
        Ok(Self { factors, bounds, fixed, from, to })
    }
}

/// The input: planes of quantized values.
#[derive(Debug, Clone)]
pub struct ChainInput<'a> {
    /// The quantized values, from the first pixel of the first plane on.
    pub input: &'a [u8],
    /// Bytes from one plane to the next.
    pub plane_stride: usize,
    /// The indices of these planes among the chain's.
    pub planes: Range<usize>,
    /// Number of pixels, a multiple of [`Kernels::pixel_multiple`].
    pub pixels: usize,
}

/// A kernel's arguments, checked: all pixels of all planes can be read and written.
struct AffineArgs<'a> {
    /// As [`AffineChain`]'s, from the first plane on.
    factors: &'a [[[f32; CHANNEL_BLOCK]; 2]],
    bounds: &'a [ClampRound],
    fixed: &'a [Vec<Fixed>],
    /// Whether the input is s8, after being xored with `flip_in`.
    signed: bool,
    flip_in: u8,
    /// Whether results are s8, before being xored with `flip_out`.
    to_signed: bool,
    flip_out: u8,
    /// Whether the bounds of the last affine are narrower than those of saturating conversions.
    clamp: bool,
    pixels: usize,
    input: *const u8,
    plane_stride: usize,
    out: *mut u8,
    out_stride: usize,
}

/// One or two affines of a plane in integers. Between passes bytes are `x` of [`fixed`].
struct Pass<'a> {
    fixed: &'a [Fixed],
    /// May equal `to`.
    from: *const u8,
    to: *mut u8,
    /// Bytes read are xored with this to give `x`, and results with `flip_out` to give the bytes written.
    flip_in: u8,
    flip_out: u8,
    pixels: usize,
}

impl AffineChain {
    /// The affines from quantized values stored as `from` to quantized values stored as `to`. Channels are padded to a multiple
    /// of 4.
    ///
    /// # Errors
    /// If results of the last affine do not fit `to`, if values could be beyond 2^30, or if an affine has a function.
    ///
    /// # Panics
    /// If there is no affine, if affines have different numbers of channels, or if that number is not a multiple of 4.
    pub fn new(affines: &[Affine], from: QuantType, to: QuantType) -> Result<Self> {
        let channels = affines.last().expect("at least one affine").channels();
        assert_eq!(channels % CHANNEL_BLOCK, 0, "{channels} channels are no whole planes");
        let agree = |affine: &Affine| affine.mul.len() == channels && affine.add.len() == channels;
        assert!(affines.iter().all(agree), "affines of as many channels");
        let four = |values: &[f32], plane: usize| [0, 1, 2, 3].map(|lane| values[plane * CHANNEL_BLOCK + lane]);
        let factors: Vec<_> = (0..channels / CHANNEL_BLOCK)
            .flat_map(|plane| affines.iter().map(move |affine| [four(&affine.mul, plane), four(&affine.add, plane)]))
            .collect();
        let bounds: Vec<_> = affines.iter().map(|s| ClampRound { low: s.low, high: s.high, round: s.round }).collect();
        if !affines.iter().all(|affine| affine.function.is_identity()) {
            return Err(refusal("a function between quantized values".into()));
        }
        check(&factors, &bounds, to)?;
        let fixed =
            (0..channels / CHANNEL_BLOCK).map(|plane| fixed(affines, plane, from, to).unwrap_or_default()).collect();
        Ok(Self { factors, bounds, fixed, from, to })
    }

    /// Number of planes of four channels.
    pub fn planes(&self) -> usize {
        self.factors.len() / self.bounds.len()
    }

    /// Number of affines.
    pub(crate) fn affines(&self) -> usize {
        self.bounds.len()
    }

    /// How results are stored.
    pub fn to(&self) -> QuantType {
        self.to
    }
}

/// Refuses affines whose last results do not fit `to`, or whose values could exceed 2^30: below that, none is infinite or NaN,
/// and all fit i32 when rounded.
fn check(factors: &[[[f32; CHANNEL_BLOCK]; 2]], bounds: &[ClampRound], to: QuantType) -> Result<()> {
    let mut greatest = 255.0;
    for (affine, ClampRound { low, high, round }) in bounds.iter().enumerate() {
        let of_step = || factors.iter().skip(affine).step_by(bounds.len());
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
        if affine + 1 == bounds.len() {
            bounds_fit(*low, *high, *round, to)?;
        }
    }
    Ok(())
}

/// Integers that give the same results as the affines for a plane.
fn fixed(affines: &[Affine], plane: usize, from: QuantType, to: QuantType) -> Option<Vec<Fixed>> {
    let between = affines.iter().rev().skip(1).rev();
    if !between.clone().all(Affine::gives_bytes) {
        return None;
    }
    let qvalues = |affine: &Affine| if affine.low < 0.0 { QuantType::Signed } else { QuantType::Unsigned };
    let mut from = from;
    let ends = between.map(qvalues).chain([to]);
    affines
        .iter()
        .zip(ends)
        .map(|(affine, to)| fixed_affine(affine, plane, std::mem::replace(&mut from, to), to))
        .collect()
}

/// Integers that give the same results as an affine for a plane.
fn fixed_affine(affine: &Affine, plane: usize, from: QuantType, to: QuantType) -> Option<Fixed> {
    let middle = |qvalues: QuantType| if qvalues.is_signed() { 0 } else { 128 };
    let lane = |lane: usize| plane * CHANNEL_BLOCK + lane;
    let mul = [0, 1, 2, 3].map(|i| f64::from(affine.mul[lane(i)]));
    let add = [0, 1, 2, 3].map(|i| {
        f64::from(affine.add[lane(i)]) + f64::from(middle(from)) * f64::from(affine.mul[lane(i)])
            - f64::from(middle(to))
    });
    Fixed::find(mul, add, |i, x| affine.apply(lane(i), (x + middle(from)) as f32) as i32 - middle(to))
}

impl AffineArgs<'_> {
    /// The passes over a plane that compute its affines in integers, two at a time: the first reads the input, each later one
    /// the previous one's results, which are still in the cache.
    fn passes(&self, plane: usize) -> impl Iterator<Item = Pass<'_>> {
        let middle = |signed: bool| if signed { 0 } else { 0x80 };
        let (flip_in, flip_out) = (self.flip_in ^ middle(self.signed), self.flip_out ^ middle(self.to_signed));
        let count = self.fixed[plane].len().div_ceil(2);
        let out = self.out.wrapping_add(plane * self.out_stride);
        let input = self.input.wrapping_add(plane * self.plane_stride);
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
    /// Applies a chain: `out[plane][p][i]` is the result for the quantized value at `input[plane * plane_stride + 4 p + i]`, of
    /// channel `4 * (planes.start + plane) + i`.
    ///
    /// # Panics
    /// If `out` has another number of planes or they are shorter than `4 * pixels`, if the chain does not have these planes, or
    /// if `pixels` is not a multiple of [`Kernels::pixel_multiple`] or exceeds a plane of the input.
    pub fn affine(self, chain: &AffineChain, operand: &ChainInput, out: &mut PlanesMut<u8>) {
        let args = self.affine_args(chain, operand, out);
        #[cfg(feature = "check-kernels")]
        let expected = checked(&args);
        // SAFETY: `affine_args` has checked what `args` promises.
        unsafe { self.run_affine(&args) };
        #[cfg(feature = "check-kernels")]
        for (plane, expected) in expected.chunks((CHANNEL_BLOCK * operand.pixels).max(1)).enumerate() {
            assert!(out.plane(plane)[..expected.len()] == *expected, "{} differs from scalar", self.isa());
        }
    }

    /// Checks the input's and the output's ranges.
    fn affine_args<'a>(self, chain: &'a AffineChain, operand: &ChainInput, out: &mut PlanesMut<u8>) -> AffineArgs<'a> {
        let ChainInput { input, plane_stride, planes: Range { start, end }, pixels } = *operand;
        assert!(start <= end && end <= chain.planes(), "planes {start} to {end} of {}", chain.planes());
        assert_eq!(pixels % self.pixel_multiple(), 0, "{pixels} pixels are not what these kernels take");
        let (planes, bytes) = (end - start, pixels.checked_mul(CHANNEL_BLOCK).expect("a size in bytes"));
        assert_eq!(out.planes(), planes, "planes of the output");
        assert!(bytes <= out.len(), "{pixels} pixels exceed planes of {} bytes", out.len());
        let last = planes.checked_sub(1).map_or(Some(0), |last| last.checked_mul(plane_stride)?.checked_add(bytes));
        assert!(
            last.is_some_and(|last| last <= input.len()),
            "{planes} planes at {plane_stride} exceed {}",
            input.len()
        );
        let (affines, shifted) = (chain.bounds.len(), self.shifted());
        let bounds = chain.bounds[affines - 1];
        let (out, out_stride) = out.raw();
        AffineArgs {
            factors: &chain.factors[start * affines..end * affines],
            bounds: &chain.bounds,
            fixed: &chain.fixed[start..end],
            signed: chain.from.is_signed(),
            flip_in: chain.from.flip(shifted),
            to_signed: chain.to.is_signed(),
            flip_out: chain.to.flip(shifted),
            clamp: (bounds.low, bounds.high) != chain.to.range(),
            pixels,
            input: input.as_ptr(),
            plane_stride,
            out,
            out_stride,
        }
    }

    /// Calls the instruction set's kernel.
    ///
    /// # Safety
    /// What the fields of `args` promise must hold.
    unsafe fn run_affine(self, args: &AffineArgs) {
        use super::Isa;
        // SAFETY: the caller checked `args`; a `Kernels` exists only if the processor has the instructions.
        unsafe {
            match self.isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => vector::avx2(args),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => vector::avx512(args),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon | Isa::Dotprod | Isa::I8mm => vector::neon(args),
                _ => scalar::affine(args),
            }
        }
    }
}

/// The scalar kernel's results, `[planes][pixels][4]`.
#[cfg(feature = "check-kernels")]
fn checked(args: &AffineArgs) -> Vec<u8> {
    let planes = args.factors.len() / args.bounds.len();
    let mut expected = vec![0; planes * args.pixels * CHANNEL_BLOCK];
    // SAFETY: the input is the caller's, and the output was made to fit.
    unsafe {
        scalar::affine(&AffineArgs { out: expected.as_mut_ptr(), out_stride: args.pixels * CHANNEL_BLOCK, ..*args })
    };
    expected
}
