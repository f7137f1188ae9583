//! Affine functions, bounds and roundings in a row, put together as far as that changes nothing.

use crate::quant::{Affine, Encoding};

/// How far a number may be from a whole one that it is meant to be: scales are f32 in the file.
const NEARLY: f64 = 1e-3;

/// Greatest whole number up to which f32 holds all of them.
const EXACT: f64 = (1 << 24) as f64;

/// What happens to the values of some channels, in the order it is pushed. Numbers are f64, so that putting functions
/// together loses nothing; [`Chain::affines`] rounds them once.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    channels: usize,
    affines: Vec<Wide>,
    /// Whether what comes in is known to be whole numbers: quantized values, or sums of them.
    whole: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Wide {
    mul: Vec<f64>,
    add: Vec<f64>,
    low: f64,
    high: f64,
    round: bool,
}

impl Wide {
    fn identity(channels: usize) -> Self {
        Self {
            mul: vec![1.0; channels],
            add: vec![0.0; channels],
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            round: false,
        }
    }

    fn is_bounded(&self) -> bool {
        self.low > f64::NEG_INFINITY || self.high < f64::INFINITY
    }

    /// Factor and summand, where they are the same for all channels.
    fn uniform(&self) -> Option<(f64, f64)> {
        let (mul, add) = (*self.mul.first()?, *self.add.first()?);
        (self.mul.iter().all(|&m| m == mul) && self.add.iter().all(|&a| a == add)).then_some((mul, add))
    }

    /// For each channel the whole number that becomes 0; none where one is not whole, or all are 0.
    fn zero_points(&self) -> Option<Vec<f64>> {
        let zero_point = |(mul, add): (&f64, &f64)| {
            let zero_point = if *add == 0.0 { 0.0 } else { -add / mul };
            let whole = zero_point.abs() <= EXACT && (zero_point - zero_point.round()).abs() <= 1e-9;
            whole.then(|| zero_point.round())
        };
        let found: Vec<f64> = self.mul.iter().zip(&self.add).map(zero_point).collect::<Option<_>>()?;
        found.iter().any(|&zero_point| zero_point != 0.0).then_some(found)
    }

    /// With its numbers rounded to f32.
    fn narrow(&self) -> Affine {
        let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        Affine {
            mul: narrow(&self.mul),
            add: narrow(&self.add),
            low: self.low as f32,
            high: self.high as f32,
            round: self.round,
        }
    }

    fn bound(&mut self, low: f64, high: f64) {
        // What was a bound before goes through the new bounds.
        (self.low, self.high) = (self.low.clamp(low, high), self.high.clamp(low, high));
    }
}

impl Chain {
    /// Nothing done to the values of `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self { channels, affines: Vec::new(), whole: false }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// `value * mul + add`, each with one number for each channel.
    ///
    /// # Panics
    /// If there are not as many numbers as channels.
    pub fn affine(&mut self, mul: &[f64], add: &[f64]) {
        assert_eq!((mul.len(), add.len()), (self.channels, self.channels), "one number a channel");
        let next = Wide { mul: mul.into(), add: add.into(), ..Wide::identity(0) };
        let uniform = next.uniform().filter(|(mul, _)| *mul > 0.0);
        match self.affines.last_mut() {
            Some(last) if !last.round && (!last.is_bounded() || uniform.is_some()) => {
                for (channel, (m, a)) in mul.iter().zip(add).enumerate() {
                    last.mul[channel] *= m;
                    last.add[channel] = last.add[channel] * m + a;
                }
                if let Some((mul, add)) = uniform {
                    (last.low, last.high) = (last.low * mul + add, last.high * mul + add);
                }
            }
            _ => self.affines.push(next),
        }
    }

    /// Bounds on every value; ReLU is `bound(0.0, f64::INFINITY)`.
    pub fn bound(&mut self, low: f64, high: f64) {
        let whole = |bound: f64| bound.is_infinite() || bound.fract() == 0.0;
        match self.affines.last_mut() {
            Some(last) if !last.round || (whole(low) && whole(high)) => last.bound(low, high),
            _ => self.affines.push(Wide { low, high, ..Wide::identity(self.channels) }),
        }
    }

    /// ONNX `QuantizeLinear`: quantized values from `low` to `high`; `scale` has one number for each channel.
    pub fn quantize(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        let inverse: Vec<f64> = scale.iter().map(|scale| 1.0 / scale).collect();
        self.affine(&inverse, zero_point);
        let last = self.affines.last_mut().expect("an affine function was pushed");
        last.bound(low, high);
        last.round = true;
        self.merge_shift();
    }

    /// ONNX `DequantizeLinear`.
    pub fn dequantize(&mut self, scale: &[f64], zero_point: &[f64]) {
        let add: Vec<f64> = scale.iter().zip(zero_point).map(|(scale, zero)| -scale * zero).collect();
        self.decode(scale, &add);
    }

    /// [`affine`](Self::affine) of whole numbers: of quantized values, or of sums of them.
    ///
    /// # Panics
    /// As `affine`.
    pub fn decode(&mut self, mul: &[f64], add: &[f64]) {
        self.whole |= self.affines.is_empty();
        self.affine(mul, add);
    }

