//! A float network becomes an int8 one.
//!
//! The network is brought into its fused form, run over pictures to see what ranges its values have, written as a QDQ file,
//! and judged as it is read back from there. Where a budget is given, the layers that cost most stay float.

mod budget;
mod calibration;
mod histogram;
mod plan;
pub mod report;
mod trial;

pub use histogram::Method;
pub use plan::ConcatScales;

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::isolated;
use crate::model::Limits;
use crate::model::fused::{ConvolutionWeights, FusedNetwork, Op};
use crate::model::onnx::{LayerEncodings, OnnxFile, is_quantized};
use crate::optimize::rewrite;
use crate::quant::quantize_weights;
use report::{LayerReport, Precision, Report};
use trial::Power;

/// Pictures that the distance of each layer's results is measured on.
const RESULT_PICTURES: usize = 16;

/// Multiply-adds that may be spent on finding out what each layer alone does; it decides on the number of pictures.
const SENSITIVITY_MACS: u64 = 120_000_000_000;

/// Most pictures that what each layer alone does is measured on.
const SENSITIVITY_PICTURES: usize = 32;

/// What is asked of the quantizer.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// Scales of segments that are read together.
    pub concat: ConcatScales,
    /// Percentage points of accuracy that may be lost on the checked pictures; layers stay float until that holds.
    pub max_drop: Option<f64>,
    /// Threads that run networks.
    pub threads: usize,
    /// What the model may cost.
    pub limits: Limits,
}

/// Pictures to measure accuracy on.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Each the values of the network's input.
    pub pictures: Vec<Vec<f32>>,
    /// The output that is right for each, where that is known.
    pub classes: Vec<Option<usize>>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Ranges are collected.
    Calibration,
    /// Layers are tried alone.
    Sensitivity,
    /// Float layers are looked for; the total is not known.
    Budget,
}

/// Told of a phase how many steps of how many are done; a total of 0 is not known.
pub type Progress<'a> = dyn FnMut(Phase, usize, usize) + 'a;

/// A quantized network.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The ONNX file, in QDQ form.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub report: Report,
}

/// The float network of a file in the form that is quantized, and the file with a node in its place.
fn prepared(bytes: &[u8], limits: &Limits) -> Result<(OnnxFile, FusedNetwork)> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Model, message));
    let mut file = OnnxFile::parse_within(bytes, limits)?;
    if is_quantized(&file) {
        return refuse("the model is quantized already: give the float model it was made from".into());
    }
    let fusion = file.fuse()?;
    let reasons = || {
        let left = fusion.opaque.iter().map(|o| format!("{} ({}): {}", o.node, o.op, o.reason)).collect::<Vec<_>>();
        left.first().map_or(String::new(), |first| format!("; {first}"))
    };
    let mut networks = fusion.networks.clone();
    let (Some(mut network), true) = (networks.pop(), networks.is_empty()) else {
        return refuse(format!("no densely connected network was found in it, or more than one{}", reasons()));
    };
    if network.inputs.len() != 1 || network.inputs[0].name != file.input.name || network.outputs.len() != 1 {
        return refuse(format!("only a part of it is densely connected{}", reasons()));
    }
    rewrite::fold_norms(&mut network);
    rewrite::pool_first(&mut network);
    Ok((file, network))
}

