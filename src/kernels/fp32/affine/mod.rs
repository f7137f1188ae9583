//! Affines from or to f32 values, for the few places where values are not quantized on both sides.
//!
//! There is one body for all instruction sets, which the compiler vectorizes ([`Kernels::vectorize`]), and one for ARM where that takes many more
//! instructions.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::affine::ClampRound;
use super::super::prefetch::prefetch;
use super::super::{CHANNEL_BLOCK, Kernels, PIXEL_BLOCK, PlanesMut, QuantType};
use crate::quant::{Affine, Function, round};

#[cfg(target_arch = "aarch64")]
mod neon;

/// A sequence of any number of [`Affine`]s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AffineChainF32Fields", into = "AffineChainF32Fields")]
pub struct AffineChainF32 {
    /// `[channels / 4][affines]`: the four channels' factors for the pixels of a block, then their summands.
    factors: Vec<[[f32; LANES]; 2]>,
    affines: Vec<ChainStep>,
    planes: usize,
}

/// The part of an affine that is the same for all channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ChainStep {
    function: Function,
    bounds: ClampRound,
}

/// The serialized form of an affine chain, without repetitions.
#[derive(Serialize, Deserialize)]
struct AffineChainF32Fields {
    factors: Vec<[[f32; CHANNEL_BLOCK]; 2]>,
    affines: Vec<ChainStep>,
    planes: usize,
}

impl From<AffineChainF32> for AffineChainF32Fields {
    fn from(chain: AffineChainF32) -> Self {
        let first = |values: [f32; LANES]| std::array::from_fn(|i| values[i]);
        let factors = chain.factors.into_iter().map(|both| both.map(first)).collect();
        Self { factors, affines: chain.affines, planes: chain.planes }
    }
}

impl TryFrom<AffineChainF32Fields> for AffineChainF32 {
    type Error = &'static str;

    fn try_from(AffineChainF32Fields { factors, affines, planes }: AffineChainF32Fields) -> Result<Self, Self::Error> {
        if affines.len().checked_mul(planes) != Some(factors.len()) {
            return Err("an affine chain whose affines contradict themselves");
        }
        let spread = |values: [f32; CHANNEL_BLOCK]| std::array::from_fn(|i| values[i % CHANNEL_BLOCK]);
        Ok(Self { factors: factors.into_iter().map(|both| both.map(spread)).collect(), affines, planes })
    }
}

/// Values of a pixel block of a plane. The compiler vectorizes loops of this length, but not shorter ones.
const LANES: usize = CHANNEL_BLOCK * PIXEL_BLOCK;

/// Values of half a pixel block: [`Kernels::pixel_multiple`] is a multiple of that.
const HALF: usize = LANES / 2;

/// The source of values.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// Quantized values of this type.
    Quantized(&'a [u8], QuantType),
    /// F32 values.
    F32(&'a [f32]),
}

/// The input: planes of values.
#[derive(Debug, Clone)]
pub struct ChainInputF32<'a> {
    /// The values, from the first pixel of the first plane on.
    pub input: Operand<'a>,
    /// Values from one plane to the next.
    pub plane_stride: usize,
    /// The indices of these planes among the chain's.
    pub planes: Range<usize>,
    /// Number of pixels, a multiple of [`Kernels::pixel_multiple`].
    pub pixels: usize,
}

impl AffineChainF32 {
    /// The affines over `channels` channels, a multiple of 4. Without affines it is the identity.
    ///
    /// # Panics
    /// If an affine has another number of channels.
    pub fn new(channels: usize, affines: &[Affine]) -> Self {
        assert_eq!(channels % CHANNEL_BLOCK, 0, "{channels} channels are no whole planes");
        assert!(affines.iter().all(|affine| affine.channels() == channels), "affines of {channels} channels");
        let planes = channels / CHANNEL_BLOCK;
        let spread =
            |values: &[f32], plane: usize| std::array::from_fn(|i| values[CHANNEL_BLOCK * plane + i % CHANNEL_BLOCK]);
        let of = |plane| affines.iter().map(move |affine| [spread(&affine.mul, plane), spread(&affine.add, plane)]);
        let step = |affine: &Affine| ChainStep {
            function: affine.function.clone(),
            bounds: ClampRound { low: affine.low, high: affine.high, round: affine.round },
        };
        Self { factors: (0..planes).flat_map(of).collect(), affines: affines.iter().map(step).collect(), planes }
    }

