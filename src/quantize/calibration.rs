//! Runs a float network over pictures and keeps what its values are like.

use super::histogram::{Extremes, Histogram};
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
    /// Counts `values` that it reads.
    fn see(&mut self, values: &[f32], all: Extremes) {
        self.input.add(values, all.greatest);
        self.least = self.least.min(all.least);
    }

    /// As [`see`](Self::see), for planes of channels.
    fn see_planes(&mut self, values: &[f32]) {
        let area = values.len() / self.sums.len();
        let mut all = Extremes::default();
        for ((plane, sum), most) in values.chunks_exact(area).zip(&mut self.sums).zip(&mut self.greatest) {
            let plane = Extremes::of(plane);
            *sum += plane.sum;
            *most = most.max(plane.greatest);
            all = all.and(plane);
        }
        self.count += area as u64;
        self.see(values, all);
    }

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
            match trace {
                Trace::Result => {}
                Trace::Written => {
                    let all = Extremes::of(values);
                    seen.result.add(values, all.greatest);
                    seen.least_result = seen.least_result.min(all.least);
                }
                Trace::Input if matches!(network.layers[number].op, Op::Convolution { .. }) => seen.see_planes(values),
                Trace::Input => seen.see(values, Extremes::of(values)),
            }
        });
        progress();
    }
    Ok(seen)
}
