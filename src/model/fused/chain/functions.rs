//! Functions in a chain, and products of two chains over the same value, such as SiLU.

use super::Chain;
use crate::model::fused::wide::Wide;
use crate::quant::{Affine, Function, Table};

/// Tolerance for recognizing constants: exporters write 1/6 or the root of 2 with differing numbers of digits.
const NEARLY: f64 = 1e-5;

impl Chain {
    /// Applies a function to each value.
    pub fn function(&mut self, function: Function) {
        match self.affines.last_mut() {
            Some(last) if last.is_open() => last.function = function,
            _ => self.affines.push(Wide { function, ..Wide::identity(self.channels) }),
        }
    }

    /// The product of this chain's results and those of another chain over the same values, as a chain; `None` if it is not a
    /// known function. A product over quantized values always is: it becomes a table.
    pub fn product(&self, other: &Self) -> Option<Self> {
        let gated = |value: &Self, gate: &Self| value.times_gate(gate);
        gated(self, other).or_else(|| gated(other, self)).or_else(|| self.tabulated_product(other))
    }

    /// `x * gate(x)`, where this chain is `x`.
    fn times_gate(&self, gate: &Self) -> Option<Self> {
        let with = |function: Function| {
            let mut chain = self.clone();
            chain.function(function);
            chain
        };
        if *gate == with(Function::Sigmoid) {
            return Some(with(Function::Silu));
        }
        let [found] = gate.behind(self)? else { return self.times_erf(gate) };
        let (alpha, beta) = self.relative(found)?;
        match found.function {
            Function::HardSigmoid { alpha: a, beta: b } if (alpha, beta) == (1.0, 0.0) && !found.is_bounded() => {
                Some(with(Function::HardSwish { alpha: a, beta: b }))
            }
            // `min(max(alpha * x + beta, 0), high)`.
            Function::Identity if found.low == 0.0 && found.high > 0.0 && found.high.is_finite() => {
                let high = found.high;
                let mut chain = with(Function::HardSwish { alpha: (alpha / high) as f32, beta: (beta / high) as f32 });
                chain.affine(&vec![high; self.channels], &vec![0.0; self.channels]);
                Some(chain)
            }
            _ => None,
        }
    }

    /// `x * k * (1 + erf(x / sqrt(2)))`, where this chain is `x`: GELU times `2 k`.
    fn times_erf(&self, gate: &Self) -> Option<Self> {
        let [found, last] = gate.behind(self)? else { return None };
        let (alpha, beta) = self.relative(found)?;
        let (factor, one) = last.uniform().filter(|_| last.is_open())?;
        let erf = found.function == Function::Erf && !found.is_bounded() && !found.round;
        let near = |a: f64, b: f64| (a - b).abs() <= NEARLY * b.abs();
        let root = near(alpha, std::f64::consts::FRAC_1_SQRT_2) && beta.abs() <= NEARLY;
        (erf && root && near(one, factor)).then(|| {
            let mut chain = self.clone();
            chain.function(Function::Gelu);
            chain.affine(&vec![2.0 * factor; self.channels], &vec![0.0; self.channels]);
            chain
        })
    }

    /// The affines of this chain that differ from `x`: those in place of its last affine, or behind all of `x`.
    fn behind(&self, x: &Self) -> Option<&[Wide]> {
        let same = match x.affines.last() {
            Some(last) if last.is_open() => x.len() - 1,
            _ => x.len(),
        };
        (self.len() > same && self.common(x) >= same).then(|| &self.affines[same..])
    }

    /// Factor and summand that lead from this chain's results to `found`, if they are the same for all channels.
    fn relative(&self, found: &Wide) -> Option<(f64, f64)> {
        let identity = Wide::identity(self.channels);
        let last = self.affines.last().filter(|last| last.is_open()).unwrap_or(&identity);
        let channel = last.mul.iter().position(|&mul| mul != 0.0)?;
        let alpha = found.mul.get(channel)? / last.mul[channel];
        let beta = found.add.get(channel)? - alpha * last.add[channel];
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
        let mut channels = last.mul.iter().zip(&last.add).zip(found.mul.iter().zip(&found.add));
        let same = channels.all(|((m, a), (mul, add))| near(m * alpha, *mul) && near(a * alpha + beta, *add));
        (same && alpha.is_finite()).then_some((alpha, beta))
    }

