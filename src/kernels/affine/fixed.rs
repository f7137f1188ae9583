//! Affines in 16-bit integers, where these give the same quantized values.
//!
//! There are only 256 possible inputs, so candidates can be tried on all of them when an affine chain is made. Suitable
//! integers nearly always exist, and a kernel then needs half the instructions that floats need.
//!
//! With `mulhrs(a, b) = (a * b + 2^14) >> 15` and sums saturating to 16 bits,
//! `qvalue = saturate8(mulhrs(mulhrs(256 * x, factor) + summand, back)) + middle`, where `x` is the input minus the middle of its
//! range, `middle` is the middle of the results' range, and `back` is 2^15 divided by the unit of the sum.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::super::CHANNEL_BLOCK;

/// The integers of a plane's four channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fixed {
    pub(super) factor: [i16; CHANNEL_BLOCK],
    pub(super) summand: [i16; CHANNEL_BLOCK],
    pub(super) back: [i16; CHANNEL_BLOCK],
}

/// The sum's fraction has one of these numbers of bits.
const UNITS: RangeInclusive<u32> = 1..=8;

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
        let qvalues: [[i32; 256]; CHANNEL_BLOCK] =
            std::array::from_fn(|lane| std::array::from_fn(|i| qvalue(lane, i as i32 - 128)));
        let channel = |lane: usize, bits| channel(mul[lane], add[lane], &qvalues[lane], bits);
        let lanes = [0, 1, 2, 3];
        // The finest unit first: one for all channels if that can be, else each its own.
        let four = |found: [Option<[i16; 3]>; CHANNEL_BLOCK]| match found {
            [Some(a), Some(b), Some(c), Some(d)] => Some([a, b, c, d]),
            _ => None,
        };
        let together = UNITS.rev().find_map(|bits| four(lanes.map(|lane| channel(lane, bits))));
        let each = || four(lanes.map(|lane| UNITS.rev().find_map(|bits| channel(lane, bits))));
        let found = together.or_else(each)?;
        let [factor, summand, back] = [0, 1, 2].map(|i| found.map(|integers| integers[i]));
        Some(Self { factor, summand, back })
    }

    /// By how many bits sums are shifted, if that is the same for all channels.
    #[cfg(any(target_arch = "aarch64", test))]
    pub(super) fn shift(&self) -> Option<u32> {
        let [back, ..] = self.back;
        let unit = |&bits: &u32| i32::from(back) == 1 << (15 - bits);
        UNITS.into_iter().find(unit).filter(|_| self.back == [back; CHANNEL_BLOCK])
    }
}

/// Factor, summand and back of one channel, in this unit.
fn channel(mul: f64, add: f64, qvalues: &[i32; 256], bits: u32) -> Option<[i16; 3]> {
    let unit = f64::from(1 << bits);
    let (factor, summand) = ((128.0 * unit * mul).round(), (unit * add).round());
    if factor.abs() > 32_700.0 || summand.abs() > 32_768.0 {
        return None;
    }
    let back = 1 << (15 - bits);
    let affines = || -REACH..=REACH;
    let mut near: Vec<(i32, i32)> = affines().flat_map(|f| affines().map(move |s| (f, s))).collect();
    near.sort_by_key(|(f, s)| f.abs().max(s.abs()));
    near.into_iter().find_map(|(f, s)| {
        let (factor, summand) = (factor as i32 + f, saturate(summand as i32 + s));
        let same = |x: i32| evaluate(x, factor, summand, back) == qvalues[(x + 128) as usize];
        (-128..128).all(same).then_some([factor as i16, summand as i16, back as i16])
    })
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
        let found = (0..planes).filter_map(|plane| {
            let number = |lane: usize, prime: usize| ((plane * 4 + lane) * prime % 1009) as f32 / 1009.0;
            let mul = [0, 1, 2, 3].map(|lane| 0.05 + 3.0 * number(lane, 331));
            let add = [0, 1, 2, 3].map(|lane| 300.0 * number(lane, 577) - 150.0);
            let qvalue = |lane: usize, x: i32| {
                let value = (x as f32).mul_add(mul[lane], add[lane]);
                crate::quant::round(value.clamp(0.0, 255.0)) as i32 - 128
            };
            Fixed::find(mul.map(f64::from), add.map(|add| f64::from(add) - 128.0), qvalue)
        });
        let found: Vec<Fixed> = found.collect();
        assert!(found.len() * 100 > planes * 95, "{} of {planes}", found.len());
        let shifts = found.iter().filter(|fixed| fixed.shift().is_some()).count();
        assert!(shifts * 100 > planes * 60, "{shifts} of {planes} by the same number of bits");
    }
}
