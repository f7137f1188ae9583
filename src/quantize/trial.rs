//! A network with some encodings, as it would run from its file, and how far it is from the float network.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::model::fused::{FusedNetwork, Layer, Trace};
use crate::model::onnx::{LayerEncodings, OnnxFile, export_quantized};
use crate::optimize::Engine;

/// The bytes of the file, and the network that is found in it: what is judged is what any user of the file gets.
pub(super) fn written(
    file: &OnnxFile,
    network: &FusedNetwork,
    encodings: &[LayerEncodings],
) -> Result<(Vec<u8>, FusedNetwork)> {
    let bytes = export_quantized(file, network, encodings)?;
    let mut written = OnnxFile::parse_within(&bytes, file.limits())?;
    let mut found = written.fuse()?.networks;
    if found.len() != 1 {
        return Err(Error::new(ErrorKind::Model, "the quantized network could not be found again in its own file"));
    }
    Ok((bytes, found.remove(0)))
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

/// What one network says of some pictures.
///
/// # Errors
/// As [`Engine::new`], and [`Kernels::from_env`].
pub(super) fn logits(network: &FusedNetwork, pictures: &[Vec<f32>], threads: usize) -> Result<Vec<Vec<f32>>> {
    let engine = Engine::new(network, Kernels::from_env()?)?;
    // Whole pictures side by side keep threads busier than parts of one.
    Ok(parallel(pictures, threads, |picture| engine.run(&[picture], &mut engine.memory(1)).swap_remove(0)))
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
pub(super) fn result_powers(
    float: &FusedNetwork,
    found: &FusedNetwork,
    scales: &[Option<Vec<(f32, f32)>>],
    pictures: &[Vec<f32>],
) -> Vec<Power> {
    let number_of = |layer: &Layer| float.layers.iter().position(|other| other.name == layer.name);
    let numbers: Vec<Option<usize>> = found.layers.iter().map(number_of).collect();
    let mut powers = vec![Power::default(); float.layers.len()];
    for picture in pictures {
        let mut results: Vec<Vec<f32>> = vec![Vec::new(); float.layers.len()];
        float.run_observed(&[picture], &mut |layer, trace, values| {
            if trace == Trace::Result {
                results[layer] = values.to_vec();
            }
        });
        found.run_observed(&[picture], &mut |layer, trace, values| {
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
    powers
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