    /// Number of planes of four channels.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Number of affines.
    pub(crate) fn affines(&self) -> usize {
        self.affines.len()
    }

    /// Whether it is one affine without function or rounding, such as a norm with ReLU.
    fn is_bounded_sum(&self) -> bool {
        matches!(self.affines.as_slice(), [ChainStep { function, bounds }] if function.is_identity() && !bounds.round)
    }

    /// Whether one of the affines has a function.
    fn has_function(&self) -> bool {
        self.affines.iter().any(|step| !step.function.is_identity())
    }

    /// Applies the affines to values of a plane.
    #[inline(always)]
    fn apply(&self, plane: usize, values: &mut [f32; LANES]) {
        let factors = &self.factors[plane * self.affines.len()..];
        for (ChainStep { function, bounds }, [mul, add]) in self.affines.iter().zip(factors) {
            let ClampRound { low, high, round: rounds } = bounds;
            let clamp = |x: f32| {
                let x = if x > *low { x } else { *low };
                if x < *high { x } else { *high }
            };
            let sums = values.iter_mut().zip(mul).zip(add);
            if function.is_identity() {
                sums.for_each(|((value, mul), add)| *value = clamp(value.mul_add(*mul, *add)));
            } else {
                sums.for_each(|((value, mul), add)| *value = value.mul_add(*mul, *add));
                function.apply_all(values);
                values.iter_mut().for_each(|value| *value = clamp(*value));
            }
            if *rounds {
                values.iter_mut().for_each(|x| *x = round(*x));
            }
        }
    }
}

impl ChainInputF32<'_> {
    /// Checks that all values can be read and written.
    fn check<T>(&self, chain: &AffineChainF32, pixel_multiple: usize, out: &PlanesMut<'_, T>) {
        let Self { input, plane_stride, planes: Range { start, end }, pixels } = self;
        assert!(start <= end && *end <= chain.planes, "planes {start} to {end} of {}", chain.planes);
        assert_eq!(pixels % pixel_multiple, 0, "{pixels} pixels are not what these kernels take");
        assert_eq!(out.planes(), end - start, "planes of the output");
        assert!(*pixels <= out.len() / CHANNEL_BLOCK, "{pixels} pixels exceed planes of {} values", out.len());
        let len = match input {
            Operand::Quantized(qvalues, _) => qvalues.len(),
            Operand::F32(values) => values.len(),
        };
        let last = (end - start).checked_sub(1).map_or(0, |last| last * plane_stride + CHANNEL_BLOCK * pixels);
        assert!(last <= len, "{} planes at {plane_stride} exceed {len}", end - start);
    }
}

impl Kernels {
    /// Applies a chain, with f32 results: `out[plane][p][i]` is the result for the value at
    /// `input[plane * plane_stride + 4 p + i]`, of channel `4 * (planes.start + plane) + i`.
    ///
    /// # Panics
    /// If `out` has another number of planes or they are shorter than `4 * pixels`, if the chain does not have these planes, or
    /// if `pixels` is not a multiple of [`Kernels::pixel_multiple`] or exceeds a plane of the input.
    pub fn affine_to_f32(self, chain: &AffineChainF32, operand: &ChainInputF32<'_>, out: &mut PlanesMut<'_, f32>) {
        operand.check(chain, self.pixel_multiple(), out);
        #[cfg(target_arch = "aarch64")]
        if self.isa() != super::super::Isa::Scalar && neon::bounded_sums(chain, operand, self.shifted(), out) {
            return;
        }
        self.vectorize(
            #[inline(always)]
            || {
                read(chain, operand, self.shifted(), out, |values, out| out.copy_from_slice(values));
            },
        );
    }

    /// As [`Kernels::affine_to_f32`], with quantized results stored as `qvalues`: their low bytes.
    ///
    /// # Panics
    /// As [`Kernels::affine_to_f32`].
    pub fn affine_to_quantized(
        self,
        chain: &AffineChainF32,
        operand: &ChainInputF32<'_>,
        qvalues: QuantType,
        out: &mut PlanesMut<'_, u8>,
    ) {
        operand.check(chain, self.pixel_multiple(), out);
        let flip = qvalues.flip(self.shifted());
        #[cfg(target_arch = "aarch64")]
        if self.isa() != super::super::Isa::Scalar && neon::rounded_sums(chain, operand, flip, out) {
            return;
        }
        self.vectorize(
            #[inline(always)]
            || {
                read(chain, operand, self.shifted(), out, |values, out| {
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = *value as i32 as u8 ^ flip);
                });
            },
        );
    }
}

