//! A float network becomes an int8 one.
//!
//! Its networks are brought into their fused form, run over pictures to see what ranges its values have, written as a QDQ file,
//! and judged as it is read back from there. Where a budget is given, the layers that cost most stay float.

mod budget;
mod calibration;
mod histogram;
mod plan;
pub mod report;
mod trial;
mod verify;
mod whole;

pub use histogram::Method;
pub use plan::ConcatScales;

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::isolated;
use crate::model::fused::{ConvolutionWeights, FusedNetwork, Op};
use crate::model::onnx::{LayerEncodings, OnnxFile};
use crate::optimize::rewrite;
use crate::quant::quantize_weights;
use report::{LayerReport, Precision, Report};
use trial::{Power, Written};
use whole::Whole;

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
    /// Whether to measure what each layer alone costs, which takes most of the time; a budget needs it.
    pub sensitivity: bool,
    /// Threads that run networks.
    pub threads: usize,
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

/// A float model with its network in the form that is quantized.
fn prepared(file: OnnxFile) -> Result<(Whole, FusedNetwork)> {
    let whole = Whole::float(file)?;
    let mut network = whole.network.clone();
    rewrite::fold_norms(&mut network);
    rewrite::pool_first(&mut network);
    rewrite::share_prologues(&mut network);
    Ok((whole, network))
}

/// Quantizes the float model `file`. `calibration` are values of its input that ranges are taken from. Nodes between and behind its
/// networks stay as they are; a warning of the report names them.
///
/// # Errors
/// [`ErrorKind::Model`] for a file that is quantized already, or holds no network with branches; if the budget cannot be held; if
/// what was written of it does not compute the same; [`ErrorKind::Image`] without pictures.
///
/// # Panics
/// If a picture has another number of values than the network's input.
pub fn quantize(
    mut file: OnnxFile,
    calibration: &[Vec<f32>],
    checked: &Checked,
    options: Options,
    progress: &mut Progress<'_>,
) -> Result<Quantized> {
    let bytes_before = file.bytes;
    // Quantized features are others: what is unknown is told of the int8 file anew.
    file.unknown = None;
    let (whole, original) = isolated(|| prepared(file))?;
    if calibration.is_empty() {
        return Err(Error::new(ErrorKind::Image, "there is no picture to calibrate with"));
    }
    let few = &calibration[..calibration.len().min(SENSITIVITY_PICTURES)];
    let float_logits = trial::logits(&whole.file, few, options.threads)?;
    verify::float(&whole, &original, &calibration[0], &float_logits[0])?;
    let inputs = isolated(|| whole.inputs())?;
    let work = Work { whole: &whole, inputs: &inputs, calibration, few, float_logits: &float_logits, options };
    let best = work.best(&original, progress)?;
    let alone = work.alone(&best, progress)?;
    let (encodings, accuracy) = work.within_budget(&best, &alone, checked, progress)?;
    let written = best.written(&whole, &encodings)?;
    let logits = trial::logits(&written.whole.file, few, options.threads)?;
    verify::int8(&float_logits[0], &logits[0])?;
    let results = work.results(&best, &encodings, &written)?;
    let mut report = Report {
        model: whole.file.metadata.name.clone().unwrap_or_else(|| "model".into()),
        method: options.method.name().into(),
        samples: calibration.len(),
        skipped: Vec::new(),
        equalized: best.equalized,
        bias_corrected: true,
        output_sqnr_db: trial::output_power(&float_logits, &logits).decibels(),
        int8_share: verify::int8_share(&written.whole.file)?,
        bytes_before,
        bytes_after: written.bytes.len() as u64,
        accuracy,
        kept_float: Vec::new(),
        layers: layer_reports(&best, &encodings, &alone, &results),
        warnings: Vec::new(),
    };
    report.kept_float =
        report.layers.iter().filter(|layer| layer.r#type == Precision::F32).map(|layer| layer.name.clone()).collect();
    report.warnings.extend(verify::kept(&whole));
    if calibration.len() < 32 {
        report.warnings.push(format!("ranges come from {} only: give 100 or more", pictures(calibration.len())));
    }
    Ok(Quantized { bytes: written.bytes, report })
}

/// What all steps of a quantization need.
struct Work<'a> {
    whole: &'a Whole,
    inputs: &'a whole::Inputs,
    calibration: &'a [Vec<f32>],
    /// The calibration pictures that logits are compared on, and the float network's logits.
    few: &'a [Vec<f32>],
    float_logits: &'a [Vec<f32>],
    options: Options,
}