    /// A rounding affine that only moves the quantized values of the one before is that one, moved.
    fn merge_shift(&mut self) {
        let [.., before, last] = self.affines.as_slice() else { return };
        let Some((mul, add)) = last.uniform() else { return };
        if !before.round || !last.round || (mul - 1.0).abs() > 1e-6 || (add - add.round()).abs() > NEARLY {
            return;
        }
        let last = self.affines.pop().expect("there are two");
        self.shift(add.round());
        self.affines.last_mut().expect("there is one").bound(last.low, last.high);
    }

    /// Moves the quantized values of the last affine.
    fn shift(&mut self, by: f64) {
        if let Some(last) = self.affines.last_mut() {
            last.add.iter_mut().for_each(|add| *add += by);
            (last.low, last.high) = (last.low + by, last.high + by);
        }
    }

    /// If the values are decoded quantized values of one encoding: the chain up to the quantized values, and the encoding.
    pub fn qvalues(&self) -> Option<(Self, Encoding)> {
        let [.., before, last] = self.affines.as_slice() else { return None };
        let (scale, add) = last.uniform()?;
        let zero_point = -add / scale;
        if !before.round || last.round || scale <= 0.0 || (zero_point - zero_point.round()).abs() > NEARLY {
            return None;
        }
        let zero_point = zero_point.round();
        // A bound on the decoded value (ReLU behind the decoder) is one on the quantized value.
        let bound = |real: f64| if real.is_infinite() { real } else { real / scale + zero_point };
        let (low, high) = (bound(last.low), bound(last.high));
        let whole = |qvalue: f64| qvalue.is_infinite() || (qvalue - qvalue.round()).abs() < NEARLY;
        if !whole(low) || !whole(high) {
            return None;
        }
        let affines = self.affines[..self.affines.len() - 1].to_vec();
        let mut qvalues = Self { channels: self.channels, affines, whole: self.whole };
        let affine = qvalues.affines.last_mut().expect("there is one");
        affine.bound(low.round(), high.round());
        let (low, high) = (affine.low.ceil() as i32, affine.high.floor() as i32);
        Some((qvalues, Encoding { scale: scale as f32, zero_point: zero_point as i32, low, high }))
    }

    /// The same quantized values, each moved by `by`.
    ///
    /// # Panics
    /// If the chain does not end in quantized values.
    #[must_use]
    pub fn shifted(mut self, by: i32) -> Self {
        assert!(self.affines.last().is_some_and(|last| last.round), "only quantized values can be moved");
        self.shift(f64::from(by));
        self
    }

    /// How many affines at the beginning are the same as those of `other`.
    pub fn common(&self, other: &Self) -> usize {
        self.affines.iter().zip(&other.affines).take_while(|(a, b)| a == b).count()
    }

    /// How many of the first `affines` affines there are up to the last that gives quantized values.
    pub fn codes_within(&self, affines: usize) -> usize {
        self.affines[..affines].iter().rposition(|affine| affine.round).map_or(0, |last| last + 1)
    }

    /// The affines from number `from` on.
    ///
    /// Quantized values that are not rounded again become `(value - zero_point) * scale` in two affines, as ONNX has it:
    /// the zero point is exactly 0 then, which one affine, `value * scale - zero_point * scale`, misses by what the product is rounded by.
    pub fn affines(&self, from: usize) -> Vec<Affine> {
        let leaving = self.codes_within(self.len());
        let is_whole = self.whole || leaving > 0;
        let mut affines = Vec::new();
        for (number, wide) in self.affines.iter().enumerate().skip(from) {
            match wide.zero_points().filter(|_| number == leaving && is_whole && !wide.round) {
                Some(zero_points) => {
                    let add = zero_points.into_iter().map(|zero_point| -zero_point).collect();
                    affines.push(Wide { add, ..Wide::identity(self.channels) }.narrow());
                    affines.push(Wide { add: vec![0.0; self.channels], ..wide.clone() }.narrow());
                }
                None => affines.push(wide.narrow()),
            }
        }
        affines
    }

    /// The first `count` affines, which are up to one that gives quantized values.
    pub fn first_affines(&self, count: usize) -> Vec<Affine> {
        self.affines[..count].iter().map(Wide::narrow).collect()
    }

