//! Affines in 16-bit integers, where these give the same quantized values.
//!
//! There are only 256 possible inputs, so candidates can be tried on all of them when an affine chain is made. Suitable
//! integers nearly always exist, and a kernel then needs half the instructions that floats need.
//!
//! With `mulhrs(a, b) = (a * b + 2^14) >> 15` and sums saturating to 16 bits,
//! `qvalue = saturate8(mulhrs(mulhrs(256 * x, factor) + summand, back)) + middle`, where `x` is the input minus the middle of its
//! range, `middle` is the middle of the results' range, and `back` is 2^15 divided by the unit of the sum.

use serde::{Deserialize, Serialize};

use super::super::CHANNEL_BLOCK;

/// The integers of a plane's four channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fixed {
    pub(super) factor: [i16; CHANNEL_BLOCK],
    pub(super) summand: [i16; CHANNEL_BLOCK],
    pub(super) back: [i16; CHANNEL_BLOCK],
}

/// How far from the nearest integers to search.
const REACH: i32 = 3;

impl Fixed {
    /// Integers for four channels whose results equal `qvalue(x) - middle` for each `x` in -128..=127; `mul` and `add`
    /// approximate that function.
    pub(super) fn find(
        mul: [f64; CHANNEL_BLOCK],
        add: [f64; CHANNEL_BLOCK],
        qvalue: impl Fn(usize, i32) -> i32,
    ) -> Option<Self> {
        let mut fixed = Self { factor: [0; CHANNEL_BLOCK], summand: [0; CHANNEL_BLOCK], back: [0; CHANNEL_BLOCK] };
        for lane in 0..CHANNEL_BLOCK {
            let qvalues: [i32; 256] = std::array::from_fn(|i| qvalue(lane, i as i32 - 128));
            (fixed.factor[lane], fixed.summand[lane], fixed.back[lane]) = channel(mul[lane], add[lane], &qvalues)?;
        }
        Some(fixed)
    }
}

/// Factor, summand and back of one channel.
fn channel(mul: f64, add: f64, qvalues: &[i32; 256]) -> Option<(i16, i16, i16)> {
    // The finest unit first.
    for bits in (1..=8).rev() {
        let unit = f64::from(1 << bits);
        let (factor, summand) = ((128.0 * unit * mul).round(), (unit * add).round());
        if factor.abs() > 32_700.0 || summand.abs() > 32_768.0 {
            continue;
        }
        let back = 1 << (15 - bits);
        let affines = || -REACH..=REACH;
        let mut near: Vec<(i32, i32)> = affines().flat_map(|f| affines().map(move |s| (f, s))).collect();
        near.sort_by_key(|(f, s)| f.abs().max(s.abs()));
        for (f, s) in near {
            let (factor, summand) = (factor as i32 + f, saturate(summand as i32 + s));
            let same = |x: i32| evaluate(x, factor, summand, back) == qvalues[(x + 128) as usize];
            if (-128..128).all(same) {
                return Some((factor as i16, summand as i16, back as i16));
            }
        }
    }
    None
}

/// The kernels' computation.
fn evaluate(x: i32, factor: i32, summand: i32, back: i32) -> i32 {
    let mulhrs = |a: i32, b: i32| (a * b + (1 << 14)) >> 15;
    mulhrs(saturate(mulhrs(256 * x, factor) + summand), back).clamp(-128, 127)
}

fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels' tests check the results of `find`; this one, that it mostly succeeds.
    #[test]
    fn nearly_all_steps_have_integers() {
        let planes = 1000;
        let found = (0..planes).filter(|plane| {
            let number = |lane: usize, prime: usize| ((plane * 4 + lane) * prime % 1009) as f32 / 1009.0;
            let mul = [0, 1, 2, 3].map(|lane| 0.05 + 3.0 * number(lane, 331));
            let add = [0, 1, 2, 3].map(|lane| 300.0 * number(lane, 577) - 150.0);
            let qvalue = |lane: usize, x: i32| {
                let value = (x as f32).mul_add(mul[lane], add[lane]);
                crate::quant::round(value.clamp(0.0, 255.0)) as i32 - 128
            };
            Fixed::find(mul.map(f64::from), add.map(|add| f64::from(add) - 128.0), qvalue).is_some()
        });
        let found = found.count();
        assert!(found * 100 > planes * 95, "{found} of {planes}");
    }
}
