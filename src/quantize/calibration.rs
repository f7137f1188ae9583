//! Runs a float network over pictures and keeps what its values are like.

use super::histogram::Histogram;
use super::whole::Inputs;
use crate::error::Result;
use crate::model::fused::{FusedNetwork, Op, Trace};

/// What was seen of one layer.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Of what it reads: magnitudes, and the least value.
    pub(super) input: Histogram,
    pub(super) least: f32,
    /// Of a convolution: sum and greatest magnitude of each channel it reads, and how many values were added up.
    pub(super) sums: Vec<f64>,
    pub(super) greatest: Vec<f32>,
    pub(super) count: u64,
    /// Of what it writes: magnitudes, and the least value.
    pub(super) result: Histogram,
    pub(super) least_result: f32,
}

impl Seen {
    /// Mean of each channel it reads.
    pub(super) fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.count.max(1) as f64).collect()
    }
}

/// Runs `network` over `pictures`, of which `inputs` gives what it reads; `progress` is called after each.
///
/// # Errors
/// As [`Inputs::of`].
pub(super) fn calibrate(
    network: &FusedNetwork,
    inputs: &Inputs,
    pictures: &[Vec<f32>],
    mut progress: impl FnMut(),
) -> Result<Vec<Seen>> {
    let new = |layer: &crate::model::fused::Layer| {
        let channels = network.input_shape(layer).channels;
        Seen {
            input: Histogram::new(),
            least: 0.0,
            sums: vec![0.0; channels],
            greatest: vec![0.0; channels],
            count: 0,
            result: Histogram::new(),
            least_result: 0.0,
        }
    };
    let mut seen: Vec<Seen> = network.layers.iter().map(new).collect();
    for picture in pictures {
        let values = inputs.of(picture)?;
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        network.run_observed(&values, &mut |number, trace, values| {
            let seen = &mut seen[number];
            let least = |least: f32| values.iter().copied().fold(least, f32::min);
            match trace {
                Trace::Result => return,
                Trace::Written => {
                    seen.result.add(values);
                    seen.least_result = least(seen.least_result);
                    return;
                }
                Trace::Input => {
                    seen.input.add(values);
                    seen.least = least(seen.least);
                }
            }
            if !matches!(network.layers[number].op, Op::Convolution { .. }) {
                return;
            }
            let area = values.len() / seen.sums.len();
            seen.count += area as u64;
            for (channel, plane) in values.chunks_exact(area).enumerate() {
                seen.sums[channel] += plane.iter().map(|&v| f64::from(v)).sum::<f64>();
                seen.greatest[channel] = plane.iter().fold(seen.greatest[channel], |most, v| most.max(v.abs()));
            }
        });
        progress();
    }
    Ok(seen)
}
