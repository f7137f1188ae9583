//! Bounds that all processors apply alike.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::quant::Affine;

/// The least and the greatest result of an affine.
///
/// A bound of zero has the sign that makes maximum and minimum the same everywhere: instructions disagree about which of two
/// zeros is greater, but with a positive zero below and a negative one above all of them give the bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Bounds {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Bounds {
    /// The bounds of an affine.
    ///
    /// # Errors
    /// If there is nothing between them.
    pub(super) fn of(affine: &Affine) -> Result<Self> {
        let Affine { low, high, .. } = *affine;
        if low <= high {
            let signed = |bound: f32, zero: f32| if bound == 0.0 { zero } else { bound };
            return Ok(Self { low: signed(low, 0.0), high: signed(high, -0.0) });
        }
        Err(refusal(format!("results bounded to {low} to {high}")))
    }

    /// The value or the bound it is beyond; the lower one for NaN.
    pub(super) fn apply(self, value: f32) -> f32 {
        let value = if value > self.low { value } else { self.low };
        if value < self.high { value } else { self.high }
    }
}

/// Numbers that kernels cannot work with.
pub(super) fn refusal(operand: String) -> Error {
    Error::new(ErrorKind::Model, format!("cannot run in f32: {operand}"))
}