/// Quantizes the float network in `bytes`, an ONNX file. `calibration` are values of the network's input that ranges are
/// taken from.
///
/// # Errors
/// [`ErrorKind::Model`] for a file that is none, is quantized already, or holds no densely connected network that reaches from
/// its input to its output; if the budget cannot be held; [`ErrorKind::Image`] without pictures.
///
/// # Panics
/// If a picture has another number of values than the network's input.
pub fn quantize(
    bytes: &[u8],
    calibration: &[Vec<f32>],
    checked: &Checked,
    options: Options,
    progress: &mut Progress<'_>,
) -> Result<Quantized> {
    let (file, original) = isolated(|| prepared(bytes, &options.limits))?;
    if calibration.is_empty() {
        return Err(Error::new(ErrorKind::Image, "there is no picture to calibrate with"));
    }
    let threads = options.threads;
    let few = |count: usize| &calibration[..calibration.len().min(count)];
    let float_logits = trial::logits(&original, few(SENSITIVITY_PICTURES), threads)?;

    // As it is, and equalized: the one whose logits are closer to the float network's is taken.
    let mut candidates = Vec::new();
    for equalized in [false, true] {
        let mut network = original.clone();
        if equalized {
            let first: &Candidate = &candidates[0];
            plan::equalize(&mut network, &first.seen);
        }
        let (mut done, all) = (calibration.len() * usize::from(equalized), 2 * calibration.len());
        let seen = calibration::calibrate(&network, calibration, || {
            done += 1;
            progress(Phase::Calibration, done, all);
        });
        let encodings = plan::encodings(&network, &seen, options.method, options.concat);
        plan::correct_biases(&mut network, &seen, &encodings);
        let (_, found) = trial::written(&file, &network, &encodings)?;
        let logits = trial::logits(&found, few(SENSITIVITY_PICTURES), threads)?;
        let power = trial::output_power(&float_logits, &logits);
        candidates.push(Candidate { equalized, network, seen, encodings, power });
    }
    candidates.sort_by(|a, b| b.power.decibels().total_cmp(&a.power.decibels()));
    let best = candidates.swap_remove(0);

    let alone = alone(&file, &best, calibration, &float_logits, threads, progress)?;
    let mut encodings = best.encodings.clone();
    let mut accuracy = None;
    if !checked.pictures.is_empty() {
        let float = budget::best(&trial::logits(&original, &checked.pictures, threads)?);
        if let Some(budget) = options.max_drop {
            let mut order: Vec<usize> = (0..alone.len()).filter(|&layer| alone[layer].is_some()).collect();
            let ratio = |layer: usize| alone[layer].map_or(f64::INFINITY, |power| power.decibels());
            order.sort_by(|&a, &b| ratio(a).total_cmp(&ratio(b)));
            let (file, network, all, order) = (&file, &best.network, &best.encodings, &order);
            let search =
                budget::Search { file, network, encodings: all, order, checked, float: &float, budget, threads };
            let found = search.fewest(progress)?;
            (encodings, accuracy) = (found.encodings, Some(found.accuracy));
        } else {
            let (_, network) = trial::written(&file, &best.network, &encodings)?;
            let int8 = budget::best(&trial::logits(&network, &checked.pictures, threads)?);
            accuracy = Some(budget::accuracy(&float, &int8, &checked.classes, None));
        }
    }
    let (written, network) = trial::written(&file, &best.network, &encodings)?;
    let scales: Vec<_> =
        (0..encodings.len()).map(|number| real_scales(&best.network, number, &encodings[number])).collect();
    let results = trial::result_powers(&original_as(&best, &original), &network, &scales, few(RESULT_PICTURES));
    let logits = trial::logits(&network, few(SENSITIVITY_PICTURES), threads)?;
    let mut report = Report {
        model: file.metadata.name.clone().unwrap_or_else(|| "model".into()),
        method: options.method.name().into(),
        samples: calibration.len(),
        skipped: Vec::new(),
        equalized: best.equalized,
        bias_corrected: true,
        output_sqnr_db: trial::output_power(&float_logits, &logits).decibels(),
        int8_share: 0.0,
        bytes_before: bytes.len() as u64,
        bytes_after: written.len() as u64,
        accuracy,
        kept_float: Vec::new(),
        layers: layer_reports(&best, &encodings, &alone, &results),
        warnings: Vec::new(),
    };
    let macs = |kind: Option<Precision>| {
        let of_kind = report.layers.iter().filter(|layer| kind.is_none_or(|kind| layer.r#type == kind));
        of_kind.map(|layer| layer.macs).sum::<u64>()
    };
    report.int8_share = macs(Some(Precision::Int8)) as f64 / macs(None).max(1) as f64;
    report.kept_float =
        report.layers.iter().filter(|layer| layer.r#type == Precision::F32).map(|layer| layer.name.clone()).collect();
    if calibration.len() < 32 {
        report.warnings.push(format!("ranges come from {} only: give 100 or more", pictures(calibration.len())));
    }
    Ok(Quantized { bytes: written, report })
}

fn pictures(count: usize) -> String {
    if count == 1 { "one picture".into() } else { format!("{count} pictures") }
}

/// A way to quantize, and how far its logits are from the float network's.
struct Candidate {
    equalized: bool,
    network: FusedNetwork,
    seen: Vec<calibration::Seen>,
    encodings: Vec<LayerEncodings>,
    power: Power,
}

/// The network that results are compared with: where channels were equalized the candidate's, whose channels are scaled, else the
/// original.
fn original_as(best: &Candidate, original: &FusedNetwork) -> FusedNetwork {
    if best.equalized { best.network.clone() } else { original.clone() }
}

/// For each convolution how far the logits are from the float network's when it alone is int8.
fn alone(
    file: &OnnxFile,
    best: &Candidate,
    calibration: &[Vec<f32>],
    float_logits: &[Vec<f32>],
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<Option<Power>>> {
    let network = &best.network;
    let macs: u64 = network.layers.iter().filter_map(|layer| layer.macs(network)).sum();
    let trials = best.encodings.iter().filter(|encodings| encodings.input.is_some()).count() as u64;
    let affordable = (SENSITIVITY_MACS / (macs * trials).max(1)) as usize;
    let count = affordable.clamp(1, SENSITIVITY_PICTURES).min(calibration.len());
    let mut powers = Vec::new();
    for (number, encodings) in best.encodings.iter().enumerate() {
        let mut power = None;
        if encodings.input.is_some() && matches!(network.layers[number].op, Op::Convolution { .. }) {
            let mut only = vec![LayerEncodings::default(); best.encodings.len()];
            only[number] = *encodings;
            let (_, found) = trial::written(file, network, &only)?;
            let logits = trial::logits(&found, &calibration[..count], threads)?;
            power = Some(trial::output_power(&float_logits[..count], &logits));
        }
        powers.push(power);
        progress(Phase::Sensitivity, number + 1, best.encodings.len());
    }
    Ok(powers)
}

/// What turns a layer's accumulators into f32 values; `None` for a layer that is not int8.
fn real_scales(network: &FusedNetwork, number: usize, encodings: &LayerEncodings) -> Option<Vec<(f32, f32)>> {
    let (Op::Convolution { weights: ConvolutionWeights::Float { values, bias }, .. }, Some(input)) =
        (&network.layers[number].op, encodings.input)
    else {
        return None;
    };
    let channels = values.chunks_exact(values.len() / bias.len()).zip(bias);
    Some(channels.map(|(weights, &bias)| (input.scale * quantize_weights(weights).1, bias)).collect())
}

fn layer_reports(
    best: &Candidate,
    encodings: &[LayerEncodings],
    alone: &[Option<Power>],
    results: &[Power],
) -> Vec<LayerReport> {
    let network = &best.network;
    let mut reports = Vec::new();
    for (number, layer) in network.layers.iter().enumerate() {
        let Op::Convolution { weights: ConvolutionWeights::Float { values, bias }, .. } = &layer.op else { continue };
        let input = encodings[number].input;
        let weights = input.map(|_| {
            let mut power = Power::default();
            for weights in values.chunks_exact(values.len() / bias.len()) {
                let (encodings, scale) = quantize_weights(weights);
                power.add(weights.iter().copied(), encodings.iter().map(|&qvalue| f32::from(qvalue) * scale));
            }
            power.decibels()
        });
        let seen = &best.seen[number];
        let limit = input.map_or(f32::INFINITY, |encoding| encoding.dequantize(encoding.high));
        reports.push(LayerReport {
            name: layer.name.clone(),
            macs: layer.macs(network).unwrap_or(0),
            r#type: if input.is_some() { Precision::Int8 } else { Precision::F32 },
            weights_sqnr_db: weights,
            result_sqnr_db: Some(results[number].decibels()),
            alone_sqnr_db: alone[number].map(|power| power.decibels()),
            input_range: [seen.least, seen.input.greatest().min(limit)],
            input_scale: input.map(|encoding| encoding.scale),
            clipped: if seen.least < 0.0 { 0.0 } else { seen.input.beyond(limit) },
        });
    }
    reports
}

#[cfg(test)]
mod tests;