    /// Number of affines.
    pub fn len(&self) -> usize {
        self.affines.len()
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.affines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Push {
        Affine(f64, f64),
        Relu,
        Quantize(f64, f64),
        Dequantize(f64, f64),
    }

    fn push() -> impl Strategy<Value = Push> {
        prop_oneof![
            (-2.0f64..2.0, -3.0f64..3.0).prop_map(|(m, a)| Push::Affine(m, a)),
            Just(Push::Relu),
            (0.01f64..0.5, 0i32..256).prop_map(|(s, z)| Push::Quantize(s, f64::from(z))),
            (0.01f64..0.5, 0i32..256).prop_map(|(s, z)| Push::Dequantize(s, f64::from(z))),
        ]
    }

    proptest! {
        /// Put together or one by one: the same, up to a quantized value where rounding is within reach of a tie.
        #[test]
        fn putting_together_changes_nothing(pushes in prop::collection::vec(push(), 1..6), value in -5.0f64..5.0) {
            let mut chain = Chain::new(1);
            let mut expected = value;
            let mut close_to_tie = false;
            for push in pushes {
                match push {
                    Push::Affine(m, a) => { chain.affine(&[m], &[a]); expected = expected * m + a; }
                    Push::Relu => { chain.bound(0.0, f64::INFINITY); expected = expected.max(0.0); }
                    Push::Quantize(s, z) => {
                        chain.quantize(&[s], &[z], 0.0, 255.0);
                        let exact = expected / s + z;
                        close_to_tie |= ((exact - exact.floor()) - 0.5).abs() < 1e-3;
                        expected = exact.round_ties_even().clamp(0.0, 255.0);
                    }
                    Push::Dequantize(s, z) => { chain.dequantize(&[s], &[z]); expected = (expected - z) * s; }
                }
            }
            prop_assume!(!close_to_tie);
            let found = chain.affines(0).iter().fold(value as f32, |value, affine| affine.apply(0, value));
            let scale = expected.abs().max(1.0);
            prop_assert!((f64::from(found) - expected).abs() < 1e-2 * scale, "{found} for {expected}: {chain:?}");
        }
    }

    #[test]
    fn a_layer_is_one_step() {
        // Accumulator, scale and bias, ReLU, quantizer.
        let mut chain = Chain::new(2);
        chain.affine(&[0.25, 0.5], &[1.0, -1.0]);
        chain.bound(0.0, f64::INFINITY);
        chain.quantize(&[0.1; 2], &[0.0; 2], 0.0, 255.0);
        chain.dequantize(&[0.1; 2], &[0.0; 2]);
        let (qvalues, encoding) = chain.qvalues().unwrap();
        assert_eq!((qvalues.len(), encoding), (1, Encoding { scale: 0.1, zero_point: 0, low: 0, high: 255 }));
        assert_eq!(qvalues.affines(0)[0].apply(1, 10.0), 40.0);
    }

    #[test]
    fn a_relu_between_quantizers_of_one_scale_is_a_bound() {
        let mut chain = Chain::new(1);
        chain.quantize(&[0.1], &[0.0], -128.0, 127.0);
        chain.dequantize(&[0.1], &[0.0]);
        chain.bound(0.0, f64::INFINITY);
        chain.quantize(&[0.1], &[0.0], -128.0, 127.0);
        let affine = &chain.affines(0)[..];
        assert_eq!((affine.len(), affine[0].low, affine[0].high), (1, 0.0, 127.0));
    }

    #[test]
    fn another_grid_stays_a_step_of_its_own() {
        let mut chain = Chain::new(1);
        chain.quantize(&[0.1], &[0.0], 0.0, 255.0);
        chain.dequantize(&[0.1], &[0.0]);
        chain.quantize(&[0.3], &[9.0], 0.0, 255.0);
        assert_eq!(chain.len(), 2);
        assert!(chain.qvalues().is_none(), "quantized values, not decoded ones");
    }

    /// Quantized values that leave as f32 are what ONNX says to the bit, and 0 is 0.
    #[test]
    fn what_is_only_decoded_is_exact() {
        let (scale, zero_point) = ([0.231, 0.007], [142.0, 3.0]);
        let scale = scale.map(|scale: f64| f64::from(scale as f32));
        let decoders: [fn(&mut Chain); 4] = [
            |_| {},
            |chain| chain.bound(0.0, f64::INFINITY),
            |chain| chain.affine(&[-0.5; 2], &[0.0; 2]),
            |chain| chain.quantize(&[1.0; 2], &[0.0; 2], 0.0, 255.0),
        ];
        for (number, decoder) in decoders.into_iter().enumerate() {
            // Whether they were rounded here or came in so.
            for quantized in [true, false] {
                let mut chain = Chain::new(2);
                if quantized {
                    chain.quantize(&[1.0; 2], &[0.0; 2], 0.0, 255.0);
                }
                let written = chain.len();
                chain.dequantize(&scale, &zero_point);
                decoder(&mut chain);
                let affines = chain.affines(written);
                // What is rounded again stays one affine.
                assert_eq!(affines.len(), if number == 3 { 1 } else { 2 });
                for (channel, value) in (0..2).flat_map(|channel| (0..=255).map(move |value| (channel, value as f32))) {
                    let exact = (value - zero_point[channel] as f32) * scale[channel] as f32;
                    let expected = [exact, exact.max(0.0), -0.5 * exact][number.min(2)];
                    let found = affines.iter().fold(value, |value, affine| affine.apply(channel, value));
                    assert!(number == 3 || found == expected, "{found}, not {expected}");
                }
            }
        }
    }

    /// Of f32 values, a norm stays one affine whatever it takes off.
    #[test]
    fn only_whole_numbers_have_zero_points() {
        let mut chain = Chain::new(1);
        chain.affine(&[0.3], &[-0.3 * 7.0]);
        assert_eq!(chain.affines(0).len(), 1);
    }
}
