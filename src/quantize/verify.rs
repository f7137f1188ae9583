//! Whether what was written is what was read.

use super::trial;
use super::whole::Whole;
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::isolated;
use crate::model::fused::FusedNetwork;
use crate::model::onnx::LayerEncodings;
use crate::runtime::Network;

/// How far results may be from each other by the greatest of them, where only the order of sums differs.
const FLOAT: f32 = 1e-2;

/// Least signal-to-quantization-noise ratio in decibels: beyond, there is more noise than signal.
const LEAST: f64 = 0.0;

/// Looks whether the graph, written without any encoding and read back, gives the `logits` of the graph that was read, and the same kind of scores.
///
/// # Errors
/// [`ErrorKind::Model`] where it does not.
pub(super) fn float(whole: &Whole, network: &FusedNetwork, picture: &[f32], logits: &[f32]) -> Result<()> {
    let encodings = vec![LayerEncodings::default(); network.layers.len()];
    let written = isolated(|| trial::written(whole, network, &encodings))?;
    let (now, before) = (written.whole.file.ending, whole.file.ending);
    if now != before {
        let message = format!(
            "its graph cannot be written: its scores are of kind {before:?}, and would be read back as {now:?}; please report it with the file"
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    let found = trial::logits(&written.whole.file, &[picture.to_vec()], 1)?.remove(0);
    let greatest = logits.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let apart = logits.iter().zip(&found).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    if found.len() == logits.len() && apart <= FLOAT * greatest.max(f32::MIN_POSITIVE) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Model,
        format!(
            "its graph cannot be written: read back, still in float, its results are off by {apart} of {greatest}; please report it with the file"
        ),
    ))
}

/// Looks whether the logits of the int8 file are still those of the float one.
///
/// # Errors
/// [`ErrorKind::Model`] where there is more noise than signal.
pub(super) fn int8(float: &[f32], int8: &[f32]) -> Result<()> {
    let power = trial::output_power(&[float.to_vec()], &[int8.to_vec()]);
    if float.len() == int8.len() && power.decibels() > LEAST {
        return Ok(());
    }
    let message = format!(
        "quantized, its results on the first picture are noise ({:.1} dB): calibrate with more pictures, or keep layers in float (--max-drop)",
        power.decibels()
    );
    Err(Error::new(ErrorKind::Model, message))
}

/// Share of the multiply-adds of the whole graph that are done in int8.
///
/// # Errors
/// As [`Network::new`].
pub(super) fn int8_share(file: &crate::model::onnx::OnnxFile) -> Result<f64> {
    let mut file = file.clone();
    isolated(|| Ok(Network::new(&mut file, 1, false)?.execution()?.int8_share))
}

/// A warning that names the nodes that stay in float, if any do.
pub(super) fn kept(whole: &Whole) -> Option<String> {
    const NAMED: usize = 3;
    let opaque = &whole.opaque;
    let mut named: Vec<String> =
        opaque.iter().take(NAMED).map(|o| format!("{} ({}): {}", o.node, o.op, o.reason)).collect();
    if opaque.len() > NAMED {
        named.push(format!("and {} more", opaque.len() - NAMED));
    }
    (!named.is_empty())
        .then(|| format!("left in float as they are, and what has no branches behind them: {}", named.join("; ")))
}
