//! From accumulators to values.

use serde::{Deserialize, Serialize};

use super::super::bounds::refusal;
use super::{Bounds, CHANNEL_BLOCK};
use crate::error::{Error, Result};
use crate::quant::{Affine, Function};

/// An [`Affine`] from accumulators to values, in the form that kernels take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BiasClampFields")]
pub struct BiasClamp {
    pub(in super::super) mul: Vec<f32>,
    pub(in super::super) add: Vec<f32>,
    pub(in super::super) bounds: Bounds,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct BiasClampFields {
    mul: Vec<f32>,
    add: Vec<f32>,
    bounds: Bounds,
}

impl TryFrom<BiasClampFields> for BiasClamp {
    type Error = Error;

    fn try_from(BiasClampFields { mul, add, bounds }: BiasClampFields) -> Result<Self> {
        Self::new(&Affine { mul, add, low: bounds.low, high: bounds.high, function: Function::Identity, round: false })
    }
}

impl BiasClamp {
    /// The affine. Channels are those of the convolution, padded to a multiple of 4.
    ///
    /// # Errors
    /// If the affine rounds or has a function, if its bounds are empty, or if its channels are not whole planes.
    pub fn new(affine: &Affine) -> Result<Self> {
        let Affine { mul, add, function, round, .. } = affine.clone();
        if round || !function.is_identity() {
            return Err(refusal("a convolution whose results are rounded, or go through a function".into()));
        }
        if mul.len() != add.len() || mul.len() % CHANNEL_BLOCK != 0 {
            return Err(refusal(format!("{} factors and {} summands of output channels", mul.len(), add.len())));
        }
        Ok(Self { mul, add, bounds: Bounds::of(affine)? })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mul.len()
    }

    /// The result for an accumulator.
    pub(in super::super) fn apply(&self, channel: usize, acc: f32) -> f32 {
        self.bounds.apply(acc.mul_add(self.mul[channel], self.add[channel]))
    }
}