    /// The product as a table over the quantized values that both chains start from.
    fn tabulated_product(&self, other: &Self) -> Option<Self> {
        let shared = self.quantized_within(self.common(other));
        let quantized = self.affines.get(shared.checked_sub(1)?)?;
        let (first, last) = (quantized.low, quantized.high);
        let uniform = |chain: &Self| chain.affines[shared..].iter().all(|wide| wide.uniform().is_some());
        if !(first >= -128.0 && last <= 255.0 && uniform(self) && uniform(other)) {
            return None;
        }
        let result = |affines: &[Affine], x: f32| affines.iter().fold(x, |x, affine| affine.apply(0, x));
        let (left, right) = (self.affines(shared), other.affines(shared));
        let values = (first as i32..=last as i32).map(|x| result(&left, x as f32) * result(&right, x as f32));
        let table = Table { first: first as i32, values: values.collect() };
        let affines = self.affines[..shared].to_vec();
        let mut chain = Self { channels: self.channels, affines, whole: self.whole };
        chain.function(Function::Table(table));
        Some(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(chain: &Chain, x: f32) -> Vec<f32> {
        let affines = chain.affines(0);
        (0..chain.channels()).map(|c| affines.iter().fold(x, |x, affine| affine.apply(c, x))).collect()
    }

    /// A norm over two channels.
    fn normed() -> Chain {
        let mut chain = Chain::new(2);
        chain.affine(&[2.0, -0.5], &[1.0, 0.25]);
        chain
    }

    fn close(chain: &Chain, expected: impl Fn(f32) -> f32) {
        for i in -40..=40 {
            let x = i as f32 / 4.0;
            let normed = [2.0 * x + 1.0, -0.5 * x + 0.25];
            for (found, x) in results(chain, x).into_iter().zip(normed) {
                assert!((found - expected(x)).abs() <= 1e-5 * x.abs().max(1.0), "{x}: {found}, not {}", expected(x));
            }
        }
    }

    #[test]
    fn products_are_recognized() {
        let x = normed();
        let mut sigmoid = x.clone();
        sigmoid.function(Function::Sigmoid);
        close(&x.product(&sigmoid).unwrap(), |x| x / (1.0 + (-x).exp()));
        close(&sigmoid.product(&x).unwrap(), |x| x / (1.0 + (-x).exp()));
        let mut hard = x.clone();
        hard.affine(&[1.0; 2], &[3.0; 2]);
        hard.bound(0.0, 6.0);
        close(&x.product(&hard).unwrap(), |x| x * (x + 3.0).clamp(0.0, 6.0));
        hard.affine(&[1.0 / 6.0; 2], &[0.0; 2]);
        close(&hard.product(&x).unwrap(), |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0);
        let mut erf = x.clone();
        erf.affine(&[std::f64::consts::FRAC_1_SQRT_2; 2], &[0.0; 2]);
        erf.function(Function::Erf);
        erf.affine(&[1.0; 2], &[1.0; 2]);
        let mut gelu = x.product(&erf).unwrap();
        gelu.affine(&[0.5; 2], &[0.0; 2]);
        close(&gelu, |x| Function::Gelu.apply(x));
    }

    #[test]
    fn other_products_are_not() {
        let x = normed();
        let mut other = Chain::new(2);
        other.function(Function::Sigmoid);
        assert_eq!(x.product(&other), None, "a gate of something else");
        let mut bounded = x.clone();
        bounded.bound(0.0, f64::INFINITY);
        assert_eq!(x.product(&bounded), None);
        assert_eq!(x.product(&x), None);
        let mut moved = x.clone();
        moved.affine(&[1.0, 2.0], &[3.0, 3.0]);
        moved.bound(0.0, 6.0);
        assert_eq!(x.product(&moved), None, "a gate with another factor in each channel");
    }

    /// Against the operators in f32, one after another.
    #[test]
    fn products_of_quantized_values_are_tables() {
        let mut x = Chain::new(2);
        x.quantize(&[0.05; 2], &[128.0; 2], 0.0, 255.0);
        x.dequantize(&[0.05; 2], &[128.0; 2]);
        let mut gate = x.clone();
        gate.function(Function::Sigmoid);
        gate.quantize(&[0.004; 2], &[0.0; 2], 0.0, 255.0);
        gate.dequantize(&[0.004; 2], &[0.0; 2]);
        let product = x.product(&gate).unwrap();
        for i in -200..=200 {
            let value = i as f32 / 20.0;
            let x = ((value / 0.05).round_ties_even() + 128.0).clamp(0.0, 255.0);
            let x = (x - 128.0) * 0.05;
            let gate = (Function::Sigmoid.apply(x) / 0.004).round_ties_even().clamp(0.0, 255.0) * 0.004;
            let found = results(&product, value)[0];
            assert!((found - x * gate).abs() <= 1e-6, "{value}: {found}, not {}", x * gate);
        }
    }
}
