//! Functions that networks apply in place of the paper's ReLU, in f32 operations that every processor rounds alike.
//!
//! The C library is not used: the last bits of its `exp` differ between systems. Fused multiply-adds, divisions and comparisons
//! give the same bits in the interpreter and in vectors of any length.

use serde::{Deserialize, Serialize};

use super::round;

/// A function of one value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Function {
    /// The value itself.
    #[default]
    Identity,
    /// `1 / (1 + exp(-x))` (ONNX `Sigmoid`).
    Sigmoid,
    /// `x * sigmoid(x)`: SiLU, Swish.
    Silu,
    /// `min(max(alpha * x + beta, 0), 1)` (ONNX `HardSigmoid`).
    HardSigmoid {
        /// Factor.
        alpha: f32,
        /// Summand.
        beta: f32,
    },
    /// `x * min(max(alpha * x + beta, 0), 1)`; ONNX `HardSwish` with 1/6 and 1/2.
    HardSwish {
        /// Factor.
        alpha: f32,
        /// Summand.
        beta: f32,
    },
    /// `x` where it is at least 0, else `alpha * x` (ONNX `LeakyRelu`).
    LeakyRelu(f32),
    /// `x` where it is at least 0, else `alpha * (exp(x) - 1)` (ONNX `Elu`).
    Elu(f32),
    /// Hyperbolic tangent (ONNX `Tanh`).
    Tanh,
    /// The error function (ONNX `Erf`).
    Erf,
    /// `x * (1 + erf(x / sqrt(2))) / 2` (ONNX `Gelu`).
    Gelu,
    /// Rounded to f16 (ONNX `Cast` to FLOAT16 and back).
    F16,
    /// A table over whole numbers.
    Table(Table),
}

/// A function's results for a range of whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The first whole number.
    pub first: i32,
    /// The result for each; whole numbers beyond the range are clamped to it.
    pub values: Vec<f32>,
}

impl Function {
    /// Whether it is the identity.
    pub fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    /// The result for one value.
    pub fn apply(&self, x: f32) -> f32 {
        let mut values = [x];
        self.apply_all(&mut values);
        values[0]
    }

    /// Replaces values by their results.
    #[inline(always)]
    pub fn apply_all(&self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => each(values, sigmoid),
            Self::Silu => each(values, |x| x * sigmoid(x)),
            Self::HardSigmoid { alpha, beta } => each(values, |x| hard_sigmoid(x, *alpha, *beta)),
            Self::HardSwish { alpha, beta } => each(values, |x| x * hard_sigmoid(x, *alpha, *beta)),
            Self::LeakyRelu(alpha) => each(values, |x| if x >= 0.0 { x } else { alpha * x }),
            Self::Elu(alpha) => each(values, |x| if x >= 0.0 { x } else { alpha * (exp(x) - 1.0) }),
            Self::Tanh => each(values, |x| sigmoid(2.0 * x).mul_add(2.0, -1.0)),
            Self::Erf => each(values, erf),
            Self::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))),
            Self::F16 => each(values, |x| half::f16::from_f32(x).to_f32()),
            Self::Table(table) => each(values, |x| table.at(x)),
        }
    }
}

impl Table {
    /// The result for a whole number.
    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        let last = self.values.len().saturating_sub(1) as i32;
        let place = (x as i32).saturating_sub(self.first).clamp(0, last);
        self.values.get(place as usize).copied().unwrap_or(0.0)
    }
}

#[inline(always)]
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = function(*value));
}

#[inline(always)]
fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    let x = x.mul_add(alpha, beta);
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 1.0 { x } else { 1.0 }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `exp(x)` within about 2 units in the last place: `2^n` times a polynomial of the remainder.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Beyond these, results leave the range of normal numbers. NaN stays NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let n = round(x * std::f32::consts::LOG2_E);
    // ln 2 in two parts; the product of the first and n is exact.
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    // The Taylor series up to the seventh power, for |r| <= ln(2) / 2.
    let coefficients = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let polynomial = coefficients.into_iter().fold(1.0 / 5040.0, |sum: f32, c| sum.mul_add(r, c));
    // 2^n, of which the bits of n are those of a number so large that its last bit is 1: a conversion that saturates takes longer.
    polynomial * f32::from_bits((n + 12_582_912.0).to_bits().wrapping_add(127) << 23)
}

