//! From accumulators to quantized values.

use serde::{Deserialize, Serialize};

use super::super::{CHANNEL_BLOCK, QuantType};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{Affine, Function};

/// An [`Affine`] from accumulators to quantized values, in the form that kernels take: always with as many factors as summands,
/// which kernels read through pointers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RequantizeFields")]
pub struct Requantize {
    pub(super) mul: Vec<f32>,
    pub(super) add: Vec<f32>,
    pub(super) low: f32,
    pub(super) high: f32,
    /// Whether kernels must clamp values before converting them to integers. They need not if the bounds are those of
    /// saturating conversions, and no value exceeds i32.
    pub(super) clamp: bool,
    qvalues: QuantType,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct RequantizeFields {
    mul: Vec<f32>,
    add: Vec<f32>,
    low: f32,
    high: f32,
    clamp: bool,
    qvalues: QuantType,
}

impl TryFrom<RequantizeFields> for Requantize {
    type Error = Error;

    fn try_from(stored: RequantizeFields) -> Result<Self> {
        let RequantizeFields { mul, add, low, high, clamp, qvalues } = stored;
        let made = Self::new(&Affine { mul, add, low, high, function: Function::Identity, round: true }, qvalues)?;
        if made.clamp == clamp { Ok(made) } else { Err(refusal("bounds that contradict themselves".into())) }
    }
}

impl Requantize {
    /// The affine, whose results are stored as `qvalues`. Channels are those of the convolution, padded to a multiple of 4.
    ///
    /// # Errors
    /// If results do not fit the quantized values, if factors or summands are not finite, or if bounds are not whole numbers.
    pub fn new(affine: &Affine, qvalues: QuantType) -> Result<Self> {
        let Affine { mul, add, low, high, function, round } = affine.clone();
        if !function.is_identity() {
            return Err(refusal("a function of a convolution's accumulators".into()));
        }
        bounds_fit(low, high, round, qvalues)?;
        if mul.len() != add.len() || mul.len() % CHANNEL_BLOCK != 0 {
            return Err(refusal(format!("{} factors and {} summands of output channels", mul.len(), add.len())));
        }
        if !mul.iter().chain(&add).all(|x| x.is_finite()) {
            return Err(refusal("a scale that is not finite".into()));
        }
        // |acc| is at most 2^31, so |fma(acc, mul, add)| does not exceed this.
        let small = mul.iter().all(|m| m.abs() <= 0.5) && add.iter().all(|a| a.abs() <= (1 << 29) as f32);
        let clamp = !small || (low, high) != qvalues.range();
        Ok(Self { mul, add, low, high, clamp, qvalues })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mul.len()
    }

    /// How results are stored.
    pub fn qvalues(&self) -> QuantType {
        self.qvalues
    }

    /// The quantized value of an accumulator.
    pub(super) fn apply(&self, channel: usize, acc: i32) -> i32 {
        let value = (acc as f32).mul_add(self.mul[channel], self.add[channel]);
        let value = if value > self.low { value.min(self.high) } else { self.low };
        crate::quant::round(value) as i32
    }
}

/// Refuses an affine whose results, from `low` to `high` and rounded if `round`, do not fit `qvalues`.
pub(in super::super) fn bounds_fit(low: f32, high: f32, rounds: bool, qvalues: QuantType) -> Result<()> {
    let (least, greatest) = qvalues.range();
    let whole = rounds && low.fract() == 0.0 && high.fract() == 0.0;
    if whole && least <= low && low <= high && high <= greatest {
        return Ok(());
    }
    Err(refusal(format!("results from {low} to {high} that are to be {qvalues:?} quantized values")))
}

/// The error for parameters that kernels do not support.
pub(in super::super) fn refusal(operand: String) -> Error {
    Error::new(ErrorKind::Model, format!("cannot run in int8: {operand}"))
}
