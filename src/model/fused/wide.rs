//! An affine of a chain before its numbers are rounded to f32.

use super::rescale::Rescale;
use crate::quant::Affine;

/// Factors that are no whole number of these parts make few ties, and neither do those with more digits than these.
const PARTS: f64 = 4096.0;
const DIGITS: u32 = 12;

/// Greatest whole number up to which f32 holds all of them.
const EXACT: f64 = (1 << 24) as f64;

/// `bound(round(value * mul + add))`, in f64.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wide {
    pub(super) mul: Vec<f64>,
    pub(super) add: Vec<f64>,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) round: bool,
    /// Where it rounds, what is added to each channel only after that; it is part of `add`. Empty where all of that comes before.
    pub(super) zero_points: Vec<f64>,
    /// Where it does nothing but take one quantization to another.
    pub(super) rescale: Option<Rescale>,
}

impl Wide {
    pub(super) fn identity(channels: usize) -> Self {
        Self {
            mul: vec![1.0; channels],
            add: vec![0.0; channels],
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            round: false,
            zero_points: Vec::new(),
            rescale: None,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.low > f64::NEG_INFINITY || self.high < f64::INFINITY
    }

    /// Factor and summand, where they are the same for all channels.
    pub(super) fn uniform(&self) -> Option<(f64, f64)> {
        let (mul, add) = (*self.mul.first()?, *self.add.first()?);
        (self.mul.iter().all(|&m| m == mul) && self.add.iter().all(|&a| a == add)).then_some((mul, add))
    }

    /// For each channel the whole number that becomes 0; none where one is not whole, or all are 0.
    pub(super) fn zeros(&self) -> Option<Vec<f64>> {
        let zero = |(mul, add): (&f64, &f64)| {
            let zero = if *add == 0.0 { 0.0 } else { -add / mul };
            (zero.abs() <= EXACT && (zero - zero.round()).abs() <= 1e-9).then(|| zero.round())
        };
        let found: Vec<f64> = self.mul.iter().zip(&self.add).map(zero).collect::<Option<_>>()?;
        found.iter().any(|&zero| zero != 0.0).then_some(found)
    }

    /// Whether values half-way between two are met often, and fall to another side once the zero point is added: factors of a few
    /// bits, and a zero point that is odd.
    pub(super) fn ties_matter(&self) -> bool {
        let parts = |number: f64| (f64::from(number as f32) * PARTS).fract() == 0.0;
        let mut channels = self.mul.iter().zip(&self.add).zip(&self.zero_points);
        let odd = |zero_point: f64| zero_point.rem_euclid(2.0) == 1.0;
        let short = |number: f64| (number as f32).to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - DIGITS;
        channels
            .any(|((&mul, &add), &zero_point)| odd(zero_point) && short(mul) && parts(mul) && parts(add - zero_point))
    }

    /// In two affines: rounded, and the zero point added.
    pub(super) fn rounded_first(&self) -> [Affine; 2] {
        let least = self.zero_points.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.zero_points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = Self {
            add: self.add.iter().zip(&self.zero_points).map(|(add, zero_point)| add - zero_point).collect(),
            low: self.low - greatest,
            high: self.high - least,
            ..self.clone()
        };
        let last = Self { mul: vec![1.0; self.mul.len()], add: self.zero_points.clone(), ..self.clone() };
        [first.narrow(), last.narrow()]
    }

    /// With its numbers rounded to f32.
    pub(super) fn narrow(&self) -> Affine {
        let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        Affine {
            mul: narrow(&self.mul),
            add: narrow(&self.add),
            low: self.low as f32,
            high: self.high as f32,
            round: self.round,
        }
    }

    pub(super) fn bound(&mut self, low: f64, high: f64) {
        // What was a bound before goes through the new bounds.
        (self.low, self.high) = (self.low.clamp(low, high), self.high.clamp(low, high));
    }
}