impl Work<'_> {
    /// The network as it is, and equalized: the one whose logits are closer to the float network's.
    fn best(&self, original: &FusedNetwork, progress: &mut Progress<'_>) -> Result<Candidate> {
        let mut candidates = Vec::new();
        for equalized in [false, true] {
            let mut float = original.clone();
            if equalized {
                let first: &Candidate = &candidates[0];
                plan::equalize(&mut float, &first.seen);
            }
            let (mut done, all) = (self.calibration.len() * usize::from(equalized), 2 * self.calibration.len());
            let seen = calibration::calibrate(&float, self.inputs, self.calibration, || {
                done += 1;
                progress(Phase::Calibration, done, all);
            })?;
            let encodings = plan::encodings(&float, &seen, self.options.method, self.options.concat);
            let mut candidate = Candidate { equalized, float, seen, encodings, power: Power::default() };
            let written = candidate.written(self.whole, &candidate.encodings)?;
            let logits = trial::logits(&written.whole.file, self.few, self.options.threads)?;
            candidate.power = trial::output_power(self.float_logits, &logits);
            candidates.push(candidate);
        }
        candidates.sort_by(|a, b| b.power.decibels().total_cmp(&a.power.decibels()));
        Ok(candidates.swap_remove(0))
    }

    /// The encodings that hold the budget, if there is one, and what the pictures to check say of them.
    fn within_budget(
        &self,
        best: &Candidate,
        alone: &[Option<Power>],
        checked: &Checked,
        progress: &mut Progress<'_>,
    ) -> Result<(Vec<LayerEncodings>, Option<report::Accuracy>)> {
        let (whole, threads) = (self.whole, self.options.threads);
        if checked.pictures.is_empty() {
            return Ok((best.encodings.clone(), None));
        }
        let float = budget::best(&trial::logits(&whole.file, &checked.pictures, threads)?);
        if let Some(budget) = self.options.max_drop {
            let mut order: Vec<usize> = (0..alone.len()).filter(|&layer| alone[layer].is_some()).collect();
            let ratio = |layer: usize| alone[layer].map_or(f64::INFINITY, |power| power.decibels());
            order.sort_by(|&a, &b| ratio(a).total_cmp(&ratio(b)));
            let search = budget::Search { whole, best, order: &order, checked, float: &float, budget, threads };
            let found = search.fewest(progress)?;
            return Ok((found.encodings, Some(found.accuracy)));
        }
        let written = best.written(whole, &best.encodings)?;
        let int8 = budget::best(&trial::logits(&written.whole.file, &checked.pictures, threads)?);
        let accuracy = budget::accuracy(&float, &int8, &checked.classes, None);
        Ok((best.encodings.clone(), Some(accuracy)))
    }

    /// For each convolution how far the logits are from the float network's when it alone is int8.
    fn alone(&self, best: &Candidate, progress: &mut Progress<'_>) -> Result<Vec<Option<Power>>> {
        if !self.options.sensitivity && self.options.max_drop.is_none() {
            return Ok(vec![None; best.encodings.len()]);
        }
        let network = &best.float;
        let macs: u64 = network.layers.iter().filter_map(|layer| layer.macs(network)).sum();
        let trials = best.encodings.iter().filter(|encodings| encodings.input.is_some()).count() as u64;
        let affordable = (SENSITIVITY_MACS / (macs * trials).max(1)) as usize;
        let count = affordable.clamp(1, SENSITIVITY_PICTURES).min(self.calibration.len());
        let mut powers = Vec::new();
        for (number, encodings) in best.encodings.iter().enumerate() {
            let mut power = None;
            if encodings.input.is_some() && matches!(network.layers[number].op, Op::Convolution { .. }) {
                let mut only = vec![LayerEncodings::default(); best.encodings.len()];
                only[number] = *encodings;
                let written = best.written(self.whole, &only)?;
                let logits = trial::logits(&written.whole.file, &self.calibration[..count], self.options.threads)?;
                power = Some(trial::output_power(&self.float_logits[..count], &logits));
            }
            powers.push(power);
            progress(Phase::Sensitivity, number + 1, best.encodings.len());
        }
        Ok(powers)
    }

    /// How far each layer's results are from those of the float network: of the equalized one, whose channels are scaled alike.
    fn results(&self, best: &Candidate, encodings: &[LayerEncodings], written: &Written) -> Result<Vec<Power>> {
        let scales: Vec<_> =
            (0..encodings.len()).map(|number| real_scales(&best.float, number, &encodings[number])).collect();
        let inputs = isolated(|| written.whole.inputs())?;
        let few = &self.calibration[..self.calibration.len().min(RESULT_PICTURES)];
        trial::result_powers((&best.float, self.inputs), (&written.whole.network, &inputs), &scales, few)
    }
}

fn pictures(count: usize) -> String {
    if count == 1 { "one picture".into() } else { format!("{count} pictures") }
}

/// A way to quantize, and how far its logits are from the float network's.
struct Candidate {
    equalized: bool,
    /// The float network, which computes what the original does.
    float: FusedNetwork,
    seen: Vec<calibration::Seen>,
    encodings: Vec<LayerEncodings>,
    power: Power,
}

impl Candidate {
    /// The file with some encodings. The biases of those layers that are int8, and of no others, make up for what rounding their weights
    /// takes away.
    fn written(&self, whole: &Whole, encodings: &[LayerEncodings]) -> Result<Written> {
        let mut network = self.float.clone();
        plan::correct_biases(&mut network, &self.seen, encodings);
        isolated(|| trial::written(whole, &network, encodings))
    }
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
    let network = &best.float;
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
