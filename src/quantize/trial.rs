//! A network with some encodings, as it would run from its file, and how far it is from the float network.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::whole::{Inputs, Whole};
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::isolated;
use crate::model::fused::{FusedNetwork, Layer, Observer, Trace};
use crate::model::onnx::{LayerEncodings, OnnxFile, ReadOptions, export_quantized};
use crate::runtime::Network;

/// A file as it was written, and read back: what is judged is what any user of the file gets.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) whole: Whole,
}

/// The graph of `whole` with its network as `network` is, which computes the same, and these encodings.
///
/// # Errors
/// [`ErrorKind::Model`] for a file that cannot be read back.
pub(super) fn written(whole: &Whole, network: &FusedNetwork, encodings: &[LayerEncodings]) -> Result<Written> {
    let bytes = export_quantized(&whole.fused, network, &whole.flat, encodings)?;
    let options = ReadOptions { limits: *whole.file.limits(), output: Some(&whole.file.output), ..Default::default() };
    let lost = |e: Error| {
        Error::new(ErrorKind::Model, format!("what was written of it cannot be read back: {e}")).caused_by(e)
    };
    let whole = OnnxFile::read(&bytes, &options).and_then(Whole::of).map_err(lost)?;
    Ok(Written { bytes, whole })
}

/// Power of a signal and of the noise on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Power {
    signal: f64,
    noise: f64,
}

impl Power {
    /// Adds values and what became of them.
    pub(super) fn add(&mut self, real: impl IntoIterator<Item = f32>, found: impl IntoIterator<Item = f32>) {
        for (real, found) in real.into_iter().zip(found) {
            self.signal += f64::from(real).powi(2);
            self.noise += f64::from(real - found).powi(2);
        }
    }

    /// Signal to quantization noise ratio in decibels; infinite without noise.
    pub(super) fn decibels(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }
}

/// What a model says of some pictures.
///
/// # Errors
/// As [`Network::new`] and [`Network::run`].
pub(super) fn logits(file: &OnnxFile, pictures: &[Vec<f32>], threads: usize) -> Result<Vec<Vec<f32>>> {
    let mut file = file.clone();
    let network = isolated(|| Network::new(&mut file, 1, false))?;
    let scores = network.output_shape().iter().product();
    let run = |picture: &Vec<f32>| {
        let mut out = vec![0.0; scores];
        network.run(picture, &mut out, &mut []).map(|()| out)
    };
    // Whole pictures side by side keep threads busier than parts of one.
    parallel(pictures, threads, run).into_iter().collect()
}

/// How far the logits of a network are from those of the float network.
pub(super) fn output_power(float: &[Vec<f32>], found: &[Vec<f32>]) -> Power {
    let mut power = Power::default();
    for (real, found) in float.iter().zip(found) {
        power.add(real.iter().copied(), found.iter().copied());
    }
    power
}

/// For each layer of `float`, how far the results of the layer of the same name in `found` are from it, over `pictures`.
/// `scales` turn a result of `found` into an f32 value: factor and summand of each channel; `None` where it is one.
///
/// # Errors
/// As [`Inputs::of`].
pub(super) fn result_powers(
    (float, float_inputs): (&FusedNetwork, &Inputs),
    (found, found_inputs): (&FusedNetwork, &Inputs),
    scales: &[Option<Vec<(f32, f32)>>],
    pictures: &[Vec<f32>],
) -> Result<Vec<Power>> {
    let number_of = |layer: &Layer| float.layers.iter().position(|other| other.name == layer.name);
    let numbers: Vec<Option<usize>> = found.layers.iter().map(number_of).collect();
    let mut powers = vec![Power::default(); float.layers.len()];
    for picture in pictures {
        let mut results: Vec<Vec<f32>> = vec![Vec::new(); float.layers.len()];
        observed(float, &float_inputs.of(picture)?, &mut |layer, trace, values| {
            if trace == Trace::Result {
                results[layer] = values.to_vec();
            }
        });
        observed(found, &found_inputs.of(picture)?, &mut |layer, trace, values| {
            let (Some(number), Trace::Result) = (numbers[layer], trace) else { return };
            let real = results[number].iter().copied();
            match &scales[number] {
                None => powers[number].add(real, values.iter().copied()),
                Some(scales) => {
                    let area = values.len() / scales.len();
                    let decoded = values.iter().enumerate().map(|(i, &v)| v * scales[i / area].0 + scales[i / area].1);
                    powers[number].add(real, decoded);
                }
            }
        });
    }
    Ok(powers)
}

fn observed(network: &FusedNetwork, inputs: &[Vec<f32>], observer: &mut Observer<'_>) {
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    network.run_observed(&inputs, observer);
}

/// Maps items on some threads; the results are in the items' order. Whoever is free takes the next item.
pub(super) fn parallel<T: Sync, R: Send>(items: &[T], threads: usize, map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((index, map(item)));
        }
        done
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len()).max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_by_hand() {
        let mut power = Power::default();
        power.add([3.0, 4.0], [3.0, 4.5]);
        assert!((power.decibels() - 20.0).abs() < 1e-9, "25 to 0.25");
        let mut same = Power::default();
        same.add([1.0], [1.0]);
        assert_eq!(same.decibels(), f64::INFINITY);
    }

    #[test]
    fn order_is_kept_on_any_number_of_threads() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [1, 2, 7, 200] {
            assert_eq!(parallel(&items, threads, |i| i * i), items.iter().map(|i| i * i).collect::<Vec<_>>());
        }
        assert!(parallel(&[] as &[usize], 3, |i| *i).is_empty());
    }
}
