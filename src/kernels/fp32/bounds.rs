//! Bounds that give the same bits on all processors.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::quant::Affine;

/// The least and the greatest result of an affine.
///
/// The sign of a zero bound is chosen so that results are the same everywhere: instructions disagree about which of two zeros
/// is greater, but with a positive zero as lower and a negative one as upper bound all of them return the bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Bounds {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Bounds {
    /// The bounds of an affine.
    ///
    /// # Errors
    /// If they are empty.
    pub(super) fn of(affine: &Affine) -> Result<Self> {
        let Affine { low, high, .. } = *affine;
        if low <= high {
            let signed = |bound: f32, zero: f32| if bound == 0.0 { zero } else { bound };
            return Ok(Self { low: signed(low, 0.0), high: signed(high, -0.0) });
        }
        Err(refusal(format!("results bounded to {low} to {high}")))
    }

    /// The clamped value; the lower bound for NaN.
    pub(super) fn apply(self, value: f32) -> f32 {
        let value = if value > self.low { value } else { self.low };
        if value < self.high { value } else { self.high }
    }
}

/// The error for parameters that kernels do not support.
pub(super) fn refusal(operand: String) -> Error {
    Error::new(ErrorKind::Model, format!("cannot run in f32: {operand}"))
}
