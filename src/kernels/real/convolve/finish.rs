//! From accumulators to values.

use serde::{Deserialize, Serialize};

use super::super::bounds::refusal;
use super::{Bounds, GROUP};
use crate::error::{Error, Result};
use crate::quant::Step;

/// A [`Step`] from accumulators to values, made ready for kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Finish {
    pub(super) mul: Vec<f32>,
    pub(super) add: Vec<f32>,
    pub(super) bounds: Bounds,
}

/// What is stored of it, in this order.
#[derive(Deserialize)]
struct Stored {
    mul: Vec<f32>,
    add: Vec<f32>,
    bounds: Bounds,
}

impl TryFrom<Stored> for Finish {
    type Error = Error;

    fn try_from(Stored { mul, add, bounds }: Stored) -> Result<Self> {
        Self::new(&Step { mul, add, low: bounds.low, high: bounds.high, round: false })
    }
}

impl Finish {
    /// The step. Channels are those of the convolution, filled up to a multiple of 4.
    ///
    /// # Errors
    /// If the step rounds, if there is nothing between its bounds, or if it has no whole planes of channels.
    pub fn new(step: &Step) -> Result<Self> {
        let Step { mul, add, round, .. } = step.clone();
        if round {
            return Err(refusal("a convolution whose results are rounded".into()));
        }
        if mul.len() != add.len() || mul.len() % GROUP != 0 {
            return Err(refusal(format!("{} factors and {} summands of output channels", mul.len(), add.len())));
        }
        Ok(Self { mul, add, bounds: Bounds::of(step)? })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mul.len()
    }

    /// The result of an accumulator.
    pub(super) fn apply(&self, channel: usize, acc: f32) -> f32 {
        self.bounds.apply(acc.mul_add(self.mul[channel], self.add[channel]))
    }
}