/// Applies it block by block; half a block may remain at the end.
#[inline(always)]
fn read<T: Copy + Default>(
    chain: &AffineChainF32,
    operand: &ChainInputF32<'_>,
    shifted: bool,
    out: &mut PlanesMut<'_, T>,
    store: impl Fn(&[f32], &mut [T]),
) {
    for plane in 0..operand.planes.len() {
        let range = plane * operand.plane_stride..plane * operand.plane_stride + CHANNEL_BLOCK * operand.pixels;
        let of = operand.planes.start + plane;
        if chain.has_function() && plane + 1 < operand.planes.len() {
            // A function takes about as long as a value from afar.
            let next = range.start + operand.plane_stride..range.end + operand.plane_stride;
            match operand.input {
                Operand::F32(values) => prefetch(&values[next]),
                Operand::Quantized(qvalues, _) => prefetch(&qvalues[next]),
            }
        }
        let out = &mut out.plane(plane)[..CHANNEL_BLOCK * operand.pixels];
        match operand.input {
            Operand::F32(values) if chain.is_bounded_sum() => {
                bounded_sums(chain, of, &values[range], out, &store);
            }
            Operand::F32(values) => {
                let load = |values: &[f32], block: &mut [f32; LANES]| block.copy_from_slice(values);
                read_plane(chain, of, &values[range], out, load, &store);
            }
            Operand::Quantized(qvalues, kind) => {
                let flip = kind.flip(shifted);
                let qvalues = &qvalues[range];
                if kind.is_signed() {
                    let load = |qvalues: &[u8], block: &mut [f32; LANES]| {
                        block
                            .iter_mut()
                            .zip(qvalues)
                            .for_each(|(value, qvalue)| *value = f32::from((qvalue ^ flip) as i8));
                    };
                    read_plane(chain, of, qvalues, out, load, &store);
                } else {
                    let load = |qvalues: &[u8], block: &mut [f32; LANES]| {
                        block.iter_mut().zip(qvalues).for_each(|(value, qvalue)| *value = f32::from(qvalue ^ flip));
                    };
                    read_plane(chain, of, qvalues, out, load, &store);
                }
            }
        }
    }
}

/// As [`read_plane`], for a chain of one affine without function or rounding: values stay in registers.
#[inline(always)]
fn bounded_sums<T: Copy + Default>(
    chain: &AffineChainF32,
    plane: usize,
    values: &[f32],
    out: &mut [T],
    store: impl Fn(&[f32], &mut [T]),
) {
    let ([mul, add], ChainStep { bounds: ClampRound { low, high, .. }, .. }) =
        (&chain.factors[plane], &chain.affines[0]);
    for (values, out) in values.as_chunks::<HALF>().0.iter().zip(out.chunks_exact_mut(HALF)) {
        let mut results = [0.0; HALF];
        for (((result, x), mul), add) in results.iter_mut().zip(values).zip(mul).zip(add) {
            let x = x.mul_add(*mul, *add);
            let x = if x > *low { x } else { *low };
            *result = if x < *high { x } else { *high };
        }
        store(&results, out);
    }
}

#[inline(always)]
fn read_plane<S: Copy + Default, T: Copy + Default>(
    chain: &AffineChainF32,
    plane: usize,
    values: &[S],
    out: &mut [T],
    load: impl Fn(&[S], &mut [f32; LANES]),
    store: impl Fn(&[f32], &mut [T]),
) {
    let mut block = [0.0; LANES];
    let (mut whole, mut whole_out) = (values.chunks_exact(LANES), out.chunks_exact_mut(LANES));
    for (values, out) in whole.by_ref().zip(whole_out.by_ref()) {
        load(values, &mut block);
        chain.apply(plane, &mut block);
        store(&block, out);
    }
    let (rest, out) = (whole.remainder(), whole_out.into_remainder());
    if !rest.is_empty() {
        let (mut padded, mut padded_out) = ([S::default(); LANES], [T::default(); LANES]);
        padded[..rest.len()].copy_from_slice(rest);
        load(&padded, &mut block);
        chain.apply(plane, &mut block);
        store(&block, &mut padded_out);
        out.copy_from_slice(&padded_out[..out.len()]);
    }
}