/// The error function within 3e-7: `x` times a polynomial of `x^2 / 8 - 1`, fitted to the least greatest error where `|x| < 4`; beyond it is 1.
#[inline(always)]
fn erf(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 15] = [
        0.002_907_487_3,
        -0.001_835_969_2,
        0.002_014_270_5,
        -0.009_012_5,
        0.016_783_4,
        -0.022_430_798,
        0.031_936_87,
        -0.045_721_974,
        0.060_164_075,
        -0.074_744_15,
        0.090_175_82,
        -0.107_708_57,
        0.131_676_61,
        -0.176_576_29,
        0.353_530_97,
    ];
    let centred = (x * x).mul_add(0.125, -1.0);
    let polynomial = COEFFICIENTS.into_iter().fold(-0.001_159_281_4, |sum: f32, c| sum.mul_add(centred, c));
    let near = polynomial * x;
    // Rounded up it may be more than 1; NaN stays NaN.
    if near.abs() > 1.0 || x.abs() >= 4.0 { 1.0_f32.copysign(x) } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against f64, over the relevant range of each.
    #[test]
    fn functions_are_as_exact_as_f32() {
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let erf = |x: f64| {
            // The series, which converges everywhere; beyond 5 it is 1.
            let term = |(sum, term): (f64, f64), n: i32| {
                let next = -term * x * x / f64::from(n);
                (sum + next / f64::from(2 * n + 1), next)
            };
            if x.abs() > 5.0 { x.signum() } else { (1..150).fold((x, x), term).0 * std::f64::consts::FRAC_2_SQRT_PI }
        };
        type Exact<'a> = &'a dyn Fn(f64) -> f64;
        let cases: [(Function, Exact<'_>, f64); 8] = [
            (Function::Sigmoid, &|x| 1.0 / (1.0 + (-x).exp()), 2e-7),
            (Function::Silu, &silu, 2e-6),
            (Function::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 }, &|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), 2e-6),
            (Function::LeakyRelu(0.01), &|x| if x >= 0.0 { x } else { 0.01 * x }, 1e-6),
            (Function::Elu(1.5), &|x| if x >= 0.0 { x } else { 1.5 * (x.exp() - 1.0) }, 4e-7),
            (Function::Tanh, &f64::tanh, 4e-7),
            (Function::Erf, &erf, 3e-7),
            (Function::Gelu, &|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())), 1e-6),
        ];
        for (function, exact, most) in cases {
            for i in -12_000..=12_000 {
                let x = i as f32 / 1000.0;
                let (found, expected) = (f64::from(function.apply(x)), exact(f64::from(x)));
                assert!((found - expected).abs() <= most, "{function:?} of {x}: {found}, not {expected}");
            }
            for x in [-1e30, -100.0, 100.0, 1e30] {
                assert!(function.apply(x).is_finite(), "{function:?} of {x}");
            }
        }
    }

    #[test]
    fn far_from_0_the_error_function_is_1() {
        for x in [3.99, 4.0, 5.5, 1e19, 1e30, f32::INFINITY] {
            let [above, below] = [x, -x].map(|x| Function::Erf.apply(x));
            assert!((1.0 - above).abs() <= 1.2e-7 && above <= 1.0 && below == -above, "{x}: {above}, {below}");
        }
        assert_eq!((Function::Gelu.apply(-1e30), Function::Gelu.apply(1e30)), (0.0, 1e30));
        assert!(Function::Erf.apply(f32::NAN).is_nan());
    }

    #[test]
    fn powers_of_two_are_exact() {
        for n in -125..=126 {
            let x = (f64::from(n) * std::f64::consts::LN_2) as f32;
            let power = 2.0_f64.powi(n);
            assert!((f64::from(exp(x)) / power - 1.0).abs() < 1e-5, "2^{n}");
        }
        assert!(exp(f32::NAN).is_nan() && exp(-1e9) > 0.0 && exp(1e9).is_finite());
    }

    #[test]
    fn f16_has_eleven_bits() {
        let f16 = |x: f32| Function::F16.apply(x);
        assert_eq!([f16(1.0), f16(2049.0), f16(2051.0), f16(-1e-9)], [1.0, 2048.0, 2052.0, 0.0]);
        assert_eq!(f16(1e6), f32::INFINITY);
    }

    #[test]
    fn tables_end_at_their_ends() {
        let table = Function::Table(Table { first: -2, values: vec![5.0, 6.0, 7.0] });
        let found: Vec<f32> = [-9.0, -2.0, -1.0, 0.0, 1.0].iter().map(|&x| table.apply(x)).collect();
        assert_eq!(found, [5.0, 5.0, 6.0, 7.0, 7.0]);
    }
}
